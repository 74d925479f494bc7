//! Tools that are tasks to a client that takes tasks.

use std::time::Duration;

use longhaul_guest::elicit::{self, form};
use longhaul_guest::{Failure, Output, Tool, ToolResult, json, timers};
use serde::Deserialize;

use crate::questions::{accepted, text_form};
use crate::{Nothing, no_arguments, one_text};

/// JSON-RPC's "internal error".
const INTERNAL_ERROR: i32 = -32603;

pub fn tools() -> Vec<Tool> {
    vec![
        Tool::new("greet", "Greets somebody.", one_text("name", "Whom to greet"), |args: Greet| {
            Ok(Output::text(format!("Hello, {}!", args.name)))
        })
        .inline(0),
        Tool::new("slow_compute", "Takes as many seconds as it is told to.", slow_schema(), slow_compute)
            .link(),
        Tool::new("failing_job", "Works for a second and reports an error.", no_arguments(), failing_job)
            .task(),
        Tool::new("protocol_error_job", "Ends with a JSON-RPC error.", no_arguments(), |_: Nothing| {
            Err(Failure::protocol(INTERNAL_ERROR, "the job failed as it was meant to"))
        })
        .link(),
        Tool::new(
            "confirm_delete",
            "Asks before it deletes.",
            one_text("filename", "What to delete"),
            confirm_delete,
        )
        .link(),
        Tool::new("multi_input", "Asks two questions at once.", no_arguments(), multi_input).link(),
        // Its manifest says that it asks before it gives its link.
        Tool::new("test_tool_with_task", "Asks, then works.", no_arguments(), asks_first).task(),
    ]
}

#[derive(Deserialize)]
struct Greet {
    name: String,
}

#[derive(Deserialize)]
struct Slow {
    seconds: f64,
    #[serde(default)]
    label: String,
}

fn slow_schema() -> longhaul_guest::Value {
    json!({
        "type": "object",
        "properties": {
            "seconds": { "type": "number", "minimum": 0, "maximum": 3600, "description": "How long to take" },
            "label": { "type": "string", "description": "What to call it" },
        },
        "required": ["seconds"],
    })
}

fn slow_compute(args: Slow) -> ToolResult {
    timers::sleep(Duration::from_secs_f64(args.seconds));
    Ok(Output::text(format!("Computed {} for {} s", args.label, args.seconds)))
}

fn failing_job(_: Nothing) -> ToolResult {
    timers::sleep(Duration::from_secs(1));
    Err(Failure::tool("the job failed as it was meant to"))
}

#[derive(Deserialize)]
struct Delete {
    filename: String,
}

fn confirm_delete(args: Delete) -> ToolResult {
    let schema = json!({
        "type": "object",
        "properties": { "confirm": { "type": "boolean" } },
        "required": ["confirm"],
    });
    let answer = form("confirm", format!("Delete {}?", args.filename), schema).wait()?;
    let confirmed = accepted(answer).is_some_and(|content| content["confirm"] == true);
    let did = if confirmed { "Deleted" } else { "Kept" };
    Ok(Output::text(format!("{did} {}", args.filename)))
}

fn asks_first(_: Nothing) -> ToolResult {
    let answer = form("user_name", "What is your name?", text_form("name")).wait()?;
    timers::sleep(Duration::from_millis(100));
    let name = accepted(answer).map(|content| content["name"].clone());
    Ok(Output::text(format!("Worked for {}", json!(name))))
}

fn multi_input(_: Nothing) -> ToolResult {
    let schema = json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "confirm": { "type": "boolean" } },
    });
    let first = form("first", "What is the first name?", schema.clone()).ask()?;
    let second = form("second", "What is the second name?", schema).ask()?;
    let answers = [elicit::take(first)?, elicit::take(second)?];
    let names = answers.into_iter().map(|answer| accepted(answer).map(|content| content["name"].clone()));
    Ok(Output::text(format!("Got {}", json!(names.collect::<Vec<_>>()))))
}
