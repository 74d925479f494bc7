//! OpenAI's `chat/completions`, which many others offer too.

use serde_json::{Map, Value, json};

use super::fault::Fault;
use super::message::{Answer, settle};
use crate::cli::server::sampler::{completion_request, sampled};

/// Some models want the bound under another name, which others do not know.
pub fn request(model: &str, request: &Value, wants_completion_tokens: bool) -> Value {
    let mut body = completion_request(model, request);
    if wants_completion_tokens && let Some(body) = body.as_object_mut() {
        let most = body.remove("max_tokens");
        body.extend(most.map(|most| ("max_completion_tokens".to_owned(), most)));
    }
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    body
}

/// A streamed answer, in the form of one that comes as a whole.
#[derive(Default)]
pub struct Assembly {
    model: Option<String>,
    text: String,
    calls: Vec<Map<String, Value>>,
    finish_reason: Option<String>,
    usage: Value,
}

impl Assembly {
    /// The next piece of its text.
    pub fn add(&mut self, event: &Value) -> Result<String, Fault> {
        self.model = self.model.take().or_else(|| event["model"].as_str().map(str::to_owned));
        if event["usage"].is_object() {
            self.usage = event["usage"].clone();
        }
        let choice = &event["choices"][0];
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish_reason = Some(reason.to_owned());
        }
        for delta in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            self.add_call(delta)?;
        }
        let piece = choice["delta"]["content"].as_str().unwrap_or_default();
        self.text.push_str(piece);
        Ok(piece.to_owned())
    }

    fn add_call(&mut self, delta: &Value) -> Result<(), Fault> {
        // Some leave the index out where there is one call.
        let index = delta["index"].as_u64().unwrap_or(0);
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if index == self.calls.len() {
            self.calls.push(Map::new());
        }
        let call = self.calls.get_mut(index);
        let call = call.ok_or_else(|| Fault::answer("its calls of tools are not in order"))?;
        if let Some(id) = delta["id"].as_str() {
            call.insert("id".to_owned(), json!(id));
        }
        let function = call.entry("function").or_insert_with(|| json!({ "name": "", "arguments": "" }));
        for field in ["name", "arguments"] {
            if let Some(more) = delta["function"][field].as_str() {
                let so_far = function[field].as_str().unwrap_or_default();
                function[field] = json!(format!("{so_far}{more}"));
            }
        }
        Ok(())
    }

    /// `None` where it was cut before its end.
    pub fn whole(self) -> Option<Value> {
        let finish_reason = self.finish_reason?;
        let calls: Vec<Value> = self.calls.into_iter().map(Value::Object).collect();
        Some(json!({
            "model": self.model,
            "choices": [{
                "finish_reason": finish_reason, "message": { "content": self.text, "tool_calls": calls },
            }],
            "usage": self.usage,
        }))
    }
}

pub fn answer(model: &str, whole: &Value) -> Result<Answer, Fault> {
    for call in whole["choices"][0]["message"]["tool_calls"].as_array().into_iter().flatten() {
        let arguments = call["function"]["arguments"].as_str().unwrap_or("{}");
        let is_object = serde_json::from_str::<Value>(arguments).is_ok_and(|value| value.is_object());
        if !arguments.is_empty() && !is_object {
            return Err(Fault::answer("the arguments of a tool that it calls are no JSON object"));
        }
    }
    let message = sampled(model, whole).map_err(|_| Fault::answer("its answer holds no message"))?.message;
    Ok(settle(message, &whole["usage"]["prompt_tokens"], &whole["usage"]["completion_tokens"]))
}
