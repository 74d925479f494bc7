use longhaul_guest::calls::{self, Call};
use longhaul_guest::{Output, ToolResult, json};
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Survey {
    texts: Vec<String>,
}

pub fn survey(args: Survey) -> ToolResult {
    let each = args.texts.iter().map(|text| Call::new("summarize", json!({ "text": text })));
    let children = calls::spawn_all(each)?;
    let lines = calls::join_all(children).into_iter().map(|end| match end {
        Ok(answer) => answer.text(),
        Err(error) => format!("(no summary: {error})"),
    });
    Ok(Output::text(lines.collect::<Vec<_>>().join("\n")))
}
