//! A task's questions on the wire: what a client can take, the requests, and what comes back.
#![expect(deprecated, reason = "sampling and roots are part of all protocols up to 2026-07-28")]

use rmcp::RoleServer;
use rmcp::model::{
    ClientCapabilities, CreateMessageRequest, CreateMessageRequestParams, ElicitRequest, ElicitRequestParams,
    InputRequest, InputRequests, ListRootsRequest, ServerRequest,
};
use rmcp::service::RequestContext;
use serde_json::{Value, json};

use crate::api::{InputRequest as Question, TaskDocument};
use crate::engine::questions::{AnsweredVia, Given, wants_tools};
use crate::mcp::era::is_modern;
use crate::mcp::wire::convert::TASK_META;
use crate::task::{QuestionKind, TaskId};

/// An elicitation, a retried call and `tasks/update` are the person's hand.
pub const BY_PROTOCOL: AnsweredVia = AnsweredVia { channel: "mcp", is_person: true };

/// Who asks, in the `_meta` of what is asked.
const TOOL_META: &str = "longhaul/tool";
const COMPONENT_META: &str = "longhaul/component";

/// What this client declared that it can be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskCapabilities {
    form: bool,
    url: bool,
    pub sampling: bool,
    pub sampling_tools: bool,
    roots: bool,
}

impl AskCapabilities {
    /// Under 2026-07-28 each request declares it, before that the session's first.
    pub fn of(context: &RequestContext<RoleServer>) -> Self {
        if is_modern(context) {
            return Self::declared(context.meta.client_capabilities().as_ref());
        }
        Self::declared(context.peer.peer_info().map(|info| info.capabilities.clone()).as_ref())
    }

    fn declared(capabilities: Option<&ClientCapabilities>) -> Self {
        let Some(capabilities) = capabilities else { return Self::default() };
        let elicitation = capabilities.elicitation.as_ref();
        Self {
            // An empty declaration is that of forms alone.
            form: elicitation.is_some_and(|declared| declared.form.is_some() || declared.url.is_none()),
            url: elicitation.is_some_and(|declared| declared.url.is_some()),
            sampling: capabilities.sampling.is_some(),
            sampling_tools: capabilities.sampling.as_ref().is_some_and(|declared| declared.tools.is_some()),
            roots: capabilities.roots.is_some(),
        }
    }

    pub fn fits(&self, question: &Question) -> bool {
        match question.kind {
            QuestionKind::Elicit if question.url.is_some() => self.url,
            QuestionKind::Elicit => self.form,
            QuestionKind::Sample => {
                self.sampling && (self.sampling_tools || !question.request.as_ref().is_some_and(wants_tools))
            }
            QuestionKind::Roots => self.roots,
            QuestionKind::Model => false,
        }
    }

    /// What this client can be asked of what the task asks.
    pub fn requests(&self, id: TaskId, task: &TaskDocument) -> InputRequests {
        let fitting = task.input_requests.iter().filter(|(_, question)| self.fits(question));
        fitting.filter_map(|(key, question)| Some((key.clone(), request(id, key, question)?))).collect()
    }
}

/// A question as the protocol asks it; `None` where it has no form for it.
pub fn request(id: TaskId, key: &str, question: &Question) -> Option<InputRequest> {
    let meta = json!({
        TASK_META: question.task.clone().unwrap_or_else(|| id.to_string()),
        TOOL_META: question.tool,
        COMPONENT_META: question.component,
    });
    match question.kind {
        QuestionKind::Elicit => {
            let mut params = json!({"_meta": meta, "message": shown(question)});
            match &question.url {
                Some(url) => {
                    params["mode"] = json!("url");
                    params["url"] = json!(url);
                    params["elicitationId"] = json!(format!("{id}/{key}"));
                }
                None => {
                    params["mode"] = json!("form");
                    params["requestedSchema"] = question.schema.clone()?;
                }
            }
            let params: ElicitRequestParams = serde_json::from_value(params).ok()?;
            Some(InputRequest::Elicitation(ElicitRequest::new(params)))
        }
        QuestionKind::Sample => {
            let mut params = question.request.clone()?;
            params["_meta"] = meta;
            let params: CreateMessageRequestParams = serde_json::from_value(params).ok()?;
            Some(InputRequest::CreateMessage(CreateMessageRequest::new(params)))
        }
        QuestionKind::Roots => Some(InputRequest::ListRoots(ListRootsRequest::default())),
        // The server asks it itself.
        QuestionKind::Model => None,
    }
}

/// The same as a request of its own.
pub fn server_request(request: InputRequest) -> Option<ServerRequest> {
    Some(match request {
        InputRequest::CreateMessage(request) => ServerRequest::CreateMessageRequest(request),
        InputRequest::Elicitation(request) => ServerRequest::ElicitRequest(request),
        InputRequest::ListRoots(request) => ServerRequest::ListRootsRequest(request),
        _ => return None,
    })
}

/// What a client answered.
pub fn given(kind: QuestionKind, result: &Value) -> Result<Given, String> {
    if kind != QuestionKind::Elicit {
        return Ok(Given::Accept(result.clone()));
    }
    match result["action"].as_str() {
        Some("accept") if result["content"].is_null() => Ok(Given::Accept(json!({}))),
        Some("accept") => Ok(Given::Accept(result["content"].clone())),
        Some("decline") => Ok(Given::Decline),
        Some("cancel") => Ok(Given::Cancel),
        _ => {
            Err("an answer is {\"action\": \"accept\" | \"decline\" | \"cancel\", \"content\": {…}}"
                .to_owned())
        }
    }
}

/// The message, and who asks: a tool could claim to be another.
fn shown(question: &Question) -> String {
    const SHOWN_CHARS: usize = 19;
    let message = question.message.as_deref().unwrap_or_default();
    let component: String = question.component.chars().take(SHOWN_CHARS).collect();
    format!("{message}\n\n[{}, {component}]", question.tool)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(capabilities: Value) -> AskCapabilities {
        AskCapabilities::declared(serde_json::from_value(capabilities).ok().as_ref())
    }

    fn question(kind: QuestionKind) -> Question {
        let question = json!({
            "kind": kind.as_str(), "by": "person", "tool": "travel", "component": format!("blake3:{}", "a".repeat(64)),
            "message": "Book?", "asked_at": "", "expires_at": "",
            "schema": {"type": "object", "properties": {"z": {"type": "boolean"}, "a": {"type": "string"}}},
            "request": {"messages": [], "maxTokens": 9},
        });
        serde_json::from_value(question).expect("a question")
    }

    #[test]
    fn what_was_not_declared_is_not_asked() {
        use QuestionKind::{Elicit, Roots, Sample};
        for (capabilities, fitting) in [
            (json!({}), vec![]),
            (json!({"elicitation": {}}), vec![Elicit]),
            (json!({"elicitation": {"url": {}}}), vec![]),
            (json!({"elicitation": {"form": {}, "url": {}}, "roots": {}}), vec![Elicit, Roots]),
            (json!({"sampling": {}}), vec![Sample]),
        ] {
            let takes = declared(capabilities.clone());
            let fits: Vec<_> =
                [Elicit, Sample, Roots].into_iter().filter(|kind| takes.fits(&question(*kind))).collect();
            assert_eq!(fits, fitting, "{capabilities}");
        }
        let mut with_tools = question(Sample);
        with_tools.request = Some(json!({"tools": []}));
        assert!(!declared(json!({"sampling": {}})).fits(&with_tools));
        assert!(declared(json!({"sampling": {"tools": {}}})).fits(&with_tools));
        let used = json!({"type": "tool_use", "id": "1", "name": "look", "input": {}});
        let result = json!({"type": "tool_result", "toolUseId": "1", "content": []});
        let messages = json!([{"role": "assistant", "content": [used]}, {"role": "user", "content": result}]);
        with_tools.request = Some(json!({"messages": messages, "maxTokens": 9}));
        assert!(!declared(json!({"sampling": {}})).fits(&with_tools));
        let wire = request(TaskId::from_bytes([1; 16]), "k", &with_tools).and_then(server_request);
        let wire = serde_json::to_value(wire.expect("a request")).expect("JSON");
        assert_eq!(wire["params"]["messages"][0]["content"][0]["input"], json!({}), "{wire}");
        assert_eq!(wire["params"]["messages"][1]["content"]["toolUseId"], "1", "{wire}");
    }

    #[test]
    fn a_question_says_who_asks_and_keeps_the_order_of_its_fields() {
        let id = TaskId::from_bytes([1; 16]);
        let wire = serde_json::to_value(request(id, "k", &question(QuestionKind::Elicit))).expect("JSON");
        assert_eq!(wire["method"], "elicitation/create");
        let params = &wire["params"];
        assert_eq!(params["message"], "Book?\n\n[travel, blake3:aaaaaaaaaaaa]");
        assert_eq!(params["_meta"]["longhaul/tool"], "travel");
        let fields: Vec<_> =
            params["requestedSchema"]["properties"].as_object().expect("fields").keys().collect();
        assert_eq!(fields, ["z", "a"]);
        let sample = serde_json::to_value(request(id, "k", &question(QuestionKind::Sample))).expect("JSON");
        assert_eq!(
            (&sample["method"], &sample["params"]["maxTokens"]),
            (&json!("sampling/createMessage"), &json!(9))
        );
    }

    #[test]
    fn an_answer_is_one_of_three() {
        let of = |value: Value| given(QuestionKind::Elicit, &value);
        assert_eq!(of(json!({"action": "accept", "content": {"a": 1}})), Ok(Given::Accept(json!({"a": 1}))));
        assert_eq!(of(json!({"action": "accept"})), Ok(Given::Accept(json!({}))));
        assert_eq!(of(json!({"action": "decline"})), Ok(Given::Decline));
        assert!(of(json!(12345)).is_err() && of(json!({"action": "maybe"})).is_err());
    }
}
