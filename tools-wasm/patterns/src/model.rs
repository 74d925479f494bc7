use longhaul_guest::{Output, ToolResult, sample};

use crate::Text;

pub fn summarize(args: Text) -> ToolResult {
    let prompt = format!("Summarize this in one sentence:\n\n{}", args.text);
    let summary = match sample::prompt(prompt, 200).try_wait()? {
        Some(response) => response.text(),
        // No model is at hand: the first sentence has to do.
        None => args.text.split_inclusive('.').next().unwrap_or_default().to_owned(),
    };
    Ok(Output::text(summary))
}
