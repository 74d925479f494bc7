//! What rmcp does not read of the tasks extension over pipes: the `taskIds` of a `subscriptions/listen`. On their
//! way in they become resources of a scheme that no server has, on their way out task ids again. And what it does
//! not say: who acknowledged.

use rmcp::ErrorData;
use rmcp::model::*;
use serde_json::{Value, json};

use crate::limits;
use crate::mcp::wire::hints::stamp_ack;
use crate::mcp::wire::params;
use crate::mcp::wire::uri::{TASK_STATUS_SCHEME, task_of};

const LISTEN: &str = "subscriptions/listen";

/// A listener's line with resources for its tasks; `None` where it stays as it is.
pub fn with_resources(line: &[u8]) -> Option<Vec<u8>> {
    if line.len() > limits::MAX_LISTEN_LINE_BYTES {
        return None;
    }
    line.windows(LISTEN.len()).find(|at| *at == LISTEN.as_bytes())?;
    let mut message: Value = serde_json::from_slice(line).ok()?;
    if message.get("method")? != LISTEN {
        return None;
    }
    let params = message.get_mut("params")?;
    let declared = params.get("_meta")?.get("io.modelcontextprotocol/clientCapabilities")?.clone();
    // What was not declared is not honoured.
    if !serde_json::from_value::<ClientCapabilities>(declared).ok()?.supports_tasks() {
        return None;
    }
    let filter = params.get_mut("notifications")?.as_object_mut()?;
    let ids = filter.remove("taskIds")?;
    let resources =
        ids.as_array()?.iter().filter_map(Value::as_str).map(|id| json!(format!("{TASK_STATUS_SCHEME}{id}")));
    let uris = filter.entry("resourceSubscriptions").or_insert_with(|| json!([]));
    uris.as_array_mut()?.extend(resources);
    serde_json::to_vec(&message).ok()
}

/// A message as the client is to have it: acknowledgments name tasks as tasks, and the server.
pub fn to_client(message: ServerJsonRpcMessage) -> ServerJsonRpcMessage {
    stamp(with_task_ids(message))
}

/// A handshake whose params do not fit: to rmcp it is a request before the handshake.
pub fn bad_handshake(message: &ClientJsonRpcMessage) -> Option<(RequestId, ErrorData)> {
    let ClientJsonRpcMessage::Request(JsonRpcRequest { id, request, .. }) = message else { return None };
    let ClientRequest::CustomRequest(request) = request else { return None };
    let is_handshake = request.method == InitializeResultMethod::VALUE;
    is_handshake.then(|| (id.clone(), params::not_understood(request, false)))
}

/// An ack says who answered.
fn stamp(mut message: ServerJsonRpcMessage) -> ServerJsonRpcMessage {
    if let ServerJsonRpcMessage::Response(response) = &mut message
        && let ServerResult::TaskAckResult(ack) = &response.result
        && let Ok(mut wire) = serde_json::to_value(ack)
        && stamp_ack(&mut wire)
    {
        response.result = ServerResult::CustomResult(CustomResult::new(wire));
    }
    message
}

fn with_task_ids(message: ServerJsonRpcMessage) -> ServerJsonRpcMessage {
    let ServerJsonRpcMessage::Notification(JsonRpcNotification {
        notification: ServerNotification::SubscriptionsAcknowledgedNotification(acknowledged),
        ..
    }) = &message
    else {
        return message;
    };
    let uris = acknowledged.params.notifications.resource_subscriptions.as_deref().unwrap_or_default();
    let (tasks, others): (Vec<&String>, Vec<&String>) = uris.iter().partition(|uri| task_of(uri).is_some());
    let Ok(mut wire) = serde_json::to_value(&message) else { return message };
    let filter = &mut wire["params"]["notifications"];
    if tasks.is_empty() || !filter.is_object() {
        return message;
    }
    filter["taskIds"] = tasks.iter().filter_map(|uri| task_of(uri)).collect();
    match (others.is_empty(), filter.as_object_mut()) {
        (true, Some(filter)) => drop(filter.remove("resourceSubscriptions")),
        _ => filter["resourceSubscriptions"] = json!(others),
    }
    let method = "notifications/subscriptions/acknowledged";
    let params = Some(wire["params"].take());
    ServerJsonRpcMessage::notification(ServerNotification::CustomNotification(CustomNotification::new(
        method, params,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(capabilities: Value) -> String {
        let meta = json!({ "io.modelcontextprotocol/clientCapabilities": capabilities });
        let notifications = json!({ "taskIds": ["a", "b"], "resourceSubscriptions": ["task://c"] });
        let params = json!({ "_meta": meta, "notifications": notifications });
        format!("{}\n", json!({ "jsonrpc": "2.0", "id": 1, "method": LISTEN, "params": params }))
    }

    #[test]
    fn tasks_become_resources_where_the_extension_is_declared() {
        let declared = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
        let line = with_resources(listen(declared).as_bytes()).expect("another line");
        let message: Value = serde_json::from_slice(&line).expect("JSON");
        let uris = ["task://c", "longhaul-task-status:a", "longhaul-task-status:b"];
        assert_eq!(message["params"]["notifications"], json!({ "resourceSubscriptions": uris }));
        assert_eq!(with_resources(listen(json!({})).as_bytes()), None);
    }

    #[test]
    fn all_else_passes_as_it_is() {
        let long = format!("{{\"method\":\"subscriptions/listen\",\"x\":\"{}\"}}\n", "x".repeat(1 << 20));
        for line in ["{ \"id\" : 1.0 }\n", &long, "no JSON: subscriptions/listen\n"] {
            assert_eq!(with_resources(line.as_bytes()), None, "{}", &line[..20.min(line.len())]);
        }
    }

    #[test]
    fn the_acknowledgment_names_tasks() {
        let filter = SubscriptionFilter::builder()
            .resource_subscriptions([format!("{TASK_STATUS_SCHEME}a"), "task://c".to_owned()]);
        let mut seen = SubscriptionsAcknowledgedNotification::new(
            SubscriptionsAcknowledgedNotificationParams::new(filter.build()),
        );
        let mut meta = NotificationMetaObject::new();
        meta.set_subscription_id(RequestId::Number(7));
        seen.extensions.insert(meta);
        let seen = ServerNotification::SubscriptionsAcknowledgedNotification(seen);
        let wire =
            serde_json::to_value(with_task_ids(ServerJsonRpcMessage::notification(seen))).expect("JSON");
        assert_eq!(
            wire["params"],
            json!({
                "_meta": { "io.modelcontextprotocol/subscriptionId": 7 },
                "notifications": { "resourceSubscriptions": ["task://c"], "taskIds": ["a"] },
            })
        );
    }

    #[test]
    fn an_ack_says_who_answered() {
        let seen = |result| {
            let message = ServerJsonRpcMessage::response(result, RequestId::Number(7));
            serde_json::to_value(stamp(message)).expect("JSON")["result"].take()
        };
        let ack = seen(ServerResult::task_ack(()));
        assert_eq!(ack["resultType"], "complete");
        assert_eq!(ack["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "longhaul");
        assert_eq!(seen(ServerResult::empty(())), json!({}), "as sessions have it");
    }
}
