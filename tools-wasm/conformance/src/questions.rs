//! Tools that ask the client: for a person's answer, for its model, for its folders.

use longhaul_guest::bindings::longhaul::tool::elicitation::{self, Answer, By, Form, Question};
use longhaul_guest::bindings::longhaul::tool::roots;
use longhaul_guest::bindings::longhaul::tool::sampling::{self, Message, Request, Response, Role};
use longhaul_guest::bindings::longhaul::tool::types::Content;
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
            |args: Prompt| Ok(Output::text(format!("LLM response: {}", sample(&args.prompt)?.wait()?))),
        )
        .inline(0),
        Tool::new(
            "test_elicitation",
            "Asks the user.",
            one_text("message", "What to ask"),
            |args: Wording| {
                let answer = ask("response", &args.message, text_form("response"))?.wait()?;
                Ok(Output::text(format!("User response: {}", told(&answer))))
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
            Ok(Output::text(sample("What is the capital of France?")?.wait()?))
        }),
        plain("test_input_required_result_list_roots", "Asks for the client's folders.", || {
            Ok(Output::text(format!("The roots are {}", list_roots()?.wait()?)))
        }),
        plain("test_input_required_result_request_state", "Asks the user.", || {
            ask("confirm", "Please confirm", yes_or_no())?.wait()?;
            Ok(Output::text("state-ok"))
        }),
        plain("test_input_required_result_tampered_state", "Asks the user.", || {
            ask("confirm", "Please confirm", yes_or_no())?.wait()?;
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

/// A question that is on its way, and how its answer is taken.
pub struct Asked<T> {
    ticket: Ticket,
    take: fn(Ticket) -> Result<T, HostError>,
}

impl<T> Asked<T> {
    pub fn wait(self) -> Result<T, Failure> {
        waits::all(&[self.ticket])?;
        Ok((self.take)(self.ticket)?)
    }
}

pub fn ask(key: &str, message: &str, schema: Value) -> Result<Asked<Answer>, HostError> {
    let question = Question {
        key: key.to_owned(),
        message: message.to_owned(),
        form: Form::Schema(schema.to_string()),
        by: By::Person,
        timeout_seconds: None,
    };
    Ok(Asked { ticket: elicitation::ask(&question)?, take: elicitation::take })
}

/// What the answer holds, if it is one.
pub fn accepted(answer: &Answer) -> Option<Value> {
    match answer {
        Answer::Accept(content) => longhaul_guest::serde_json::from_str(content).ok(),
        Answer::Decline | Answer::Cancel | Answer::Timeout => None,
    }
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Accept(content) => format!("action=accept, content={content}"),
        Answer::Decline => "action=decline".to_owned(),
        Answer::Cancel => "action=cancel".to_owned(),
        Answer::Timeout => "action=timeout".to_owned(),
    }
}

fn sample(prompt: &str) -> Result<Asked<String>, HostError> {
    let request = Request {
        messages: vec![Message { role: Role::User, content: vec![Content::Text(prompt.to_owned())] }],
        system_prompt: None,
        max_tokens: 100,
        temperature: None,
        stop_sequences: Vec::new(),
        model_preferences: None,
        tools: None,
        tool_choice: None,
    };
    Ok(Asked { ticket: sampling::ask(&request)?, take: |ticket| sampling::take(ticket).map(said) })
}

fn said(response: Response) -> String {
    let texts = response.content.into_iter().filter_map(|content| match content {
        Content::Text(text) => Some(text),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

fn list_roots() -> Result<Asked<String>, HostError> {
    let take = |ticket| {
        let roots = roots::take(ticket)?;
        Ok(roots.into_iter().map(|root| root.uri).collect::<Vec<_>>().join(", "))
    };
    Ok(Asked { ticket: roots::ask()?, take })
}

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
    let answer = ask(key, message, text_form("name"))?.wait()?;
    let name = accepted(&answer).and_then(|content| Some(content["name"].as_str()?.to_owned()));
    Ok(Output::text(format!("Hello, {}!", name.as_deref().unwrap_or("stranger"))))
}

fn completed(schema: Value) -> ToolResult {
    let answer = ask("form", "Please fill in the form", schema)?.wait()?;
    Ok(Output::text(format!("Elicitation completed: {}", told(&answer))))
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
    match sample("Say something.").and_then(|asked| (asked.take)(asked.ticket)) {
        Ok(said) => Ok(Output::text(said)),
        Err(HostError::Unavailable(why)) => Err(Failure::Protocol {
            code: MISSING_CAPABILITY,
            message: why,
            data: Some(json!({ "requiredCapabilities": { "sampling": {} } })),
        }),
        Err(other) => Err(other.into()),
    }
}

fn multiple_inputs() -> ToolResult {
    let name = ask("user_name", "What is your name?", text_form("name"))?;
    let greeting = sample("Generate a greeting")?;
    let roots = list_roots()?;
    waits::all(&[name.ticket, greeting.ticket, roots.ticket])?;
    let (name, greeting, roots) = (name.wait()?, greeting.wait()?, roots.wait()?);
    Ok(Output::text(format!("{greeting} ({}; roots: {roots})", told(&name))))
}

fn multi_round() -> ToolResult {
    let name = ask("step1", "Step 1: What is your name?", text_form("name"))?.wait()?;
    let color = ask("step2", "Step 2: What is your favorite color?", text_form("color"))?.wait()?;
    Ok(Output::text(format!("Name: {}; color: {}", told(&name), told(&color))))
}

/// Whichever the client can give: the host offers it no other.
fn capabilities() -> ToolResult {
    let name = ask("user_name", "What is your name?", text_form("name")).ok();
    let greeting = sample("Generate a greeting").ok();
    let tickets: Vec<Ticket> =
        [name.map(|asked| asked.ticket), greeting.map(|asked| asked.ticket)].into_iter().flatten().collect();
    let ready = waits::any(&tickets, None)?;
    tickets.iter().filter(|ticket| !ready.contains(ticket)).for_each(|ticket| waits::abandon(*ticket));
    Ok(Output::text("Thank you."))
}
