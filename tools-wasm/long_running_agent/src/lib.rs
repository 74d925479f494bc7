//! `long_running_agent {steps=50, step_ms=2000}`: reports every step, for minutes if need be.

use std::time::Duration;

use longhaul_guest::{Output, Tool, ToolResult, export_tools, json, log, progress, timers};
use serde::Deserialize;

#[derive(Deserialize)]
struct Arguments {
    #[serde(default = "default_steps")]
    steps: u64,
    #[serde(default = "default_step_ms")]
    step_ms: u64,
}

fn default_steps() -> u64 {
    50
}

fn default_step_ms() -> u64 {
    2000
}

fn run(arguments: Arguments) -> ToolResult {
    let Arguments { steps, step_ms } = arguments;
    for step in 1..=steps {
        timers::sleep(Duration::from_millis(step_ms));
        progress::report(step, steps, format!("step {step} of {steps}"));
        log::info(format!("step {step} of {steps} is done"));
    }
    Ok(Output::text(format!("Completed {steps} steps")).structured(json!({ "steps": steps })))
}

fn tools() -> Vec<Tool> {
    let input = json!({
        "type": "object",
        "properties": {
            "steps": {
                "type": "integer", "minimum": 1, "default": default_steps(),
                "description": "How many steps to work through",
            },
            "step_ms": {
                "type": "integer", "minimum": 0, "default": default_step_ms(),
                "description": "How long each step takes, in milliseconds",
            },
        },
        "additionalProperties": false,
    });
    let output = json!({
        "type": "object",
        "properties": { "steps": { "type": "integer", "description": "Steps that were completed" } },
        "required": ["steps"],
    });
    vec![
        Tool::new("long_running_agent", "Works through a number of steps and reports each.", input, run)
            .title("Long-running agent")
            .output(output)
            .inline(0),
    ]
}

export_tools!(tools);
