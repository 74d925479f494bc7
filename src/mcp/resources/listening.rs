//! What the stream of a `subscriptions/listen` over HTTP says behind its acknowledgment.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use futures::stream;
use rmcp::model::*;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::http::Bytes;
use crate::limits;
use crate::mcp::connection::Handler;
use crate::mcp::questions::asks::AskCapabilities;
use crate::mcp::watch::armed::Armed;
use crate::mcp::watch::watched::next_list_change;
use crate::mcp::wire::client_settings::Links;
use crate::task::TaskId;

/// What one listener gets.
pub struct Listening {
    pub handler: Handler,
    pub id: RequestId,
    pub armed: Armed,
    pub takes: AskCapabilities,
    pub links: Links,
}

struct Telling {
    of: Listening,
    /// Sent before anything else.
    ready: VecDeque<Bytes>,
    /// Tasks of which nothing has been sent.
    present: std::vec::IntoIter<TaskId>,
    prompts: Option<watch::Receiver<u64>>,
    lists_rest_until: Option<Instant>,
    /// Ends the stream, where it ends by itself.
    end: Option<Bytes>,
}

impl Listening {
    pub fn stream(
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
                self.tell_task(id).await;
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
            Woken::Task(id) => self.tell_task(id).await,
            Woken::Silence => self.ready.push_back(Bytes::from_static(b":\n\n")),
            Woken::Stop => self.ready.extend(self.end.take()),
        }
    }

    async fn tell_task(&mut self, id: TaskId) {
        // Deleted meanwhile: there is nothing to tell.
        if let Ok(task) = self.of.handler.detailed(id, self.of.takes, self.of.links).await {
            let mut meta = NotificationMetaObject::new();
            meta.set_subscription_id(self.of.id.clone());
            let params = TaskStatusNotificationParams::new(task).with_meta(meta);
            let update = ServerNotification::TaskStatusNotification(TaskStatusNotification::new(params));
            self.ready.push_back(Listening::event(update));
        }
    }

    fn tell(&mut self, mut notification: ServerNotification) {
        notification.get_meta_mut().set_subscription_id(self.of.id.clone());
        self.ready.push_back(Listening::event(notification));
    }
}
