//! Who is notified that a resource changed: legacy sessions by `resources/subscribe`, 2026-07-28 by
//! `subscriptions/listen`. Both read the engine's change feed, which speaks after the commit, never waits
//! for a reader and tells each resource once to one that is slow.

use std::sync::atomic::Ordering;

use rmcp::model::*;
use rmcp::service::{Peer, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer};

use super::listening::Listening;
use crate::engine::ResourceKey;
use crate::limits;
use crate::mcp::connection::Handler;
use crate::mcp::own::fixtures::Fixtures;
use crate::mcp::questions::asks::AskCapabilities;
use crate::mcp::watch::armed::Armed;
use crate::mcp::watch::session::Full;
use crate::mcp::watch::watched::{Watched, between_list_changes, next_list_change};
use crate::mcp::wire::error;
use crate::mcp::wire::uri::{ResourceUri, task_of};

impl Handler {
    /// The part of a filter that is honoured. Watching begins here, before it is acknowledged.
    /// `None` refuses all of it.
    pub(in crate::mcp) async fn arm(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let over_pipes = self.connection.over_pipes.load(Ordering::Relaxed);
        let task_of = |uri: &str| task_of(uri).filter(|_| over_pipes).map(str::to_owned);
        let uris = requested.resource_subscriptions.as_deref().unwrap_or_default();
        let named: Vec<String> = uris.iter().filter_map(|uri| task_of(uri)).collect();
        let tasks = self.arm_tasks(&named).await?;
        let feed = self.server.engine().feed();
        let mut accepted = SubscriptionFilter::new();
        let wants_lists =
            [requested.tools_list_changed, requested.resources_list_changed].contains(&Some(true));
        let mut lists = wants_lists.then(|| feed.watch()).flatten();
        if let Some(lists) = &mut lists {
            let mut watch = |wanted: Option<bool>, key| (wanted == Some(true)).then(|| lists.add(key));
            accepted.tools_list_changed = watch(requested.tools_list_changed, ResourceKey::Tools);
            accepted.resources_list_changed = watch(requested.resources_list_changed, self.task_list_key());
        }
        let wants_prompts = requested.prompts_list_changed == Some(true);
        let prompts = self.server.fixtures().filter(|_| wants_prompts).map(Fixtures::prompts_changed);
        accepted.prompts_list_changed = prompts.is_some().then_some(true);
        let mut resources = if uris.is_empty() { None } else { feed.watch().map(Watched::new) };
        if let Some(resources) = &mut resources {
            let mut honoured = Vec::new();
            for uri in uris {
                let is_watched = match task_of(uri) {
                    Some(id) => tasks.as_ref().is_some_and(|tasks| tasks.watches(&id)),
                    None => {
                        let may = self.may_watch(uri).await;
                        may.is_ok_and(|at| resources.add(at.key(), uri.clone()))
                    }
                };
                honoured.extend(is_watched.then(|| uri.clone()));
            }
            accepted.resource_subscriptions = (!honoured.is_empty()).then_some(honoured);
        }
        let mut all = self.connection.armed.lock();
        // One that was never taken up, because its acknowledgment failed, must not stay for ever.
        if all.len() >= limits::MAX_ARMED_SUBSCRIPTIONS {
            all.remove(0);
        }
        all.push(Armed { requested: requested.clone(), resources, lists, prompts, tasks });
        Some(accepted)
    }

    /// One `subscriptions/listen`, from its acknowledgment to its end.
    pub(in crate::mcp) async fn tell_changes(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let armed = {
            let mut all = self.connection.armed.lock();
            let at = all.iter().position(|armed| armed.requested == *context.requested());
            let armed = at.map(|at| all.remove(at));
            // It stays as long as the stream, and most have but one.
            all.shrink_to_fit();
            armed
        };
        let armed = armed.ok_or_else(no_room)?;
        if let Some(handoff) = &self.connection.handoff {
            let (id, takes) = (context.sink().id().clone(), AskCapabilities::of(context.request_context()));
            let links = self.links(context.request_context());
            let listening = Listening { handler: self.clone(), id, armed, takes, links };
            handoff.put(Box::new(move |head, end| Box::pin(listening.stream(head, end))));
            return Ok(());
        }
        let Armed { resources, lists, prompts, tasks, .. } = armed;
        let sink = context.sink();
        let tell_resources = async {
            let Some(resources) = &resources else { return std::future::pending().await };
            loop {
                for uri in resources.next().await {
                    if sink.notify_resource_updated(uri).await.is_err() {
                        return;
                    }
                }
            }
        };
        let tell_lists = async {
            let Some(lists) = &lists else { return std::future::pending().await };
            loop {
                if sink.send(next_list_change(lists).await).await.is_err() {
                    return;
                }
                between_list_changes().await;
            }
        };
        let tell_prompts = async {
            let Some(mut prompts) = prompts else { return std::future::pending().await };
            while prompts.changed().await.is_ok() && sink.notify_prompt_list_changed().await.is_ok() {}
        };
        tokio::select! {
            () = tell_resources => {}
            () = tell_lists => {}
            () = tell_prompts => {}
            () = self.tell_tasks(tasks, &context) => {}
            () = context.cancelled() => {}
            () = self.server.stopping().cancelled() => {}
            // It would be the one request without an answer.
            () = self.connection.silent() => {}
        }
        Ok(())
    }

    /// A legacy session's `resources/subscribe`. When this returns, no later change is missed.
    pub(in crate::mcp) async fn subscribe_session(
        &self,
        uri: String,
        context: &RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if self.server.fixtures().is_some_and(|own| own.is_watched(&uri)) {
            return Ok(());
        }
        let key = self.may_watch(&uri).await?.key();
        if let Some(session) = self.connection.session() {
            if !session.outbox.watch(self.server.engine().feed(), key, uri.clone()) {
                return Err(no_room_in_session());
            }
            return session.note_subscription(&uri, true).await.map_err(|error| error::rpc(&error));
        }
        let subscriptions = &self.connection.subscriptions;
        let added = subscriptions.add(self.server.engine().feed(), &context.peer, key, uri).await;
        added.map_err(|full| match full {
            Full::Server => no_room(),
            Full::Session => no_room_in_session(),
        })
    }

    /// A legacy session's `resources/unsubscribe`. When this returns, no notification is begun any more.
    pub(in crate::mcp) async fn unsubscribe_session(&self, uri: String) -> Result<(), ErrorData> {
        if self.server.fixtures().is_some_and(|own| own.is_watched(&uri)) {
            return Ok(());
        }
        let parsed = ResourceUri::parse(&uri).ok_or_else(|| error::no_such_resource(&uri))?;
        if let Some(session) = self.connection.session() {
            session.outbox.unwatch(&parsed.key(), &uri);
            return session.note_subscription(&uri, false).await.map_err(|error| error::rpc(&error));
        }
        self.connection.subscriptions.remove(parsed.key(), uri).await;
        Ok(())
    }

    /// A legacy session is notified of changed lists without asking: the capability promises it.
    pub(in crate::mcp) fn watch_lists(&self, peer: Peer<RoleServer>) {
        let Some(mut lists) = self.server.engine().feed().watch() else { return };
        if !(lists.add(ResourceKey::Tools) && lists.add(self.task_list_key())) {
            return;
        }
        let over = self.connection.subscriptions.over().clone();
        tokio::spawn(async move {
            let tell = async {
                loop {
                    if peer.send_notification(next_list_change(&lists).await).await.is_err() {
                        return;
                    }
                    between_list_changes().await;
                }
            };
            tokio::select! {
                () = tell => {}
                () = over.cancelled() => {}
            }
        });
    }

    fn task_list_key(&self) -> ResourceKey {
        ResourceKey::Tasks(self.connection.principal.name().to_owned())
    }
}

fn no_room_in_session() -> ErrorData {
    error::too_many_subscriptions("this session watches all that one session may")
}

fn no_room() -> ErrorData {
    error::too_many_subscriptions("this server has all the subscribers it takes")
}
