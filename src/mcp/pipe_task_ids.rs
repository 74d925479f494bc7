//! What rmcp does not read of the tasks extension over pipes: the `taskIds` of a `subscriptions/listen`. On their
//! way in they become resources of a scheme that nobody else has, on their way out task ids again. And what it does
//! not say: who acknowledged.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rmcp::model::*;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::hints::stamp_ack;
use super::params;
use crate::limits;

const SCHEME: &str = "longhaul-task-status:";
const LISTEN: &str = "subscriptions/listen";

/// The id of the task that such a resource stands for.
pub fn task_of(uri: &str) -> Option<&str> {
    uri.strip_prefix(SCHEME)
}

/// Reads what a client sends, and tells when there is nothing more to read: rmcp waits a while for calls that
/// are being answered, and they would wait for their tasks.
pub struct FromClient<R> {
    inner: R,
    ended: CancellationToken,
    /// A line that has not ended yet.
    line: Vec<u8>,
    /// The line is too long to be looked at; the rest of it passes.
    passes: bool,
    /// What rmcp reads next, up to here it has.
    ready: Vec<u8>,
    taken: usize,
}

impl<R> FromClient<R> {
    pub fn new(inner: R, ended: CancellationToken) -> Self {
        Self { inner, ended, line: Vec::new(), passes: false, ready: Vec::new(), taken: 0 }
    }

    fn arrived(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ends = piece.ends_with(b"\n");
            self.line.extend_from_slice(piece);
            if ends && !self.passes {
                match with_resources(&self.line).or_else(|| params::with_text_cursor(&self.line)) {
                    Some(line) => self.ready.extend_from_slice(&line),
                    None => self.ready.append(&mut self.line),
                }
                self.line.clear();
            } else if self.passes || self.line.len() > limits::MAX_LISTEN_LINE_BYTES {
                self.passes = !ends;
                self.ready.append(&mut self.line);
            }
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for FromClient<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.taken < self.ready.len() {
                let count = buf.remaining().min(self.ready.len() - self.taken);
                buf.put_slice(&self.ready[self.taken..self.taken + count]);
                self.taken += count;
                return Poll::Ready(Ok(()));
            }
            self.ready.clear();
            self.taken = 0;
            let mut chunk = [0; 8 * 1024];
            let mut chunk = ReadBuf::new(&mut chunk);
            let read = ready!(Pin::new(&mut self.inner).poll_read(cx, &mut chunk));
            if read.is_err() || chunk.filled().is_empty() {
                self.ended.cancel();
                read?;
                let this = &mut *self;
                this.ready.append(&mut this.line);
                if this.ready.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            self.arrived(chunk.filled());
        }
    }
}

/// A listener's line with resources for its tasks; `None` where it stays as it is.
fn with_resources(line: &[u8]) -> Option<Vec<u8>> {
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
    let resources = ids.as_array()?.iter().filter_map(Value::as_str).map(|id| json!(format!("{SCHEME}{id}")));
    let uris = filter.entry("resourceSubscriptions").or_insert_with(|| json!([]));
    uris.as_array_mut()?.extend(resources);
    let mut line = serde_json::to_vec(&message).ok()?;
    line.push(b'\n');
    Some(line)
}

/// Sends to a client; acknowledgments name tasks as tasks, and the server.
pub struct ToClient<T>(pub T);

impl<T: Transport<RoleServer>> Transport<RoleServer> for ToClient<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.0.send(stamped(with_task_ids(item)))
    }

    /// A handshake whose params do not fit is answered here: to rmcp it is a request before the handshake.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let message = self.0.receive().await?;
            let Some((id, error)) = bad_handshake(&message) else { return Some(message) };
            if self.0.send(ServerJsonRpcMessage::error(error, Some(id))).await.is_err() {
                return None;
            }
        }
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.0.close()
    }
}

fn bad_handshake(message: &ClientJsonRpcMessage) -> Option<(RequestId, ErrorData)> {
    let ClientJsonRpcMessage::Request(JsonRpcRequest { id, request, .. }) = message else { return None };
    let ClientRequest::CustomRequest(request) = request else { return None };
    let is_handshake = request.method == InitializeResultMethod::VALUE;
    is_handshake.then(|| (id.clone(), params::not_understood(request, false)))
}

/// An ack says who answered.
fn stamped(mut message: ServerJsonRpcMessage) -> ServerJsonRpcMessage {
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
    use tokio::io::AsyncReadExt;

    use super::*;

    fn listen(capabilities: Value) -> String {
        let meta = json!({ "io.modelcontextprotocol/clientCapabilities": capabilities });
        let notifications = json!({ "taskIds": ["a", "b"], "resourceSubscriptions": ["task://c"] });
        let params = json!({ "_meta": meta, "notifications": notifications });
        format!("{}\n", json!({ "jsonrpc": "2.0", "id": 1, "method": LISTEN, "params": params }))
    }

    async fn read(lines: &str) -> (String, bool) {
        let ended = CancellationToken::new();
        let mut text = String::new();
        let mut from = FromClient::new(lines.as_bytes(), ended.clone());
        from.read_to_string(&mut text).await.expect("read");
        (text, ended.is_cancelled())
    }

    #[tokio::test]
    async fn tasks_become_resources_where_the_extension_is_declared() {
        let declared = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
        let (text, ended) = read(&listen(declared)).await;
        let message: Value = serde_json::from_str(&text).expect("JSON");
        let uris = ["task://c", "longhaul-task-status:a", "longhaul-task-status:b"];
        assert_eq!(message["params"]["notifications"], json!({ "resourceSubscriptions": uris }));
        assert_eq!(read(&listen(json!({}))).await.0, listen(json!({})));
        assert!(ended);
    }

    #[tokio::test]
    async fn all_else_passes_as_it_is() {
        let long = format!("{{\"method\":\"subscriptions/listen\",\"x\":\"{}\"}}\n", "x".repeat(1 << 20));
        let lines = format!("{{ \"id\" : 1.0 }}\n{long}\nno JSON: subscriptions/listen\nno end");
        assert_eq!(read(&lines).await.0, lines);
    }

    #[test]
    fn the_acknowledgment_names_tasks() {
        let filter = SubscriptionFilter::builder()
            .resource_subscriptions([format!("{SCHEME}a"), "task://c".to_owned()]);
        let mut told = SubscriptionsAcknowledgedNotification::new(
            SubscriptionsAcknowledgedNotificationParams::new(filter.build()),
        );
        let mut meta = NotificationMetaObject::new();
        meta.set_subscription_id(RequestId::Number(7));
        told.extensions.insert(meta);
        let told = ServerNotification::SubscriptionsAcknowledgedNotification(told);
        let wire =
            serde_json::to_value(with_task_ids(ServerJsonRpcMessage::notification(told))).expect("JSON");
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
        let told = |result| {
            let message = ServerJsonRpcMessage::response(result, RequestId::Number(7));
            serde_json::to_value(stamped(message)).expect("JSON")["result"].take()
        };
        let ack = told(ServerResult::task_ack(()));
        assert_eq!(ack["resultType"], "complete");
        assert_eq!(ack["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "longhaul");
        assert_eq!(told(ServerResult::empty(())), json!({}), "as sessions have it");
    }
}
