//! The stream of a `subscriptions/listen` over HTTP. rmcp checks the request and acknowledges it; what follows is
//! told from here, so that a listener who hears nothing costs a connection and a watcher, and no service of rmcp's.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream;
use http::{HeaderName, Method, StatusCode};
use rmcp::model::*;
use tokio::sync::watch;
use tokio::time::Instant;

use super::subscriptions::{Armed, next_list_change};
use crate::http::{Body, Bytes, EventStream, Next, Request, Response, collect, is_event_stream, status};
use crate::limits;
use crate::mcp::locks::lock;
use crate::mcp::questions::asks::Takes;
use crate::mcp::server::Handler;
use crate::mcp::wire::client_settings::Links;
use crate::task::TaskId;

/// Where the handler of a listen request leaves what its stream is to tell.
#[derive(Clone, Default)]
pub struct Handoff(Arc<Mutex<Option<Listening>>>);

tokio::task_local! {
    /// rmcp makes the handler within the request's own future.
    static OF_REQUEST: Handoff;
}

impl Handoff {
    pub fn of_this_request() -> Option<Self> {
        OF_REQUEST.try_with(Self::clone).ok()
    }

    pub fn put(&self, listening: Listening) {
        *lock(&self.0) = Some(listening);
    }

    fn take(&self) -> Option<Listening> {
        lock(&self.0).take()
    }
}

/// What one listener is told.
pub struct Listening {
    pub handler: Handler,
    pub id: RequestId,
    pub armed: Armed,
    pub takes: Takes,
    pub links: Links,
}

const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");

/// Takes the place of rmcp's stream behind its acknowledgment. Streams to those who only listen are marked.
pub async fn serve(request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET;
    if is_get || request.headers().get(MCP_METHOD).is_none_or(|method| method != "subscriptions/listen") {
        let mut response = next.run(request).await;
        if is_get && is_event_stream(&response) {
            response.extensions_mut().insert(EventStream);
        }
        return response;
    }
    let handoff = Handoff::default();
    let response = OF_REQUEST.scope(handoff.clone(), next.run(request)).await;
    if !is_event_stream(&response) {
        return response;
    }
    // The acknowledgment and, since nothing else is left to do there, the end.
    let (parts, body) = response.into_parts();
    let Ok(bytes) = collect(body, limits::MAX_REQUEST_BYTES).await else {
        return status(StatusCode::INTERNAL_SERVER_ERROR);
    };
    match handoff.take().zip(last_event(&bytes)) {
        Some((listening, end)) => {
            let (head, end) = (Bytes::copy_from_slice(&bytes[..end]), Bytes::copy_from_slice(&bytes[end..]));
            let mut response = Response::from_parts(parts, Body::from_stream(listening.stream(head, end)));
            response.extensions_mut().insert(EventStream);
            response
        }
        None => Response::from_parts(parts, Body::from(bytes)),
    }
}

/// Where the last event begins, if there is one before it.
fn last_event(events: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(events).ok()?.strip_suffix("\n\n")?;
    text.rfind("\n\n").map(|at| at + 2)
}

struct Telling {
    of: Listening,
    /// Told before anything else.
    ready: VecDeque<Bytes>,
    /// Tasks that have not been told of at all.
    present: std::vec::IntoIter<TaskId>,
    prompts: Option<watch::Receiver<u64>>,
    lists_rest_until: Option<Instant>,
    /// Ends the stream, where it ends by itself.
    end: Option<Bytes>,
}

impl Listening {
    fn stream(
        mut self,
        head: Bytes,
        end: Bytes,
    ) -> impl stream::Stream<Item = Result<Bytes, Infallible>> + Send {
        let present =
            self.armed.tasks.as_mut().map(|tasks| std::mem::take(&mut tasks.ids)).unwrap_or_default();
        let prompts = self.armed.prompts.take();
        // The stream's state holds it twice.
        let telling = Box::new(Telling {
            of: self,
            ready: VecDeque::from([head]),
            present: present.into_iter(),
            prompts,
            lists_rest_until: None,
            end: Some(end),
        });
        stream::unfold(telling, async |mut telling| Some((Ok(telling.next().await?), telling)))
    }

    fn event(notification: ServerNotification) -> Bytes {
        let message = ServerJsonRpcMessage::notification(notification);
        // All messages have a form in JSON.
        format!("data: {}\n\n", serde_json::to_string(&message).unwrap_or_default()).into()
    }
}

impl Telling {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            // After its last event.
            self.end.as_ref()?;
            if let Some(id) = self.present.next() {
                self.tell_task(id);
                continue;
            }
            self.wait().await;
        }
    }

    /// Until there is something to tell, if only that the connection lives.
    async fn wait(&mut self) {
        enum Woken {
            Resources(Vec<String>),
            List(Box<ServerNotification>),
            Prompts,
            Task(TaskId),
            Silence,
            Stop,
        }
        let Armed { resources, lists, tasks, .. } = &self.of.armed;
        let resources = async {
            match resources {
                Some(resources) => resources.next().await,
                None => std::future::pending().await,
            }
        };
        let rest = self.lists_rest_until;
        let lists = async {
            let Some(lists) = lists else { return std::future::pending().await };
            if let Some(rest) = rest {
                tokio::time::sleep_until(rest).await;
            }
            next_list_change(lists).await
        };
        let tasks = async {
            match tasks {
                Some(tasks) => tasks.next().await,
                None => std::future::pending().await,
            }
        };
        let prompts = &mut self.prompts;
        let prompts = async {
            let Some(prompts) = prompts else { return std::future::pending().await };
            if prompts.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let stopping = self.of.handler.server.stopping().clone();
        let woken = tokio::select! {
            uris = resources => Woken::Resources(uris),
            change = lists => Woken::List(Box::new(change)),
            () = prompts => Woken::Prompts,
            id = tasks => Woken::Task(id),
            () = tokio::time::sleep(Duration::from_secs(limits::LISTEN_COMMENT_SECONDS)) => Woken::Silence,
            () = stopping.cancelled() => Woken::Stop,
        };
        match woken {
            Woken::Resources(uris) => {
                for uri in uris {
                    let updated =
                        ResourceUpdatedNotification::new(ResourceUpdatedNotificationParam::new(uri));
                    self.tell(ServerNotification::ResourceUpdatedNotification(updated));
                }
            }
            Woken::List(change) => {
                let interval = Duration::from_millis(limits::LIST_CHANGE_INTERVAL_MS);
                self.lists_rest_until = Some(Instant::now() + interval);
                self.tell(*change);
            }
            Woken::Prompts => {
                self.tell(ServerNotification::PromptListChangedNotification(Default::default()));
            }
            Woken::Task(id) => self.tell_task(id),
            Woken::Silence => self.ready.push_back(Bytes::from_static(b":\n\n")),
            Woken::Stop => self.ready.extend(self.end.take()),
        }
    }

    fn tell_task(&mut self, id: TaskId) {
        // Deleted meanwhile: there is nothing to tell.
        if let Ok(task) = self.of.handler.detailed(id, self.of.takes, self.of.links) {
            let mut meta = NotificationMetaObject::new();
            meta.set_subscription_id(self.of.id.clone());
            let params = TaskStatusNotificationParams::new(task).with_meta(meta);
            let told = ServerNotification::TaskStatusNotification(TaskStatusNotification::new(params));
            self.ready.push_back(Listening::event(told));
        }
    }

    fn tell(&mut self, mut notification: ServerNotification) {
        notification.get_meta_mut().set_subscription_id(self.of.id.clone());
        self.ready.push_back(Listening::event(notification));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_is_told_from_those_before() {
        assert_eq!(last_event(b"data: 1\n\n:\n\ndata: 2\n\n"), Some(12));
        assert_eq!(last_event(b"data: 1\n\n"), None);
        assert_eq!(last_event(b"data: 1\n\ndata: 2"), None);
    }
}
