use rmcp::RoleClient;
use rmcp::model::*;
use rmcp::service::{PeerRequestOptions, RequestHandle};
use serde_json::Value;
use tokio::sync::mpsc;

use super::error::ClientError;
use super::event::CallEvent;
use super::remote::Client;
use super::tap::ReportTo;
use crate::catalog::Reply;
use crate::limits;
use crate::mcp::wire::convert::{self, TASK_META};
use crate::mcp::wire::meta::{ERROR_META, KEY_META, PERSON_META, REPLY_META, WAIT_META};
use crate::task::Content as Block;

/// What a call may choose; the default leaves it to the tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    pub reply: Option<Reply>,
    /// 0 is without end.
    pub inline_wait_seconds: Option<u64>,
    pub idempotency_key: Option<String>,
    /// It is a person's own doing and not a model's.
    pub by_person: bool,
}

/// The answer of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallOutcome {
    pub content: Vec<Block>,
    pub structured: Option<Value>,
    pub is_error: bool,
    /// The id of the task that answered.
    pub task: Option<String>,
    /// Why a Longhaul has not done an operation of its own, in its word for it.
    pub error: Option<String>,
}

/// Where a task is that will have the result.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct TaskLink {
    pub task_id: String,
    pub uri: String,
    pub state: String,
}

impl CallOutcome {
    /// Set where the answer is a link instead of the tool's own result.
    pub fn link(&self) -> Option<TaskLink> {
        if self.is_error {
            return None;
        }
        let link: TaskLink = serde_json::from_value(self.structured.clone()?).ok()?;
        let is_block = |block: &Block| matches!(block, Block::Link { uri, .. } if uri.starts_with("task://"));
        // A server may show its links as texts; who answers is in the `_meta`, which no tool writes.
        let is_own =
            self.task.as_deref() == Some(&*link.task_id) && link.uri == format!("task://{}", link.task_id);
        (is_own || self.content.iter().any(is_block)).then_some(link)
    }

    /// All text blocks, a line each.
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|block| match block {
            Block::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }
}

/// A call whose answer is not there yet. Dropping it leaves the request as it is; see [`RunningCall::cancel`].
pub struct RunningCall {
    handle: RequestHandle<RoleClient>,
    events: mpsc::Receiver<CallEvent>,
    url: String,
    answer: Option<Result<CallOutcome, ClientError>>,
}

impl Client {
    pub async fn start_call(
        &self,
        tool: &str,
        arguments: Value,
        options: &CallOptions,
    ) -> Result<RunningCall, ClientError> {
        let Value::Object(arguments) = arguments else {
            return Err(self.unexpected("the arguments of a call are a JSON object".to_owned()));
        };
        let (report, events) = mpsc::channel(limits::MAX_FOLLOW_QUEUE);
        let mut params = CallToolRequestParams::new(tool.to_owned());
        params.arguments = Some(arguments);
        let mut request = CallToolRequest::new(params);
        request.extensions.insert(ReportTo(report));
        let chosen = PeerRequestOptions::no_options().with_meta(meta(options));
        let request = ClientRequest::CallToolRequest(request);
        let handle = self.running.peer().send_request_with_option(request, chosen).await;
        let handle = handle.map_err(|error| self.error(error))?;
        Ok(RunningCall { handle, events, url: self.url.clone(), answer: None })
    }

    /// Calls and waits for the answer, whatever is reported meanwhile.
    pub async fn call(
        &self,
        tool: &str,
        arguments: Value,
        options: &CallOptions,
    ) -> Result<CallOutcome, ClientError> {
        self.start_call(tool, arguments, options).await?.answer().await
    }
}

impl RunningCall {
    /// The next report, or `None` once the answer is there. Safe to drop and call again.
    pub async fn next(&mut self) -> Option<CallEvent> {
        if self.answer.is_none() {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => return Some(event),
                response = &mut self.handle.rx => self.answer = Some(outcome(&self.url, response.ok())),
            }
        }
        // What arrived before the answer comes before it.
        self.events.try_recv().ok()
    }

    /// The answer; reports that were not taken are dropped.
    pub async fn answer(mut self) -> Result<CallOutcome, ClientError> {
        while self.next().await.is_some() {}
        let none = || Err(ClientError::Disconnected { url: self.url.clone(), why: "no answer".to_owned() });
        self.answer.take().unwrap_or_else(none)
    }

    /// Gives the call up. Its task is cancelled where the protocol says so: an inline call of 2026-07-28
    /// without an idempotency key.
    pub async fn cancel(self) -> Result<(), ClientError> {
        let url = self.url;
        self.handle.cancel(None).await.map_err(|error| ClientError::of_service(&url, &error))
    }
}

fn meta(options: &CallOptions) -> RequestMetaObject {
    let mut meta = RequestMetaObject::new();
    if let Some(reply) = options.reply {
        meta.insert(REPLY_META.to_owned(), convert::document(&reply));
    }
    if let Some(seconds) = options.inline_wait_seconds {
        meta.insert(WAIT_META.to_owned(), seconds.into());
    }
    if let Some(key) = &options.idempotency_key {
        meta.insert(KEY_META.to_owned(), key.clone().into());
    }
    if options.by_person {
        meta.insert(PERSON_META.to_owned(), true.into());
    }
    meta
}

type Response = Result<ServerResult, rmcp::ServiceError>;

fn outcome(url: &str, response: Option<Response>) -> Result<CallOutcome, ClientError> {
    let response = response.unwrap_or(Err(rmcp::ServiceError::TransportClosed));
    match response.map_err(|error| ClientError::of_service(url, &error))? {
        ServerResult::CallToolResult(result) => {
            let said = |key| {
                result.meta.as_ref().and_then(|meta: &MetaObject| meta.get(key)?.as_str().map(str::to_owned))
            };
            let (task, error) = (said(TASK_META), said(ERROR_META));
            Ok(CallOutcome {
                content: result.content.into_iter().filter_map(convert::content).collect(),
                structured: result.structured_content,
                is_error: result.is_error.unwrap_or_default(),
                task,
                error,
            })
        }
        _ => Err(ClientError::Unexpected {
            url: url.to_owned(),
            what: "the answer of the call is no tool result".to_owned(),
        }),
    }
}
