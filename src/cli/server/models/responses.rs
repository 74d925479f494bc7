//! OpenAI's `responses`.

use serde_json::{Map, Value, json};

use super::fault::Fault;
use super::message::{Answer, blocks_of, message, settle};
use crate::cli::server::sampler::tool_text;

pub fn request(model: &str, request: &Value) -> Result<Value, Fault> {
    if request["stopSequences"].as_array().is_some_and(|stops| !stops.is_empty()) {
        return Err(Fault::request("this interface knows no stop sequences"));
    }
    let mut input = Vec::new();
    for message in request["messages"].as_array().into_iter().flatten() {
        put_message(message, &mut input)?;
    }
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    put("model", json!(model));
    put("input", Value::Array(input));
    put("stream", json!(true));
    put("store", json!(false));
    for (ours, theirs) in
        [("systemPrompt", "instructions"), ("maxTokens", "max_output_tokens"), ("temperature", "temperature")]
    {
        if let Some(value) = request.get(ours) {
            put(theirs, value.clone());
        }
    }
    if let Some(tools) = request["tools"].as_array() {
        let tool = |tool: &Value| {
            json!({
                "type": "function", "name": tool["name"], "description": tool["description"],
                "parameters": tool["inputSchema"], "strict": false,
            })
        };
        put("tools", tools.iter().map(tool).collect());
    }
    if let Some(mode) = request["toolChoice"]["mode"].as_str() {
        put("tool_choice", json!(mode));
    }
    Ok(Value::Object(body))
}

/// Uses of tools and what they came to are items of their own.
fn put_message(message: &Value, input: &mut Vec<Value>) -> Result<(), Fault> {
    let is_assistant = message["role"] == "assistant";
    let mut said = Vec::new();
    for block in blocks_of(message) {
        match block["type"].as_str() {
            Some("text") => {
                let kind = if is_assistant { "output_text" } else { "input_text" };
                said.push(json!({ "type": kind, "text": block["text"] }));
            }
            Some("image") => {
                let (data, kind) = (block["data"].as_str(), block["mimeType"].as_str());
                let url = format!("data:{};base64,{}", kind.unwrap_or_default(), data.unwrap_or_default());
                said.push(json!({ "type": "input_image", "image_url": url }));
            }
            Some("tool_use") => {
                put_said(message, &mut said, input);
                input.push(json!({
                    "type": "function_call", "call_id": block["id"], "name": block["name"],
                    "arguments": block["input"].to_string(),
                }));
            }
            Some("tool_result") => input.push(json!({
                "type": "function_call_output", "call_id": block["toolUseId"], "output": tool_text(block),
            })),
            Some(kind) => return Err(Fault::request(format!("this interface takes no {kind}"))),
            None => return Err(Fault::request("a block of the request has no type")),
        }
    }
    put_said(message, &mut said, input);
    Ok(())
}

fn put_said(message: &Value, said: &mut Vec<Value>, input: &mut Vec<Value>) {
    if !said.is_empty() {
        let content = std::mem::take(said);
        input.push(json!({ "type": "message", "role": message["role"], "content": content }));
    }
}

/// A streamed answer: its last event has the whole.
#[derive(Default)]
pub struct Assembly {
    whole: Option<Value>,
}

impl Assembly {
    /// The next piece of its text.
    pub fn add(&mut self, event: &Value) -> Result<String, Fault> {
        match event["type"].as_str() {
            Some("response.output_text.delta") => {
                return Ok(event["delta"].as_str().unwrap_or_default().to_owned());
            }
            Some("response.completed" | "response.incomplete" | "response.failed") => {
                self.whole = Some(event["response"].clone());
            }
            _ => {}
        }
        Ok(String::new())
    }

    /// `None` where it was cut before its end.
    pub fn whole(self) -> Option<Value> {
        self.whole
    }
}

pub fn answer(model: &str, whole: &Value) -> Result<Answer, Fault> {
    let mut content = Vec::new();
    for item in whole["output"].as_array().into_iter().flatten() {
        match item["type"].as_str() {
            Some("message") => {
                let parts = item["content"].as_array().into_iter().flatten();
                let texts = parts.filter_map(|part| part["text"].as_str().or(part["refusal"].as_str()));
                content.extend(texts.map(|text| json!({ "type": "text", "text": text })));
            }
            Some("function_call") => {
                let input =
                    item["arguments"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
                let Some(input) = input.filter(Value::is_object) else {
                    return Err(Fault::answer("the arguments of a tool that it calls are no JSON object"));
                };
                content.push(json!({
                    "type": "tool_use", "id": item["call_id"], "name": item["name"], "input": input,
                }));
            }
            // What it reasoned is not what it says.
            _ => {}
        }
    }
    let reason = match whole["incomplete_details"]["reason"].as_str() {
        Some("max_output_tokens") => Some("maxTokens"),
        Some(other) => Some(other),
        None if content.iter().any(|block| block["type"] == "tool_use") => Some("toolUse"),
        None => Some("endTurn"),
    };
    let model = whole["model"].as_str().unwrap_or(model);
    let message = message(model, content, reason)?;
    Ok(settle(message, &whole["usage"]["input_tokens"], &whole["usage"]["output_tokens"]))
}
