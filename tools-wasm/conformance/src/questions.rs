//! Tools that ask the client: for a person's answer, for its model, for its folders.

use longhaul_guest::elicit::{self, Answer, form};
use longhaul_guest::roots::{self, Root};
use longhaul_guest::sample::{self, prompt};
use longhaul_guest::{Failure, HostError, Output, Ticket, Tool, ToolResult, Value, json, waits};
use serde::Deserialize;

use crate::{one_text, plain};

/// MCP's "missing required client capability".
const MISSING_CAPABILITY: i32 = -32021;

pub fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            "test_sampling",
            "Asks the client's model.",
            one_text("prompt", "What to ask"),
            |args: Prompt| {
                Ok(Output::text(format!("LLM response: {}", prompt(args.prompt, MAX_TOKENS).wait()?.text())))
            },
        )
        .inline(0),
        Tool::new(
            "test_elicitation",
            "Asks the user.",
            one_text("message", "What to ask"),
            |args: Wording| {
                let answer = form("response", args.message, text_form("response")).wait()?;
                Ok(Output::text(format!("User response: {}", told(answer))))
            },
        )
        .inline(0),
        plain("test_elicitation_sep1034_defaults", "Asks with defaults.", || completed(defaults())),
        plain("test_elicitation_sep1330_enums", "Asks with choices.", || completed(choices())),
        plain("test_streaming_elicitation", "Asks the user.", || elicits("user_name", "What is your name?")),
        plain("test_missing_capability", "Cannot do without the client's model.", missing_capability),
        plain("test_input_required_result_elicitation", "Asks the user.", || {
            elicits("user_name", "What is your name?")
        }),
        plain("test_input_required_result_sampling", "Asks the client's model.", || {
            Ok(Output::text(prompt("What is the capital of France?", MAX_TOKENS).wait()?.text()))
        }),
        plain("test_input_required_result_list_roots", "Asks for the client's folders.", || {
            Ok(Output::text(format!("The roots are {}", uris(&roots::list()?))))
        }),
        plain("test_input_required_result_request_state", "Asks the user.", || {
            form("confirm", "Please confirm", yes_or_no()).wait()?;
            Ok(Output::text("state-ok"))
        }),
        plain("test_input_required_result_tampered_state", "Asks the user.", || {
            form("confirm", "Please confirm", yes_or_no()).wait()?;
            Ok(Output::text("state-ok"))
        }),
        plain(
            "test_input_required_result_multiple_inputs",
            "Asks for three things at once.",
            multiple_inputs,
        ),
        plain("test_input_required_result_multi_round", "Asks twice.", multi_round),
        plain("test_input_required_result_capabilities", "Asks for what the client can give.", capabilities),
    ]
}

/// What the answer holds, if it is one.
pub fn accepted(answer: Answer) -> Option<Value> {
    match answer {
        Answer::Accept(content) => Some(content),
        Answer::Decline | Answer::Cancel | Answer::Timeout => None,
    }
}

fn told(answer: Answer) -> String {
    match answer {
        Answer::Accept(content) => format!("action=accept, content={content}"),
        Answer::Decline => "action=decline".to_owned(),
        Answer::Cancel => "action=cancel".to_owned(),
        Answer::Timeout => "action=timeout".to_owned(),
    }
}

fn uris(roots: &[Root]) -> String {
    roots.iter().map(|root| root.uri.as_str()).collect::<Vec<_>>().join(", ")
}

const MAX_TOKENS: u32 = 100;

#[derive(Deserialize)]
struct Prompt {
    prompt: String,
}

#[derive(Deserialize)]
struct Wording {
    message: String,
}

pub fn text_form(field: &str) -> Value {
    json!({ "type": "object", "properties": { field: { "type": "string" } }, "required": [field] })
}

fn yes_or_no() -> Value {
    json!({ "type": "object", "properties": { "ok": { "type": "boolean" } }, "required": ["ok"] })
}

fn elicits(key: &str, message: &str) -> ToolResult {
    let answer = form(key, message, text_form("name")).wait()?;
    let name = accepted(answer).and_then(|content| Some(content["name"].as_str()?.to_owned()));
    Ok(Output::text(format!("Hello, {}!", name.as_deref().unwrap_or("stranger"))))
}

fn completed(schema: Value) -> ToolResult {
    let answer = form("form", "Please fill in the form", schema).wait()?;
    Ok(Output::text(format!("Elicitation completed: {}", told(answer))))
}

fn defaults() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "description": "User name", "default": "John Doe" },
            "age": { "type": "integer", "description": "User age", "default": 30 },
            "score": { "type": "number", "description": "User score", "default": 95.5 },
            "status": {
                "type": "string", "description": "User status", "enum": ["active", "inactive", "pending"],
                "default": "active",
            },
            "verified": { "type": "boolean", "description": "Verification status", "default": true },
        },
        "required": [],
    })
}

fn choices() -> Value {
    let titled = |kind: &str| {
        json!([
            { "const": "value1", "title": format!("First {kind}") },
            { "const": "value2", "title": format!("Second {kind}") },
            { "const": "value3", "title": format!("Third {kind}") },
        ])
    };
    let options = ["option1", "option2", "option3"];
    json!({
        "type": "object",
        "properties": {
            "untitledSingle": { "type": "string", "description": "Select one option", "enum": options },
            "titledSingle": { "type": "string", "description": "Select one option", "oneOf": titled("Option") },
            "legacyEnum": {
                "type": "string", "description": "Select one option", "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": {
                "type": "array", "description": "Select some options",
                "items": { "type": "string", "enum": options },
            },
            "titledMulti": {
                "type": "array", "description": "Select some options", "items": { "anyOf": titled("Choice") },
            },
        },
        "required": [],
    })
}

fn missing_capability() -> ToolResult {
    match prompt("Say something.", MAX_TOKENS).wait() {
        Ok(said) => Ok(Output::text(said.text())),
        Err(HostError::Unavailable(why)) => Err(Failure::Protocol {
            code: MISSING_CAPABILITY,
            message: why,
            data: Some(json!({ "requiredCapabilities": { "sampling": {} } })),
        }),
        Err(other) => Err(other.into()),
    }
}

fn multiple_inputs() -> ToolResult {
    let name = form("user_name", "What is your name?", text_form("name")).ask()?;
    let greeting = prompt("Generate a greeting", MAX_TOKENS).ask()?;
    let folders = roots::ask()?;
    let (name, greeting, folders) = (elicit::take(name)?, sample::take(greeting)?, roots::take(folders)?);
    Ok(Output::text(format!("{} ({}; roots: {})", greeting.text(), told(name), uris(&folders))))
}

fn multi_round() -> ToolResult {
    let name = form("step1", "Step 1: What is your name?", text_form("name")).wait()?;
    let color = form("step2", "Step 2: What is your favorite color?", text_form("color")).wait()?;
    Ok(Output::text(format!("Name: {}; color: {}", told(name), told(color))))
}

/// Whichever the client can give: the host offers it no other.
fn capabilities() -> ToolResult {
    let name = form("user_name", "What is your name?", text_form("name")).ask()?;
    let tickets = [name, prompt("Generate a greeting", MAX_TOKENS).ask()?];
    let ready: Vec<Ticket> = waits::any(&tickets, None)?;
    tickets.into_iter().filter(|ticket| !ready.contains(ticket)).for_each(waits::abandon);
    Ok(Output::text("Thank you."))
}
