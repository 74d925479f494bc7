use longhaul_guest::{Output, ToolResult, state};
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Item {
    item: String,
}

pub fn tally(args: Item) -> ToolResult {
    let entry = state::update("tally", &args.item, |count: Option<u64>| count.unwrap_or(0) + 1)?;
    Ok(Output::text(format!("{} of {}", entry.value, args.item)))
}
