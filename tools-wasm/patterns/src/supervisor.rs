use std::time::Duration;

use longhaul_guest::calls::{self, Call};
use longhaul_guest::{Failure, Output, ToolResult, json, sample};

use crate::Text;

pub fn handle(args: Text) -> ToolResult {
    let tools = calls::granted()?;
    let list: String = tools.iter().map(|tool| format!("{}: {}\n", tool.name, tool.description)).collect();
    let prompt = format!("Which tool suits the text? Answer with its name alone.\n\n{list}\n{}", args.text);
    let choice = sample::prompt(prompt, 20).try_wait()?.map(|response| response.text().trim().to_owned());
    // Without a model, or where it names what is not there, the plan is fixed.
    let choice = choice.filter(|name| tools.iter().any(|tool| tool.name == *name));
    let choice = choice.unwrap_or_else(|| "summarize".to_owned());

    let call = Call::new(&choice, json!({ "text": args.text }));
    let answer = calls::call(call.retries(1).or("count_words").timeout(Duration::from_secs(3_600)));
    let answer =
        answer.map_err(|error| Failure::tool(format!("{choice} and count_words failed: {error}")))?;
    Ok(Output::text(format!("{choice}: {}", answer.text())))
}
