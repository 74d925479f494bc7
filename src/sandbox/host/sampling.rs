use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use wasmtime::Result;

use super::bindings::longhaul::tool::sampling::{
    self, Content, Error, Message, Part, Request, Response, Role, ToolResult, ToolUse,
};
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
pub(super) const AT_HAND_MS: u64 = limits::AT_HAND_SECONDS * 1_000;

impl sampling::Host for World {
    fn ask(&mut self, request: Request) -> Result<Result<u64, Error>> {
        if !self.grant.allows(Capability::Sample) {
            return Ok(Err(not_granted(self, LINE)));
        }
        let max_tokens = u64::from(request.max_tokens);
        let request = match params(request) {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
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

/// The text of a request to a model, be it a client's or the operator's, as MCP's `sampling/createMessage` has it.
pub(super) fn params(request: Request) -> Result<String, Error> {
    let text = document(request).map_err(Error::Invalid)?.to_string();
    let (limit, bytes) = (limits::MAX_SAMPLE_REQUEST_BYTES, text.len());
    if bytes > limit {
        return Err(Error::Limit(format!("a request to a model is at most {limit} bytes, not {bytes}")));
    }
    Ok(text)
}

fn document(request: Request) -> Result<Value, String> {
    if request.messages.is_empty() || request.max_tokens == 0 {
        return Err("a sample needs a message and at least one token".to_owned());
    }
    check_tool_uses(&request.messages)?;
    let messages = request.messages.into_iter().map(|message| {
        let blocks: Vec<Value> = message.content.into_iter().map(part).collect::<Result<_, _>>()?;
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

/// As the protocol wants them: each use of a tool is followed by what it came to.
fn check_tool_uses(messages: &[Message]) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    for message in messages {
        let mut answered = Vec::new();
        let mut used = Vec::new();
        for part in &message.content {
            match (part, message.role) {
                (Part::ToolUse(used_tool), Role::Assistant) => used.push(used_tool.id.as_str()),
                (Part::ToolResult(result), Role::User) => answered.push(result.tool_use_id.as_str()),
                (Part::Content(_), _) => {}
                (Part::ToolUse(_), Role::User) => return Err("only the assistant uses tools".to_owned()),
                (Part::ToolResult(_), Role::Assistant) => {
                    return Err("results of tools stand in messages of the user".to_owned());
                }
            }
        }
        if !answered.is_empty() && answered.len() < message.content.len() {
            return Err("a message with results of tools holds nothing else".to_owned());
        }
        open.sort_unstable();
        answered.sort_unstable();
        if open != answered {
            return Err(format!(
                "the results of tools must be those of the uses before: used {open:?}, with results {answered:?}"
            ));
        }
        open = used;
    }
    match open.first() {
        Some(id) => Err(format!("the use '{id}' of a tool has no result")),
        None => Ok(()),
    }
}

fn part(part: Part) -> Result<Value, String> {
    let parsed = |what: &str, text: &str| -> Result<Value, String> {
        serde_json::from_str(text).map_err(|error| format!("{what} is no JSON: {error}"))
    };
    match part {
        Part::Content(content) => block(content),
        Part::ToolUse(ToolUse { id, name, input }) => {
            let input = parsed("the input of a tool", &input)?;
            if !input.is_object() {
                return Err("the input of a tool is a JSON object".to_owned());
            }
            Ok(json!({"type": "tool_use", "id": id, "name": name, "input": input}))
        }
        Part::ToolResult(ToolResult { tool_use_id, content, structured, is_error }) => {
            let content: Vec<Value> = content.into_iter().map(block).collect::<Result<_, _>>()?;
            let mut value = json!({"type": "tool_result", "toolUseId": tool_use_id, "content": content});
            if let Some(structured) = structured {
                value["structuredContent"] = parsed("the structured result of a tool", &structured)?;
            }
            if is_error {
                value["isError"] = json!(true);
            }
            Ok(value)
        }
    }
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
pub(super) fn response(raw: String) -> Result<Response, Stop> {
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

fn known(block: &Value) -> Option<Part> {
    if block["type"] != "tool_use" {
        return content(block).map(Part::Content);
    }
    let text = |name: &str| block[name].as_str().map(str::to_owned);
    let input = block.get("input").filter(|input| input.is_object());
    Some(Part::ToolUse(ToolUse {
        id: text("id")?,
        name: text("name")?,
        input: input.map_or_else(|| "{}".to_owned(), Value::to_string),
    }))
}

fn content(block: &Value) -> Option<Content> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn says(role: Role, content: Vec<Part>) -> Message {
        Message { role, content }
    }

    fn text(text: &str) -> Part {
        Part::Content(Content::Text(text.to_owned()))
    }

    fn uses(id: &str) -> Part {
        let (name, input) = ("look".to_owned(), "{\"at\":2}".to_owned());
        Part::ToolUse(ToolUse { id: id.to_owned(), name, input })
    }

    fn came_to(id: &str) -> Part {
        let content = vec![Content::Text("a cat".to_owned())];
        let structured = Some("{\"seen\":1}".to_owned());
        Part::ToolResult(ToolResult { tool_use_id: id.to_owned(), content, structured, is_error: true })
    }

    fn encode_messages(messages: Vec<Message>) -> Result<Value, String> {
        document(Request {
            messages,
            system_prompt: None,
            max_tokens: 9,
            temperature: None,
            stop_sequences: Vec::new(),
            model_preferences: None,
            tools: Some("[]".to_owned()),
            tool_choice: None,
        })
    }

    #[test]
    fn uses_of_tools_and_what_they_came_to_are_told_as_the_protocol_has_them() {
        let params = encode_messages(vec![
            says(Role::User, vec![text("What is there?")]),
            says(Role::Assistant, vec![text("I look."), uses("1")]),
            says(Role::User, vec![came_to("1")]),
        ])
        .expect("valid");
        let used = json!({"type": "tool_use", "id": "1", "name": "look", "input": {"at": 2}});
        assert_eq!(params["messages"][1]["content"][1], used);
        let result = json!({
            "type": "tool_result", "toolUseId": "1", "content": [{"type": "text", "text": "a cat"}],
            "structuredContent": {"seen": 1}, "isError": true,
        });
        assert_eq!(params["messages"][2], json!({"role": "user", "content": result}));
    }

    #[test]
    fn a_use_without_its_result_and_a_result_without_its_use_are_refused() {
        let asked = || says(Role::User, vec![text("?")]);
        for (messages, part) in [
            (vec![says(Role::User, vec![uses("1")])], "only the assistant"),
            (vec![says(Role::Assistant, vec![came_to("1")])], "messages of the user"),
            (vec![asked(), says(Role::User, vec![came_to("1")])], "of the uses before"),
            (vec![asked(), says(Role::Assistant, vec![uses("1")])], "has no result"),
            (vec![asked(), says(Role::Assistant, vec![uses("1")]), asked()], "of the uses before"),
            (
                vec![
                    says(Role::Assistant, vec![uses("1")]),
                    says(Role::User, vec![came_to("1"), text("and")]),
                ],
                "nothing else",
            ),
        ] {
            let why = encode_messages(messages).expect_err(part);
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn a_model_that_uses_tools_is_understood() {
        let raw = json!({
            "model": "m", "role": "assistant", "stopReason": "toolUse",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "1", "name": "look", "input": {"at": 2}},
                {"type": "thinking"},
            ],
        });
        let response = response(raw.to_string()).expect("understood");
        let [Part::Content(Content::Text(said)), Part::ToolUse(used)] = response.content.as_slice() else {
            panic!("{:?}", response.content)
        };
        assert_eq!((said.as_str(), used.id.as_str(), used.name.as_str()), ("I look.", "1", "look"));
        assert_eq!(used.input, "{\"at\":2}");
    }
}
