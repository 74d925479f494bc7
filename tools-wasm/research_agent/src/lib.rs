//! `research_agent {topic="AI trends"}`: four steps, of which the third asks a model to summarise what was found: one
//! that it is granted, else the client's. Where there is no model, the report says so and goes without.

use std::time::Duration;

use longhaul_guest::{
    Output, Tool, ToolResult, Value, export_tools, json, log, models, outputs, progress, sample, timers,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Arguments {
    #[serde(default = "default_topic")]
    topic: String,
}

const STEPS: u64 = 4;
const STEP: Duration = Duration::from_millis(400);
const SUMMARY_TOKENS: u32 = 400;

fn default_topic() -> String {
    "AI trends".to_owned()
}

fn research(arguments: Arguments) -> ToolResult {
    let topic = arguments.topic;
    step(0, "looking for sources");
    let sources = ["surveys", "field reports", "open data"];
    step(1, "reading");
    let findings: Vec<String> = sources.iter().map(|source| finding(&topic, source)).collect();
    progress::report(2, STEPS, "summarising");
    let summary = summarise(&topic, &findings)?;
    step(3, "writing the report");
    let report = report(&topic, &findings, summary.as_ref());
    outputs::write("report", "text/markdown", &report)?;
    progress::report(STEPS, STEPS, "done");
    Ok(Output::text(report).structured(json!({
        "topic": topic,
        "findings": findings,
        "summary": summary.as_ref().map(|summary| &summary.text),
        "model": summary.as_ref().map(|summary| &summary.model),
    })))
}

struct Summary {
    model: String,
    text: String,
}

fn step(done: u64, what: &str) {
    progress::report(done, STEPS, what);
    timers::sleep(STEP);
    log::info(format!("{what}: done"));
}

fn finding(topic: &str, source: &str) -> String {
    format!("{source} on {topic} agree in the main point and differ in the figures")
}

fn summarise(topic: &str, findings: &[String]) -> Result<Option<Summary>, longhaul_guest::Failure> {
    let prompt =
        format!("Summarise these findings on {topic} in three sentences:\n- {}", findings.join("\n- "));
    let request = sample::prompt(prompt, SUMMARY_TOKENS).system("You are a careful research assistant.");
    let answer = models::try_any(&request)?;
    if answer.is_none() {
        log::warning("no model is at hand: the report goes without a summary");
    }
    Ok(answer.map(|answer| Summary { model: answer.model.clone(), text: answer.text() }))
}

fn report(topic: &str, findings: &[String], summary: Option<&Summary>) -> String {
    let summary = match summary {
        Some(Summary { text, .. }) => text.as_str(),
        None => "No model was at hand to summarise the findings.",
    };
    let findings: String = findings.iter().map(|finding| format!("- {finding}\n")).collect();
    format!("# {topic}\n\n{summary}\n\n## Findings\n\n{findings}")
}

fn nullable(description: &str) -> Value {
    json!({ "anyOf": [{ "type": "string" }, { "type": "null" }], "description": description })
}

fn tools() -> Vec<Tool> {
    let input = json!({
        "type": "object",
        "properties": { "topic": { "type": "string", "default": default_topic(), "description": "What to look into" } },
        "additionalProperties": false,
    });
    let output = json!({
        "type": "object",
        "properties": {
            "topic": { "type": "string" },
            "findings": { "type": "array", "items": { "type": "string" } },
            "summary": nullable("What the client's model made of the findings"),
            "model": nullable("Which model that was"),
        },
        "required": ["topic", "findings", "summary", "model"],
    });
    let description = "Researches a topic in four steps and lets the client's model summarise what it found.";
    vec![
        Tool::new("research_agent", description, input, research)
            .title("Research agent")
            .output(output)
            .inline(0),
    ]
}

export_tools!(tools);
