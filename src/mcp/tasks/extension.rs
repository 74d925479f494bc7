//! The tasks extension of 2026-07-28: `tasks/*`, and what a call and a listener get of a task.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rmcp::model::*;
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer};
use serde_json::Value;

use crate::api::TaskDocument;
use crate::engine::{EngineError, ResourceKey, TaskEnd, TaskView};
use crate::limits;
use crate::mcp::connection::Handler;
use crate::mcp::era::is_modern;
use crate::mcp::questions::asks::AskCapabilities;
use crate::mcp::watch::watched::WatchedTasks;
use crate::mcp::wire::client_settings::Links;
use crate::mcp::wire::convert;
use crate::mcp::wire::error::{self, Refusal};
use crate::mcp::wire::next;
use crate::mcp::wire::own_names::OwnNames;
use crate::mcp::wire::report;
use crate::task::{Progress, TaskId};

impl Handler {
    /// Whether this very request declares the extension, which no session may use.
    pub(in crate::mcp) fn takes_tasks(&self, context: &RequestContext<RoleServer>) -> bool {
        is_modern(context)
            && !self.connection.legacy.load(Ordering::Relaxed)
            && context.meta.client_capabilities().is_some_and(|declared| declared.supports_tasks())
    }

    /// The answer of a call whose task is on disk.
    pub(in crate::mcp) fn created(
        &self,
        task: TaskView,
        id: TaskId,
        takes: AskCapabilities,
    ) -> CreateTaskResult {
        let kept = self.server.engine().kept_for(&task);
        let task = TaskDocument::from(task);
        let status = status(&task, id, takes);
        let mut meta = convert::task_meta(id);
        meta.insert(convert::RESOURCE_META.to_owned(), Value::String(task.uri.clone()));
        CreateTaskResult::new(self.bare(&task, kept, status)).with_meta(meta)
    }

    /// `tasks/get`.
    pub(in crate::mcp) async fn task(
        &self,
        id: &str,
        context: &RequestContext<RoleServer>,
    ) -> Result<DetailedTask, ErrorData> {
        let id = parse(id)?;
        let task = self.detailed(id, AskCapabilities::of(context), self.links(context)).await?;
        self.polled(id, task.task.poll_interval_ms);
        Ok(task)
    }

    /// `tasks/update`. Answers to what was not asked are ignored, as is everything that comes after the end.
    pub(in crate::mcp) async fn answer_task(
        &self,
        id: &str,
        responses: &InputResponses,
        context: &RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let id = parse(id)?;
        let task = self
            .server
            .engine()
            .task(&self.connection.principal, id)
            .await
            .map_err(|error| rpc_error(&error))?;
        if task.state.is_terminal() {
            return Ok(());
        }
        for (key, result) in responses {
            self.take_response(id, key, result, context).await.map_err(|error| rpc_error(&error))?;
        }
        Ok(())
    }

    /// `tasks/cancel`; a task that has ended stays as it is.
    pub(in crate::mcp) async fn cancel_task_of(
        &self,
        id: &str,
        context: &RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let by = self.connection.actor(context);
        let cancelled = self.server.engine().cancel(by, parse(id)?, None).await;
        cancelled.map(drop).map_err(|error| rpc_error(&error))
    }

    /// Watches what the request asks for, as far as it is the caller's. The outer `None` refuses the request:
    /// it asks for tasks without declaring them.
    pub(in crate::mcp) async fn arm_tasks(&self, named: &[String]) -> Option<Option<WatchedTasks>> {
        let of_request = self.connection.task_ids.as_deref();
        if of_request.is_some_and(|asked| !asked.declared) {
            return None;
        }
        let asked = of_request.map_or(named, |request| &request.asked);
        if asked.is_empty() {
            return Some(None);
        }
        let Some(mut watcher) = self.server.engine().feed().watch() else { return Some(None) };
        let mut ids = Vec::new();
        for id in asked.iter().take(limits::MAX_WATCHED_PER_SUBSCRIBER) {
            let Ok(id) = id.parse::<TaskId>() else { continue };
            if ids.contains(&id) {
                continue;
            }
            let theirs = self.server.engine().task(&self.connection.principal, id).await;
            if theirs.is_ok() && watcher.add(ResourceKey::Task(id)) {
                ids.push(id);
            }
        }
        if let Some(request) = of_request {
            request.honour(ids.iter().map(TaskId::to_string).collect());
        }
        Some((!ids.is_empty()).then_some(WatchedTasks { watcher, ids }))
    }

    /// Where each task stands now, then every change; of many changes at once, the last. rmcp's own sink lets
    /// no such notification through.
    pub(in crate::mcp) async fn tell_tasks(
        &self,
        tasks: Option<WatchedTasks>,
        context: &SubscriptionContext,
    ) {
        let (takes, links) =
            (AskCapabilities::of(context.request_context()), self.links(context.request_context()));
        let Some(WatchedTasks { watcher, ids }) = tasks else { return std::future::pending().await };
        let mut present = ids.into_iter();
        loop {
            let id = match present.next() {
                Some(id) => id,
                None => match watcher.next().await {
                    ResourceKey::Task(id) => id,
                    _ => continue,
                },
            };
            // Deleted meanwhile: there is nothing to tell.
            let Ok(task) = self.detailed(id, takes, links).await else { continue };
            let mut meta = NotificationMetaObject::new();
            meta.set_subscription_id(context.sink().id().clone());
            let params = TaskStatusNotificationParams::new(task).with_meta(meta);
            let update = ServerNotification::TaskStatusNotification(TaskStatusNotification::new(params));
            if context.request_context().peer.send_notification(update).await.is_err() {
                return;
            }
        }
    }

    pub(in crate::mcp) async fn detailed(
        &self,
        id: TaskId,
        takes: AskCapabilities,
        links: Links,
    ) -> Result<DetailedTask, ErrorData> {
        let engine = self.server.engine();
        let end = engine.result(&self.connection.principal, id).await.map_err(|error| rpc_error(&error))?;
        let of = |task: TaskView| (engine.kept_for(&task), TaskDocument::from(task));
        let ((kept, document), payload) = match end {
            TaskEnd::NotYet(task) => {
                let (kept, task) = of(task);
                let input_requests = takes.requests(id, &task);
                if input_requests.is_empty() {
                    ((kept, task), TaskPayload::Working)
                } else {
                    // The client that asks can do it, and is about to.
                    let time = Duration::from_secs(limits::AT_HAND_SECONDS);
                    input_requests.keys().for_each(|key| engine.extend_deadline(id, key, time));
                    ((kept, task), TaskPayload::InputRequired { input_requests })
                }
            }
            TaskEnd::Cancelled(task) => (of(task), TaskPayload::Cancelled),
            TaskEnd::Failed(task, error) => {
                let (kept, task) = of(task);
                let error = match error.protocol {
                    Some(protocol) => error::of_tool(&protocol, id),
                    None => error::of_failed(self.server.names(), &task),
                };
                ((kept, task), TaskPayload::Failed { error: object(&error)? })
            }
            completed @ TaskEnd::Completed(_) => {
                // Which does not change any more.
                let task =
                    engine.task(&self.connection.principal, id).await.map_err(|error| rpc_error(&error))?;
                let catalog = engine.catalog();
                let entry = catalog.tool(&task.tool).map(|entry| &**entry);
                let answer = match self.server.form(links).ended(completed, entry, id) {
                    Some(Ok(answer)) => answer,
                    Some(Err(Refusal::Result(answer))) => *answer,
                    Some(Err(Refusal::Error(error))) => return Err(error),
                    None => return Err(ErrorData::internal_error("a completed task has no result", None)),
                };
                (of(task), TaskPayload::Completed { result: object(&answer)? })
            }
        };
        Ok(DetailedTask::new(self.bare(&document, kept, payload.status()), payload))
    }

    fn bare(&self, task: &TaskDocument, kept: Option<Duration>, status: TaskStatus) -> Task {
        let mut wire = Task::new(&task.id, status, &task.created_at, &task.updated_at);
        wire.status_message = message(self.server.names(), task, status);
        wire.ttl_ms = kept.map(|kept| u64::try_from(kept.as_millis()).unwrap_or(u64::MAX));
        wire.poll_interval_ms = task.poll_interval_ms;
        wire
    }
}

/// As `tasks/get` has it.
fn status(task: &TaskDocument, id: TaskId, takes: AskCapabilities) -> TaskStatus {
    match task.state.as_str() {
        "completed" => TaskStatus::Completed,
        "failed" => TaskStatus::Failed,
        "cancelled" => TaskStatus::Cancelled,
        _ if !takes.requests(id, task).is_empty() => TaskStatus::InputRequired,
        _ => TaskStatus::Working,
    }
}

/// Why it ended, or how far it is and what it waits for: the extension has no progress, and no questions for who
/// cannot answer them, so both stand in words.
fn message(names: &OwnNames, task: &TaskDocument, status: TaskStatus) -> Option<String> {
    if let Some(error) = &task.error {
        return Some(next::why(names, task, error));
    }
    let progress = task.progress.as_ref().map(|p| Progress { done: p.done, total: p.total });
    let reported = Some(report::text(progress, task.message.clone())).filter(|text| !text.is_empty());
    let waits = if status == TaskStatus::Working { next::waits_for(names, task) } else { None };
    match (reported, waits) {
        (Some(reported), Some(waits)) => Some(format!("{reported}\n{waits}")),
        (reported, waits) => reported.or(waits),
    }
}

fn parse(id: &str) -> Result<TaskId, ErrorData> {
    id.parse().map_err(|_| error::no_such_task(id))
}

fn rpc_error(error: &EngineError) -> ErrorData {
    match error {
        EngineError::NoSuchTask(id) => error::no_such_task(&id.to_string()),
        error => error::rpc(error),
    }
}

fn object(value: &impl serde::Serialize) -> Result<JsonObject, ErrorData> {
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(ErrorData::internal_error("what the task came to has no JSON form", None)),
    }
}
