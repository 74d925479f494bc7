use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use wasmtime::Result;

use super::bindings::longhaul::tool::sampling::{self, Content, Error, Request, Response, Role};
use super::bindings::longhaul::tool::types::Blob;
use super::question::no_answer;
use super::refusal::not_granted;
use crate::authority::Capability;
use crate::engine::questions::{Answer, Ask, Question};
use crate::limits;
use crate::sandbox::stop::Stop;
use crate::sandbox::world::World;
use crate::task::By;

const LINE: &str = "sample = true";
const AT_HAND_MS: u64 = limits::AT_HAND_SECONDS * 1_000;

impl sampling::Host for World {
    fn ask(&mut self, request: Request) -> Result<Result<u64, Error>> {
        if !self.grant.allows(Capability::Sample) {
            return Ok(Err(not_granted(LINE)));
        }
        let max_tokens = u64::from(request.max_tokens);
        let request = match params(request) {
            Ok(request) => request.to_string(),
            Err(why) => return Ok(Err(Error::Invalid(why))),
        };
        let limit = limits::MAX_SAMPLE_REQUEST_BYTES;
        if request.len() > limit {
            let bytes = request.len();
            return Ok(Err(Error::Limit(format!(
                "a sample's request is at most {limit} bytes, not {bytes}"
            ))));
        }
        let deadline = self.due_after(AT_HAND_MS)?;
        let parts = request.clone();
        let ask = Ask::Sample { request, max_tokens };
        let question = Question { key: None, by: By::Any, ask, deadline };
        Ok(self.ask("sampling.ask", &[parts.as_bytes()], question)?)
    }

    async fn take(&mut self, ticket: u64) -> Result<Result<Response, Error>> {
        let message = match self.answered(ticket, "sampling.take").await? {
            Ok(Answer::Accept(message)) => message,
            Ok(other) => return Ok(Err(no_answer(other, "the model's owner"))),
            Err(error) => return Ok(Err(error)),
        };
        Ok(Ok(response(message)?))
    }
}

/// As MCP's `sampling/createMessage` has it.
fn params(request: Request) -> Result<Value, String> {
    if request.messages.is_empty() || request.max_tokens == 0 {
        return Err("a sample needs a message and at least one token".to_owned());
    }
    let messages = request.messages.into_iter().map(|message| {
        let blocks: Vec<Value> = message.content.into_iter().map(block).collect::<Result<_, _>>()?;
        let role = match message.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        // Protocols before 2025-11-25 know a single block alone.
        let content = match <[Value; 1]>::try_from(blocks) {
            Ok([block]) => block,
            Err(blocks) if blocks.is_empty() => return Err("a message has no content".to_owned()),
            Err(blocks) => Value::Array(blocks),
        };
        Ok(json!({"role": role, "content": content}))
    });
    let messages: Vec<Value> = messages.collect::<Result<_, String>>()?;
    let mut params = Map::new();
    params.insert("messages".to_owned(), Value::Array(messages));
    params.insert("maxTokens".to_owned(), json!(request.max_tokens));
    if let Some(prompt) = request.system_prompt {
        params.insert("systemPrompt".to_owned(), Value::String(prompt));
    }
    if let Some(temperature) = request.temperature {
        params.insert("temperature".to_owned(), json!(temperature));
    }
    if !request.stop_sequences.is_empty() {
        params.insert("stopSequences".to_owned(), json!(request.stop_sequences));
    }
    let passed_on = [
        ("modelPreferences", request.model_preferences),
        ("tools", request.tools),
        ("toolChoice", request.tool_choice),
    ];
    for (name, text) in passed_on {
        if let Some(text) = text {
            let value = serde_json::from_str(&text).map_err(|error| format!("{name} is no JSON: {error}"))?;
            params.insert(name.to_owned(), value);
        }
    }
    Ok(Value::Object(params))
}

fn block(content: Content) -> Result<Value, String> {
    let data = |kind: &str, blob: Blob| {
        Ok(json!({"type": kind, "data": BASE64.encode(blob.data), "mimeType": blob.mime_type}))
    };
    match content {
        Content::Text(text) => Ok(json!({"type": "text", "text": text})),
        Content::Image(blob) => data("image", blob),
        Content::Audio(blob) => data("audio", blob),
        Content::Link(_) | Content::Embedded(_) => {
            Err("a model is told texts, images and sounds; write a link or an embedded text as text"
                .to_owned())
        }
    }
}

/// From the message as the engine checked it. Blocks of kinds that are not known here are in `raw` alone.
fn response(raw: String) -> Result<Response, Stop> {
    let message: Value = serde_json::from_str(&raw)
        .map_err(|error| Stop::HostFault(format!("a stored sample is no JSON: {error}")))?;
    let text = |name: &str| message[name].as_str().map(str::to_owned);
    let content = match &message["content"] {
        Value::Array(blocks) => blocks.iter().filter_map(known).collect(),
        block => known(block).into_iter().collect(),
    };
    Ok(Response {
        model: text("model").unwrap_or_default(),
        role: if message["role"] == "user" { Role::User } else { Role::Assistant },
        content,
        stop_reason: text("stopReason"),
        raw,
    })
}

fn known(block: &Value) -> Option<Content> {
    let blob = || {
        let data = BASE64.decode(block["data"].as_str()?).ok()?;
        Some(Blob { data, mime_type: block["mimeType"].as_str().unwrap_or_default().to_owned() })
    };
    match block["type"].as_str()? {
        "text" => block["text"].as_str().map(|text| Content::Text(text.to_owned())),
        "image" => blob().map(Content::Image),
        "audio" => blob().map(Content::Audio),
        _ => None,
    }
}
