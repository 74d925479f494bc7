use std::time::Duration;

use longhaul_guest::{Output, ToolResult, outputs, progress, timers};
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Collection {
    pages: u64,
}

pub fn collect(args: Collection) -> ToolResult {
    let mut found = outputs::open("found", "text/plain")?;
    for page in 1..=args.pages {
        progress::report(page - 1, args.pages, format!("page {page}"));
        found.append(format!("page {page}\n"))?;
        timers::sleep(Duration::from_millis(200));
    }
    found.close()?;
    Ok(Output::text(format!("{} pages", args.pages)))
}
