//! Errors on the wire. The only place with JSON-RPC codes.

use rmcp::ErrorData;
use rmcp::model::{
    CallToolResult, ClientCapabilities, ContentBlock, ErrorCode, ListPromptsRequestMethod, RequestId,
};
use serde_json::{Value, json};

use super::convert::TASK_META;
use super::meta::{ERROR_META, RETRY_AFTER_META};
use super::next;
use super::own_names::OwnNames;
use crate::api::{ApiError, TaskDocument, words};
use crate::catalog::show_hidden;
use crate::engine::EngineError;
use crate::limits;
use crate::shares;
use crate::store::StoreError;
use crate::task::{ProtocolError, TaskId};

/// How a failed `tools/call` is answered.
pub enum Refusal {
    /// A result with `isError`: the model reads it and can do better.
    Result(Box<CallToolResult>),
    /// A JSON-RPC error: the client, or we, did something wrong.
    Error(ErrorData),
}

impl Refusal {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Result(Box::new(tool_error(text)))
    }
}

impl From<ErrorData> for Refusal {
    fn from(error: ErrorData) -> Self {
        Self::Error(error)
    }
}

pub fn tool_error(text: impl Into<String>) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(shown(&text.into()))])
}

/// The side that can do something about an error.
enum Blame {
    /// There is nothing of that name, at least for this caller.
    Missing,
    /// The author of the arguments can write others.
    Arguments,
    /// The client that sent the call has to send another.
    Client,
    /// It passes.
    Busy,
    Server,
}

fn blame(error: &EngineError) -> Blame {
    match error {
        EngineError::NoSuchTask(_) | EngineError::NoSuchOutput { .. } => Blame::Missing,
        EngineError::Arguments(_)
        | EngineError::ArgumentsTooLarge { .. }
        | EngineError::WrongState { .. }
        | EngineError::NoSuchStep { .. }
        | EngineError::NotInQuestion { .. }
        | EngineError::BadOutcome(_)
        | EngineError::Packed(_)
        | EngineError::NoSuchQuestion { .. }
        | EngineError::WhichQuestion { .. }
        | EngineError::QuestionOver { .. }
        | EngineError::BadAnswer { .. }
        | EngineError::PersonAsked { .. }
        | EngineError::BadMessage(_)
        | EngineError::BadCursor
        | EngineError::Remote(_)
        | EngineError::Token(_)
        | EngineError::Blocked { .. }
        | EngineError::NoComponentNamed(_)
        | EngineError::NotBlocked(_)
        | EngineError::Unapproved { .. }
        | EngineError::NotWaiting(_)
        | EngineError::NotApproved(_)
        | EngineError::NotAdded(_)
        | EngineError::ComponentThere(_)
        | EngineError::Unusable(_)
        | EngineError::NotTriable { .. }
        | EngineError::NotMovable { .. }
        | EngineError::AnotherStatement { .. }
        | EngineError::Selection(_)
        | EngineError::Binding(_)
        | EngineError::State(_) => Blame::Arguments,
        EngineError::NoSuchTool { .. }
        | EngineError::IdempotencyConflict { .. }
        | EngineError::BadIdempotencyKey { .. } => Blame::Client,
        EngineError::Share(_)
        | EngineError::NotLoaded { .. }
        | EngineError::Store(StoreError::NoSpace { .. }) => Blame::Busy,
        // Also what only a program that embeds the engine can bring about.
        _ => Blame::Server,
    }
}

/// Errors are for eyes, and may repeat words of a guest or a client.
pub(in crate::mcp) fn shown(text: &str) -> String {
    show_hidden(text).into_owned()
}

/// As the answer of a call: what the arguments' author can mend, or wait for, is a result, all else an error.
pub fn refusal(error: EngineError) -> Refusal {
    match blame(&error) {
        Blame::Missing | Blame::Arguments | Blame::Busy => {
            let mut answer = tool_error(words(&error));
            if let Some(seconds) = error.retry_after_seconds() {
                let meta = answer.meta.get_or_insert_default();
                meta.insert(ERROR_META.to_owned(), error.word().into());
                meta.insert(RETRY_AFTER_META.to_owned(), seconds.into());
            }
            Refusal::Result(Box::new(answer))
        }
        Blame::Client | Blame::Server => Refusal::Error(rpc(&error)),
    }
}

/// As the answer to a call of an own tool.
pub fn not_done(error: ApiError) -> Refusal {
    match error {
        ApiError::Engine(error) => {
            let word = error.word();
            match refusal(error) {
                Refusal::Result(mut answer) => {
                    answer.meta.get_or_insert_default().insert(ERROR_META.to_owned(), word.into());
                    Refusal::Result(answer)
                }
                error => error,
            }
        }
        error => Refusal::text(error.to_string()),
    }
}

/// As a JSON-RPC error.
pub fn rpc(error: &EngineError) -> ErrorData {
    let message = shown(&words(error));
    match blame(error) {
        Blame::Missing => {
            let uri = match error {
                EngineError::NoSuchTask(id) => Some(json!({ "uri": id.uri() })),
                _ => None,
            };
            // Answered as -32602 under 2026-07-28; the library sees to that.
            ErrorData::resource_not_found(message, uri)
        }
        Blame::Arguments | Blame::Client => ErrorData::invalid_params(message, None),
        Blame::Busy | Blame::Server => {
            let data = match error {
                EngineError::Share(refused) => Some(of_bound(refused)),
                error => error
                    .retry_after_seconds()
                    .map(|seconds| json!({ "reason": error.word(), "retry_after_seconds": seconds })),
            };
            ErrorData::internal_error(message, data)
        }
    }
}

/// What a program reads of such a refusal.
fn of_bound(refused: &shares::Refusal) -> Value {
    json!({
        "reason": refused.word(),
        "pool": refused.pool.name(),
        "bound": refused.bound,
        "retry_after_seconds": refused.retry_after_seconds(),
    })
}

/// The answer of a request that went with the server, or whose answer is not kept any more.
pub fn lost_request() -> ErrorData {
    let message = "the request left no answer behind: the server went down before it had stored anything, or it was \
         too long ago. Send it again";
    ErrorData::internal_error(message, None)
}

/// A URI that is none of ours, or whose resource is not there, or is another caller's: all alike.
pub fn no_such_resource(uri: &str) -> ErrorData {
    let begin: String = uri.chars().take(200).collect();
    ErrorData::resource_not_found(
        format!("there is no resource '{}'; resources/list shows your newest tasks", shown(&begin)),
        Some(json!({ "uri": begin })),
    )
}

pub fn not_there_yet(uri: &str, why: impl std::fmt::Display) -> ErrorData {
    let message = shown(&format!("there is nothing at '{uri}': {why}"));
    ErrorData::resource_not_found(message, Some(json!({ "uri": uri })))
}

/// For a list that gives no further page, or another one.
pub fn bad_cursor() -> ErrorData {
    bad_params(EngineError::BadCursor.to_string())
}

pub fn bad_params(message: impl Into<String>) -> ErrorData {
    ErrorData::invalid_params(shown(&message.into()), None)
}

pub fn no_prompts() -> ErrorData {
    ErrorData::method_not_found::<ListPromptsRequestMethod>()
}

pub fn too_many_subscriptions(why: &str) -> ErrorData {
    ErrorData::internal_error(format!("{why}: end some subscriptions first"), None)
}

/// State of a call's rounds that is altered, expired, another caller's, or of another call: all alike.
pub fn bad_request_state() -> ErrorData {
    bad_params("this requestState is none of this call's: make the call anew, without it")
}

/// A tool that wants to be answered by the tasks extension was called by a client without it.
pub fn tasks_extension_missing() -> ErrorData {
    ErrorData::missing_required_client_capability(ClientCapabilities::builder().enable_tasks().build())
}

/// A task that is not there, or is another caller's, or whose id is none: all alike.
pub fn no_such_task(id: &str) -> ErrorData {
    let shown: String = id.chars().take(200).collect();
    bad_params(format!("there is no task '{shown}'; it may have been kept long enough and deleted"))
}

/// What a task failed with, where it was no error that the tool chose.
pub fn of_failed(names: &OwnNames, task: &TaskDocument) -> ErrorData {
    let (message, data) = match &task.error {
        Some(error) => (next::why(names, task, error), serde_json::to_value(error).ok()),
        None => ("the task failed".to_owned(), None),
    };
    ErrorData::internal_error(message, data)
}

/// The JSON-RPC error that a tool answered its call with. It names its task along with what the tool says: in the
/// data where that is an object or nothing, else in the message.
pub fn of_tool(error: &ProtocolError, id: TaskId) -> ErrorData {
    let data = error.data.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let mut message = shown(&error.message);
    let data = match data.unwrap_or_else(|| json!({})) {
        Value::Object(mut fields) => {
            fields.insert(TASK_META.to_owned(), Value::String(id.to_string()));
            Value::Object(fields)
        }
        other => {
            message.push_str(&format!(" (task {id})"));
            other
        }
    };
    ErrorData::new(ErrorCode(error.code), message, Some(data))
}

/// A bridge lost the server that had this request, and has another.
pub fn server_replaced(names: &OwnNames) -> ErrorData {
    let message = format!(
        "the server ended while it had this request, and was started again; if the request had begun a task, the task \
         goes on: {} shows it; if not, ask again",
        names.of("task_list")
    );
    ErrorData::internal_error(message, Some(json!({ "reason": "server_restarted" })))
}

/// A bridge lost the server that had this request, and there is no other.
pub fn server_gone(why: &str) -> ErrorData {
    let message = format!(
        "there is no server any more that could answer: {why}; tasks are safe, and go on once one runs"
    );
    ErrorData::internal_error(message, Some(json!({ "reason": "server_gone" })))
}

pub fn too_many_unanswered(bound: usize) -> ErrorData {
    ErrorData::internal_error(format!("{bound} requests have no answer yet: wait for some of them"), None)
}

pub fn too_large() -> String {
    let bound = limits::MAX_REQUEST_BYTES;
    format!("the request is larger than {bound} bytes: pass large data by reference")
}

pub fn too_many_values() -> String {
    let bound = limits::MAX_MESSAGE_VALUES;
    format!(
        "the message has more than {bound} keys and values in its JSON: pass large data by reference, or as one text"
    )
}

/// An id that names two requests at once names none: the first one is answered.
pub fn id_in_use(id: &RequestId) -> ErrorData {
    let id = id.clone().into_json_value();
    let message = format!(
        "the request's \"id\" {id} is that of a request that has no answer yet: each request of a session needs an \
         id of its own"
    );
    ErrorData::invalid_request(message, None)
}

/// An answer of the server's that a bridge does not carry.
pub fn too_large_answer() -> ErrorData {
    let bound = limits::MAX_CLIENT_EVENT_BYTES;
    let message =
        format!("the answer is larger than {bound} bytes, and is not passed on: ask for it in parts");
    ErrorData::internal_error(message, None)
}

/// The answer to a request, where rmcp does not give it.
pub fn rpc_body(id: &Value, error: &ErrorData) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_error_names_its_task_and_keeps_what_the_tool_says() {
        let id = TaskId::from_bytes([5; 16]);
        let seen = |data: Option<&str>| {
            let data = data.map(str::to_owned);
            of_tool(&ProtocolError { code: -32000, message: "no".to_owned(), data }, id)
        };
        let error = seen(None);
        assert_eq!((error.code.0, &*error.message), (-32000, "no"));
        assert_eq!(error.data, Some(json!({ TASK_META: id.to_string() })));
        let error = seen(Some("{\"why\": 1}"));
        assert_eq!(error.data, Some(json!({ "why": 1, TASK_META: id.to_string() })));
        let error = seen(Some("[1]"));
        assert_eq!((error.data, &*error.message), (Some(json!([1])), &*format!("no (task {id})")));
    }
}
