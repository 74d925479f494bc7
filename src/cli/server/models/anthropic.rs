//! Anthropic's `messages`.

use serde_json::{Map, Value, json};

use super::fault::Fault;
use super::message::{Answer, blocks_of, message, settle};

pub fn request(model: &str, request: &Value) -> Result<Value, Fault> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    put("model", json!(model));
    put("max_tokens", request["maxTokens"].clone());
    put("stream", json!(true));
    for (ours, theirs) in
        [("systemPrompt", "system"), ("temperature", "temperature"), ("stopSequences", "stop_sequences")]
    {
        if let Some(value) = request.get(ours) {
            put(theirs, value.clone());
        }
    }
    let mut messages = Vec::new();
    for message in request["messages"].as_array().into_iter().flatten() {
        let content: Vec<Value> = blocks_of(message).iter().map(block).collect::<Result<_, _>>()?;
        messages.push(json!({ "role": message["role"], "content": content }));
    }
    put("messages", Value::Array(messages));
    if let Some(tools) = request["tools"].as_array() {
        let tool = |tool: &Value| {
            json!({
                "name": tool["name"], "description": tool["description"].as_str().unwrap_or_default(),
                "input_schema": tool["inputSchema"],
            })
        };
        put("tools", tools.iter().map(tool).collect());
    }
    match request["toolChoice"]["mode"].as_str() {
        Some("required") => put("tool_choice", json!({ "type": "any" })),
        Some(mode @ ("auto" | "none")) => put("tool_choice", json!({ "type": mode })),
        _ => {}
    }
    Ok(Value::Object(body))
}

fn block(block: &Value) -> Result<Value, Fault> {
    Ok(match block["type"].as_str() {
        Some("text") => json!({ "type": "text", "text": block["text"] }),
        Some("image") => json!({ "type": "image", "source": {
            "type": "base64", "media_type": block["mimeType"], "data": block["data"],
        } }),
        Some("tool_use") => {
            json!({ "type": "tool_use", "id": block["id"], "name": block["name"], "input": block["input"] })
        }
        Some("tool_result") => tool_result(block)?,
        Some(kind) => return Err(Fault::request(format!("this interface takes no {kind}"))),
        None => return Err(Fault::request("a block of the request has no type")),
    })
}

fn tool_result(result: &Value) -> Result<Value, Fault> {
    let content = result["content"].as_array().into_iter().flatten();
    let mut content: Vec<Value> = content.map(block).collect::<Result<_, _>>()?;
    if content.is_empty() && !result["structuredContent"].is_null() {
        content.push(json!({ "type": "text", "text": result["structuredContent"].to_string() }));
    }
    let is_error = result["isError"] == true;
    Ok(json!({
        "type": "tool_result", "tool_use_id": result["toolUseId"], "content": content, "is_error": is_error,
    }))
}

/// A streamed answer, in the form of one that comes as a whole.
#[derive(Default)]
pub struct Assembly {
    model: Value,
    content: Vec<Value>,
    /// Of each block, what came of its input so far.
    inputs: Vec<String>,
    stop_reason: Value,
    usage: Map<String, Value>,
    is_over: bool,
}

impl Assembly {
    /// The next piece of its text.
    pub fn add(&mut self, event: &Value) -> Result<String, Fault> {
        match event["type"].as_str() {
            Some("message_start") => {
                self.model = event["message"]["model"].clone();
                self.add_usage(&event["message"]["usage"]);
            }
            Some("content_block_start") => {
                self.content.push(event["content_block"].clone());
                self.inputs.push(String::new());
            }
            Some("content_block_delta") => return self.add_delta(event),
            Some("message_delta") => {
                self.stop_reason = event["delta"]["stop_reason"].clone();
                self.add_usage(&event["usage"]);
            }
            Some("message_stop") => self.is_over = true,
            // Pings, and what comes to be.
            _ => {}
        }
        Ok(String::new())
    }

    fn add_usage(&mut self, usage: &Value) {
        for (name, count) in usage.as_object().into_iter().flatten().filter(|(_, count)| count.is_u64()) {
            self.usage.insert(name.clone(), count.clone());
        }
    }

    fn add_delta(&mut self, event: &Value) -> Result<String, Fault> {
        let index =
            event["index"].as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX);
        let (Some(block), Some(input)) = (self.content.get_mut(index), self.inputs.get_mut(index)) else {
            return Err(Fault::answer("its stream has a piece of a block that did not begin"));
        };
        let delta = &event["delta"];
        if let Some(more) = delta["partial_json"].as_str() {
            input.push_str(more);
        }
        let Some(more) = delta["text"].as_str().filter(|_| block["type"] == "text") else {
            return Ok(String::new());
        };
        let so_far = block["text"].as_str().unwrap_or_default();
        block["text"] = json!(format!("{so_far}{more}"));
        Ok(more.to_owned())
    }

    /// `None` where it was cut before its end.
    pub fn whole(mut self) -> Option<Result<Value, Fault>> {
        if !self.is_over {
            return None;
        }
        for (block, input) in self.content.iter_mut().zip(&self.inputs) {
            if block["type"] == "tool_use" && !input.is_empty() {
                let Ok(input) = serde_json::from_str(input) else {
                    return Some(Err(Fault::answer(
                        "the arguments of a tool that it calls are no JSON object",
                    )));
                };
                block["input"] = input;
            }
        }
        Some(Ok(json!({
            "model": self.model, "content": self.content, "stop_reason": self.stop_reason, "usage": self.usage,
        })))
    }
}

pub fn answer(model: &str, whole: &Value) -> Result<Answer, Fault> {
    let mut content = Vec::new();
    for block in whole["content"].as_array().into_iter().flatten() {
        match block["type"].as_str() {
            Some("text") if block["text"].is_string() => {
                content.push(json!({ "type": "text", "text": block["text"] }));
            }
            Some("tool_use") if block["input"].is_object() && block["id"].is_string() => {
                content.push(json!({
                    "type": "tool_use", "id": block["id"], "name": block["name"], "input": block["input"],
                }))
            }
            Some("text" | "tool_use") => {
                return Err(Fault::answer("a block of its answer has another shape"));
            }
            // What it thought is not what it says.
            _ => {}
        }
    }
    let reason = match whole["stop_reason"].as_str() {
        Some("end_turn") => Some("endTurn"),
        Some("max_tokens") => Some("maxTokens"),
        Some("stop_sequence") => Some("stopSequence"),
        Some("tool_use") => Some("toolUse"),
        other => other,
    };
    let model = whole["model"].as_str().unwrap_or(model);
    let message = message(model, content, reason)?;
    let usage = &whole["usage"];
    let parts = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
    let input = parts.iter().filter_map(|part| usage[part].as_u64()).reduce(u64::saturating_add);
    Ok(settle(message, &json!(input), &usage["output_tokens"]))
}
