//! Samples from an OpenAI-compatible endpoint: `[sampling]` in the configuration.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::authority::Secret;
use crate::cli::config::SamplingSettings;
use crate::cli::exit::{CliError, Result};
use crate::engine::BoxFuture;
use crate::engine::questions::{Sampled, Sampler};
use crate::{clock, limits};

/// Waits before each further try: the endpoint was busy, or away for a moment.
const TRY_AGAIN_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

pub struct Endpoint {
    http: reqwest::Client,
    url: String,
    model: String,
    key: Option<Secret>,
}

impl Endpoint {
    pub fn new(settings: &SamplingSettings, certificates: &[reqwest::Certificate]) -> Result<Self> {
        let key = match &settings.key_variable {
            None => None,
            Some(name) => match std::env::var(name).ok().filter(|key| !key.is_empty()) {
                Some(key) => Some(Secret::new(key)),
                None => {
                    return Err(CliError::usage(format_args!(
                        "[sampling] key: the variable {name} is not set"
                    ))
                    .next(format!("set {name}, or leave `key` out where the endpoint needs none")));
                }
            },
        };
        let builder = match settings.url.starts_with("https:") {
            true => reqwest::Client::builder().tls_certs_merge(certificates.to_vec()),
            // It needs no authority, and a machine without any must not stand in its way.
            false => reqwest::Client::builder().tls_certs_only([]),
        };
        let http = builder
            .connect_timeout(Duration::from_millis(limits::HTTP_CONNECT_MS))
            // The key is for this address alone.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| {
                CliError::failed(format_args!("the client of [sampling] cannot be set up: {error}"))
            })?;
        let url = format!("{}/chat/completions", settings.url.trim_end_matches('/'));
        Ok(Self { http, url, model: settings.model.clone(), key })
    }
}

/// Why a try came to nothing.
enum Fault {
    /// It may do better.
    Again(String),
    Final(String),
}

impl Sampler for Endpoint {
    fn sample(&self, request: Value, idempotency_key: String) -> BoxFuture<Result<Sampled, String>> {
        let body = completion_request(&self.model, &request);
        let post = self.http.post(&self.url).header("content-type", "application/json");
        // Endpoints and gateways that know it answer a repeated request with what they answered before.
        let mut post = post.header("idempotency-key", idempotency_key).body(body.to_string());
        if let Some(key) = &self.key {
            post = post.bearer_auth(key.expose());
        }
        let model = self.model.clone();
        Box::pin(async move {
            let mut waits = TRY_AGAIN_AFTER.into_iter();
            loop {
                let Some(attempt) = post.try_clone() else {
                    return Err("the request cannot be sent".to_owned());
                };
                let answer = clock::timeout(Duration::from_secs(limits::SAMPLE_SECONDS), send(attempt)).await;
                let answer = answer.unwrap_or_else(|| {
                    Err(Fault::Again(format!("it did not answer within {} s", limits::SAMPLE_SECONDS)))
                });
                match (answer, waits.next()) {
                    (Ok(answer), _) => return sampled(&model, &answer),
                    (Err(Fault::Again(why)), Some(wait)) => {
                        tracing::info!(%why, "the sampling endpoint is asked again");
                        clock::sleep(wait).await;
                    }
                    (Err(Fault::Again(why) | Fault::Final(why)), _) => {
                        return Err(format!("the sampling endpoint: {why}"));
                    }
                }
            }
        })
    }
}

async fn send(request: reqwest::RequestBuilder) -> Result<Value, Fault> {
    // The URL may hold a secret.
    let answer = request.send().await.map_err(|error| Fault::Again(error.without_url().to_string()))?;
    let status = answer.status();
    let mut bytes = Vec::new();
    let mut answer = answer;
    while let Some(chunk) =
        answer.chunk().await.map_err(|error| Fault::Again(error.without_url().to_string()))?
    {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > limits::MAX_ANSWER_BYTES {
            return Err(Fault::Final(format!(
                "its answer is larger than {} bytes",
                limits::MAX_ANSWER_BYTES
            )));
        }
    }
    let value: Option<Value> = serde_json::from_slice(&bytes).ok();
    if status.is_success() {
        return value.ok_or_else(|| Fault::Final("its answer is no JSON".to_owned()));
    }
    let said = value.as_ref().and_then(|value| value["error"]["message"].as_str()).unwrap_or_default();
    let said: String = said.chars().take(limits::MAX_VIOLATION_CHARS).collect();
    let why = format!("status {status} {said}").trim_end().to_owned();
    let may_pass = status.is_server_error() || status == reqwest::StatusCode::TOO_MANY_REQUESTS;
    Err(if may_pass { Fault::Again(why) } else { Fault::Final(why) })
}

/// From the parameters of MCP's `sampling/createMessage`.
pub(super) fn completion_request(model: &str, request: &Value) -> Value {
    let mut messages = Vec::new();
    if let Some(prompt) = request["systemPrompt"].as_str() {
        messages.push(json!({ "role": "system", "content": prompt }));
    }
    for message in request["messages"].as_array().into_iter().flatten() {
        put_message(message, &mut messages);
    }
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    put("model", json!(model));
    put("messages", Value::Array(messages));
    for (ours, theirs) in
        [("maxTokens", "max_tokens"), ("temperature", "temperature"), ("stopSequences", "stop")]
    {
        if let Some(value) = request.get(ours) {
            put(theirs, value.clone());
        }
    }
    if let Some(tools) = request["tools"].as_array() {
        let tool = |tool: &Value| {
            json!({ "type": "function", "function": {
                "name": tool["name"], "description": tool["description"], "parameters": tool["inputSchema"],
            } })
        };
        put("tools", tools.iter().map(tool).collect());
    }
    if let Some(mode) = request["toolChoice"]["mode"].as_str() {
        put("tool_choice", json!(mode));
    }
    Value::Object(body)
}

/// Uses of tools stand next to what the assistant says there, and what they came to in messages of their own.
fn put_message(message: &Value, messages: &mut Vec<Value>) {
    let content = &message["content"];
    let blocks = content.as_array().map_or(std::slice::from_ref(content), Vec::as_slice);
    let (mut said, mut used) = (Vec::new(), Vec::new());
    for block in blocks {
        match block["type"].as_str() {
            Some("tool_use") => used.push(json!({
                "id": block["id"], "type": "function",
                "function": { "name": block["name"], "arguments": block["input"].to_string() },
            })),
            Some("tool_result") => messages.push(json!({
                "role": "tool", "tool_call_id": block["toolUseId"], "content": tool_text(block),
            })),
            _ => said.push(block.clone()),
        }
    }
    if said.is_empty() && used.is_empty() {
        return;
    }
    let content = if said.is_empty() { Value::Null } else { parts(&said) };
    let mut converted = json!({ "role": message["role"], "content": content });
    if !used.is_empty() {
        converted["tool_calls"] = Value::Array(used);
    }
    messages.push(converted);
}

/// Texts alone go there; what is structured stands for a result without any.
pub(super) fn tool_text(result: &Value) -> String {
    let blocks = result["content"].as_array().into_iter().flatten();
    let mut texts: Vec<&str> = blocks.filter_map(|block| block["text"].as_str()).collect();
    let structured = result.get("structuredContent").map(Value::to_string);
    if texts.is_empty() {
        texts.extend(structured.as_deref());
    }
    let text = texts.join("\n");
    if result["isError"] == true { format!("Error: {text}") } else { text }
}

/// A text alone stays a text: not every endpoint knows parts.
fn parts(blocks: &[Value]) -> Value {
    if let [block] = blocks
        && block["type"] == "text"
    {
        return block["text"].clone();
    }
    let part = |block: &Value| {
        let (data, mime_type) = (block["data"].as_str()?, block["mimeType"].as_str()?);
        match block["type"].as_str()? {
            "image" => Some(
                json!({ "type": "image_url", "image_url": { "url": format!("data:{mime_type};base64,{data}") } }),
            ),
            "audio" => {
                let format = mime_type.split('/').next_back()?;
                Some(json!({ "type": "input_audio", "input_audio": { "data": data, "format": format } }))
            }
            _ => None,
        }
    };
    let text = |block: &Value| Some(json!({ "type": "text", "text": block["text"].as_str()? }));
    blocks.iter().filter_map(|block| text(block).or_else(|| part(block))).collect()
}

/// As MCP's `sampling/createMessage` answers.
pub(super) fn sampled(model: &str, answer: &Value) -> Result<Sampled, String> {
    let choice = &answer["choices"][0];
    let mut content = Vec::new();
    if let Some(text) = choice["message"]["content"].as_str().filter(|text| !text.is_empty()) {
        content.push(json!({ "type": "text", "text": text }));
    }
    for call in choice["message"]["tool_calls"].as_array().into_iter().flatten() {
        let arguments = call["function"]["arguments"].as_str().unwrap_or("{}");
        let input: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
        content.push(json!({
            "type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": input,
        }));
    }
    let content = match content.len() {
        0 => return Err("the sampling endpoint answered without a message".to_owned()),
        1 => content.remove(0),
        _ => Value::Array(content),
    };
    let mut message = json!({
        "model": answer["model"].as_str().unwrap_or(model), "role": "assistant", "content": content,
    });
    let stop_reason = match choice["finish_reason"].as_str() {
        Some("stop") => Some("endTurn"),
        Some("length") => Some("maxTokens"),
        Some("tool_calls") => Some("toolUse"),
        other => other,
    };
    if let Some(reason) = stop_reason {
        message["stopReason"] = json!(reason);
    }
    Ok(Sampled { message, tokens: answer["usage"]["total_tokens"].as_u64() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_put_in_the_endpoints_words() {
        let request = json!({
            "systemPrompt": "Be brief.", "maxTokens": 9, "stopSequences": ["."],
            "messages": [
                { "role": "user", "content": { "type": "text", "text": "What is this?" } },
                { "role": "user", "content": [
                    { "type": "text", "text": "Here:" },
                    { "type": "image", "data": "AQI=", "mimeType": "image/png" },
                ] },
            ],
            "tools": [{ "name": "look", "description": "Looks.", "inputSchema": { "type": "object" } }],
            "toolChoice": { "mode": "auto" },
        });
        let body = completion_request("m", &request);
        assert_eq!(
            (&body["model"], &body["max_tokens"], &body["stop"]),
            (&json!("m"), &json!(9), &json!(["."]))
        );
        assert_eq!(body["messages"][0], json!({ "role": "system", "content": "Be brief." }));
        assert_eq!(body["messages"][1]["content"], "What is this?");
        assert_eq!(body["messages"][2]["content"][1]["image_url"]["url"], "data:image/png;base64,AQI=");
        assert_eq!(body["tools"][0]["function"]["parameters"], json!({ "type": "object" }));
        assert_eq!((&body["tool_choice"], body.get("temperature")), (&json!("auto"), None));
    }

    #[test]
    fn what_tools_came_to_is_put_in_the_endpoints_words() {
        let used = |id: &str| json!({ "type": "tool_use", "id": id, "name": "look", "input": { "at": 2 } });
        let text = |text: &str| json!({ "type": "text", "text": text });
        let request = json!({
            "maxTokens": 9,
            "messages": [
                { "role": "user", "content": text("What is there?") },
                { "role": "assistant", "content": [text("I look."), used("1"), used("2")] },
                { "role": "user", "content": [
                    { "type": "tool_result", "toolUseId": "1", "content": [text("a cat"), text("asleep")] },
                    { "type": "tool_result", "toolUseId": "2", "content": [], "structuredContent": { "at": 3 }, "isError": true },
                ] },
                { "role": "assistant", "content": used("3") },
                { "role": "user", "content": { "type": "tool_result", "toolUseId": "3", "content": [] } },
            ],
        });
        let call = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "look", "arguments": "{\"at\":2}" } });
        let tool = |id: &str, text: &str| json!({ "role": "tool", "tool_call_id": id, "content": text });
        assert_eq!(
            completion_request("m", &request)["messages"],
            json!([
                { "role": "user", "content": "What is there?" },
                { "role": "assistant", "content": "I look.", "tool_calls": [call("1"), call("2")] },
                tool("1", "a cat\nasleep"),
                tool("2", "Error: {\"at\":3}"),
                { "role": "assistant", "content": null, "tool_calls": [call("3")] },
                tool("3", ""),
            ])
        );
    }

    #[test]
    fn an_answer_is_a_models_message_with_its_cost() {
        let answer = json!({
            "model": "m-2", "usage": { "total_tokens": 17 },
            "choices": [{ "finish_reason": "length", "message": { "role": "assistant", "content": "A cat" } }],
        });
        let seen = sampled("m", &answer).expect("a message");
        assert_eq!(seen.tokens, Some(17));
        let message = json!({
            "model": "m-2", "role": "assistant", "content": { "type": "text", "text": "A cat" }, "stopReason": "maxTokens",
        });
        assert_eq!(seen.message, message);
        let call = json!({ "id": "1", "function": { "name": "look", "arguments": "{\"at\":2}" } });
        let answer =
            json!({ "choices": [{ "finish_reason": "tool_calls", "message": { "tool_calls": [call] } }] });
        let seen = sampled("m", &answer).expect("a message");
        let used = json!({ "type": "tool_use", "id": "1", "name": "look", "input": { "at": 2 } });
        assert_eq!((&seen.message["content"], &seen.message["stopReason"]), (&used, &json!("toolUse")));
        assert!(sampled("m", &json!({ "choices": [] })).is_err());
    }
}
