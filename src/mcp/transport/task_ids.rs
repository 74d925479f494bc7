//! What rmcp does not read of the tasks extension in an HTTP request: the `taskIds` of a
//! `subscriptions/listen`, and the name of a task that a client left out of its headers. And what it does not
//! say: who acknowledged.

use futures::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rmcp::model::ClientCapabilities;
use serde::Deserialize;
use serde_json::{Value, json};

use super::well_formed::rpc_response;
use crate::http::{Body, Bytes, Next, Request, Response, collect, is_event_stream, status};
use crate::limits;
use crate::mcp::watch::task_ids::TaskIds;
use crate::mcp::wire::error;
use crate::mcp::wire::hints::stamp_ack;

const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");

/// As much of a request as is looked at here; what does not fit is rmcp's to refuse.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Peek {
    id: Value,
    params: Params,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    #[serde(rename = "taskId")]
    task_id: Option<String>,
    notifications: Notifications,
    #[serde(rename = "_meta")]
    meta: Meta,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Notifications {
    #[serde(rename = "taskIds")]
    task_ids: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: ClientCapabilities,
}

/// The id of a request whose `taskIds` are none. rmcp does not look at them.
fn id_with_bad_ids(request: &[u8]) -> Option<Value> {
    let mut request: Value = serde_json::from_slice(request).ok()?;
    let ids = request.pointer("/params/notifications/taskIds").filter(|ids| !ids.is_null())?;
    let is_list = ids.as_array().is_some_and(|ids| ids.iter().all(Value::is_string));
    (!is_list).then(|| request["id"].take())
}

/// Reads what rmcp does not, and adds it to its answer.
pub async fn read(request: Request, next: Next) -> Response {
    let method =
        request.headers().get(MCP_METHOD).and_then(|method| method.to_str().ok()).unwrap_or_default();
    let listens = method == "subscriptions/listen";
    let is_acknowledged = matches!(method, "tasks/update" | "tasks/cancel");
    let wants_name = method.starts_with("tasks/") && !request.headers().contains_key(MCP_NAME);
    if !listens && !wants_name {
        let response = next.run(request).await;
        return if is_acknowledged { stamp(response) } else { response };
    }
    let (mut parts, body) = request.into_parts();
    let Ok(bytes) = collect(body, limits::MAX_REQUEST_BYTES).await else {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    if listens && let Some(id) = id_with_bad_ids(&bytes) {
        let error = error::bad_params("params.notifications.taskIds: it is a list of ids of tasks");
        return rpc_response(StatusCode::BAD_REQUEST, &error::rpc_body(&id, &error));
    }
    let Peek { id, params } = serde_json::from_slice(&bytes).unwrap_or_default();
    if wants_name {
        add_name(&mut parts.headers, params.task_id.as_deref());
    }
    let request = Request::from_parts(parts, Body::from(bytes));
    let Some(asked) = params.notifications.task_ids.filter(|_| listens) else {
        let response = next.run(request).await;
        return if is_acknowledged { stamp(response) } else { response };
    };
    let declared = params.meta.capabilities.supports_tasks();
    let ids = TaskIds::new(asked, declared);
    let response = ids.scope(next.run(request)).await;
    if !declared && response.status() == StatusCode::NOT_FOUND {
        // The handler has but this one word for a refusal.
        let body = error::rpc_body(&id, &error::tasks_extension_missing());
        return rpc_response(StatusCode::BAD_REQUEST, &body);
    }
    edit(response, move |message| {
        let ids = ids.honoured();
        let names = message["method"] == "notifications/subscriptions/acknowledged" && !ids.is_empty();
        if names {
            message["params"]["notifications"]["taskIds"] = json!(ids);
        }
        names
    })
}

/// The answer of a `tasks/update` or `tasks/cancel`.
fn stamp(response: Response) -> Response {
    edit(response, |message| message.get_mut("result").is_some_and(stamp_ack))
}

/// A well-known client names no task in its headers. What a header contradicts is refused all the same.
fn add_name(headers: &mut HeaderMap, task_id: Option<&str>) {
    if let Some(name) = task_id.and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(MCP_NAME, name);
    }
}

/// The answer, its first message as `edit` leaves it, if it is a stream; whether anything changed is what `edit` tells.
fn edit(response: Response, edit: impl Fn(&mut Value) -> bool + Send + 'static) -> Response {
    if !is_event_stream(&response) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let mut pending = Some(Vec::new());
    let chunks = body.into_data_stream().map(move |chunk| {
        chunk.map(|bytes| {
            let Some(held) = &mut pending else { return bytes };
            held.extend_from_slice(&bytes);
            match with_edit(held, &edit) {
                Some(whole) => {
                    pending = None;
                    whole
                }
                None => Bytes::new(),
            }
        })
    });
    Response::from_parts(parts, Body::from_stream(chunks))
}

/// Once the first message is whole: all that was held, with the message as it is to be.
fn with_edit(held: &[u8], edit: &impl Fn(&mut Value) -> bool) -> Option<Bytes> {
    let held = std::str::from_utf8(held).ok()?;
    // What ends in no empty line is not whole yet.
    let whole = &held[..held.rfind("\n\n")? + 2];
    // Comments and events that only prime the stream have no message.
    let mut data = whole.lines().filter_map(|line| line.strip_prefix("data:"));
    let (data, mut message) =
        data.find_map(|data| Some((data, serde_json::from_str::<Value>(data).ok()?)))?;
    if edit(&mut message) {
        return Some(held.replacen(data.trim(), &message.to_string(), 1).into());
    }
    Some(held.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: &str = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\
         \"notifications/subscriptions/acknowledged\",\"params\":{\"notifications\":{}}}\n\n";

    fn edit_text(held: &str) -> Option<String> {
        let edit = |message: &mut Value| {
            let is_ack = message["method"] == "notifications/subscriptions/acknowledged";
            if is_ack {
                message["params"]["notifications"]["taskIds"] = json!(["a"]);
            }
            is_ack
        };
        let seen = with_edit(held.as_bytes(), &edit)?;
        Some(String::from_utf8(seen.to_vec()).expect("text"))
    }

    #[test]
    fn the_acknowledgment_names_the_tasks_however_it_is_cut_up() {
        for cut in 0..ACK.len() {
            assert_eq!(edit_text(&ACK[..cut]), None, "{cut}");
        }
        let primed = format!(": comment\n\nid: 1\ndata:\n\n{ACK}data: {{\"n\":1}}\n\ndata: {{\"n");
        let got = edit_text(&primed).expect("whole");
        assert!(got.starts_with(": comment\n\nid: 1\ndata:\n\nevent: message\ndata: {"), "{got}");
        assert!(got.contains("\"notifications\":{\"taskIds\":[\"a\"]}"), "{got}");
        assert!(got.ends_with("}\n\ndata: {\"n\":1}\n\ndata: {\"n"), "{got}");
    }

    #[test]
    fn what_is_no_acknowledgment_passes() {
        let error = "data: {\"id\":1,\"error\":{}}\n\n";
        assert_eq!(edit_text(error).as_deref(), Some(error));
    }
}
