use longhaul_guest::{Output, ToolResult, messages, progress};
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Nothing {}

pub fn listen(_: Nothing) -> ToolResult {
    let mut said = Vec::new();
    while let Some(message) = messages::receive(&["say", "stop"], None)? {
        if message.name == "stop" {
            break;
        }
        let text = message.payload["text"].as_str().unwrap_or_default().to_owned();
        progress::status(&text);
        said.push(text);
    }
    Ok(Output::text(said.join(" ")))
}
