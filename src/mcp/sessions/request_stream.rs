//! The stream that answers one request. For a call that made a task nothing is held for it: each reader asks the
//! store what comes behind its place, so that a slow one waits for no other and no other for it, and one that comes back,
//! to this process or the next, goes on where it was.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::*;
use rmcp::transport::streamable_http_server::session::ServerSseMessage;
use tokio::sync::watch;
use tokio::time::Instant;

use super::event_id::{Cursor, Id, Place};
use super::rows::{CallReply, CallRow};
use super::session::{Reader, Session};
use super::slot::{Next, Slot};
use crate::engine::{EngineError, ReportAt, Reported, ResourceKey, TaskEnd, Watcher};
use crate::limits;
use crate::mcp::questions::respondent::Asked;
use crate::mcp::wire::error::{self, Refusal};
use crate::mcp::wire::report::Teller;
use crate::task::Report;

pub struct RequestStream {
    reader: Reader,
    slot: Arc<Slot>,
    changed: watch::Receiver<()>,
    cursor: Cursor,
    /// The questions that were sent, and not yet that they are over.
    sent_questions: Vec<Asked>,
    /// Those of them that an earlier life of the session sent: the answer may have been lost with it.
    reminders: Vec<Asked>,
    remind_at: Instant,
    /// Read and not sent yet.
    reports: std::vec::IntoIter<(ReportAt, Report)>,
    watcher: Option<Watcher>,
    /// What opens the stream.
    greeting: Option<ServerSseMessage>,
}

impl RequestStream {
    /// A new one, whose first event has nothing but a place to come back to.
    pub fn new(session: &Arc<Session>, slot: Arc<Slot>) -> Self {
        let mut stream = Self::at(session, slot, Cursor::default(), Vec::new());
        let retry = Duration::from_millis(limits::SSE_RETRY_MS);
        stream.greeting = Some(ServerSseMessage::priming(stream.place(), retry));
        stream
    }

    /// One that goes on.
    pub fn at(session: &Arc<Session>, slot: Arc<Slot>, cursor: Cursor, sent_questions: Vec<Asked>) -> Self {
        let reminders = if slot.is_of_this_life(&cursor) { Vec::new() } else { sent_questions.clone() };
        let (changed, cursor) = (slot.watch(), slot.place(cursor));
        Self {
            reader: session.reader(),
            slot,
            changed,
            cursor,
            sent_questions,
            reminders,
            remind_at: Instant::now() + Duration::from_millis(limits::QUESTION_REMINDER_MS),
            reports: Vec::new().into_iter(),
            watcher: None,
            greeting: None,
        }
    }

    /// `None` at the end.
    pub async fn next(&mut self) -> Option<ServerSseMessage> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            self.changed.mark_unchanged();
            self.remind();
            let call = match self.slot.next(&self.cursor, &self.sent_questions) {
                Next::Message(number, message) => {
                    self.cursor.message = number;
                    return Some(self.event(message));
                }
                Next::Question(asked, message) => {
                    self.forget(asked);
                    self.sent_questions.push(asked);
                    return Some(self.event(message));
                }
                Next::Over(asked) => {
                    self.forget(asked);
                    let respondent = &self.session().respondent;
                    if respondent.has_replied(asked) {
                        continue;
                    }
                    let sent = ServerJsonRpcMessage::notification(respondent.cancellation(&asked));
                    return Some(self.event(Arc::new(sent)));
                }
                Next::Answer(answer) => return Some(self.last(answer)),
                Next::Call(call) => call,
                Next::Wait => {
                    self.wait(false).await?;
                    continue;
                }
                Next::End => {
                    self.session().close_slot(self.slot.stream);
                    return None;
                }
            };
            match self.of_call(&call).await {
                Output::Event(message) => return Some(self.event(Arc::new(message))),
                Output::Answer(message) => return Some(self.last(Arc::new(message))),
                Output::Nothing => self.wait(true).await?,
            }
        }
    }

    fn forget(&mut self, asked: Asked) {
        self.sent_questions.retain(|sent| sent.question != asked.question);
        self.reminders.retain(|sent| sent.question != asked.question);
    }

    /// Once it is time, what still stands of the questions that were sent before is sent again.
    fn remind(&mut self) {
        if self.reminders.is_empty() || Instant::now() < self.remind_at {
            return;
        }
        let (slot, reminders) = (&self.slot, &self.reminders);
        let respondent = &self.reader.session.respondent;
        let is_due =
            |sent: &Asked| reminders.contains(sent) && slot.asks(sent) && !respondent.has_replied(*sent);
        self.sent_questions.retain(|sent| !is_due(sent));
        self.reminders.retain(|asked| self.sent_questions.contains(asked));
    }

    /// What the call's task has to tell behind the cursor.
    async fn of_call(&mut self, call: &CallRow) -> Output {
        let mut teller = Teller {
            token: call.progress_token().map(ProgressToken),
            log_level: Some(call.log_level),
            tool: call.tool.clone(),
            task: call.task,
            last: self.cursor.progress,
            named: self.cursor.named,
        };
        loop {
            for (at, report) in self.reports.by_ref() {
                self.cursor.report = at;
                let sent = teller.tell(&report);
                (self.cursor.progress, self.cursor.named) = (teller.last, teller.named);
                if let Some(notification) = sent {
                    return Output::Event(ServerJsonRpcMessage::notification(notification));
                }
            }
            self.watch(call);
            let reported = match self.read(call).await {
                Ok(reported) => reported,
                Err(error) => return Output::Answer(answer_error(call, error::rpc(&error))),
            };
            let Reported { reports, newest, .. } = reported;
            if self.cursor.report < call.from {
                // What was there before this call is sent in one.
                self.cursor.report = call.from;
                self.reports =
                    Vec::from_iter(says_something(&newest.1).then_some((call.from, newest.1))).into_iter();
            } else if !reports.is_empty() {
                self.reports = reports.into_iter();
            } else if newest.0 > self.cursor.report {
                // They were not kept: where the task stands now is sent instead.
                let (at, newest) = newest;
                self.cursor.report = at;
                self.reports = Vec::from_iter(says_something(&newest).then_some((at, newest))).into_iter();
            } else {
                return self.answer(call).await;
            }
        }
    }

    async fn read(&self, call: &CallRow) -> Result<Reported, EngineError> {
        let (engine, at) = (self.session().server.engine(), self.cursor.report);
        engine.reported(self.session().principal(), call.task, at, limits::MAX_REPORTS_READ).await
    }

    /// All reports are sent.
    async fn answer(&self, call: &CallRow) -> Output {
        // What it asks while it waits comes before its answer, and is taken back before it.
        if self.slot.is_settled() { Output::Answer(self.result(call).await) } else { Output::Nothing }
    }

    async fn result(&self, call: &CallRow) -> ServerJsonRpcMessage {
        let (engine, principal) = (self.session().server.engine(), self.session().principal());
        let form = self.session().server.form(call.links);
        let end = match call.reply {
            CallReply::Link => engine.task(principal, call.task).await.map(TaskEnd::NotYet),
            CallReply::Waits { .. } => engine.result(principal, call.task).await,
        };
        let answer = match end {
            Ok(TaskEnd::NotYet(_)) => {
                // With what it asks.
                let task = engine.task(principal, call.task);
                task.await.map(|task| form.link(&task.into(), call.task)).map_err(|error| error::rpc(&error))
            }
            Ok(end) => {
                let catalog = engine.catalog();
                let entry = catalog.tool(&call.tool).map(|entry| &**entry);
                match form.ended(end, entry, call.task) {
                    Some(Ok(answer)) => Ok(answer),
                    Some(Err(Refusal::Result(answer))) => Ok(*answer),
                    Some(Err(Refusal::Error(error))) => Err(error),
                    None => Err(rmcp::ErrorData::internal_error("an ended task has no end", None)),
                }
            }
            Err(error) => Err(error::rpc(&error)),
        };
        match answer {
            Ok(answer) => {
                let mut answer = ServerResult::CallToolResult(answer);
                answer.strip_result_type_for_legacy_peer();
                ServerJsonRpcMessage::response(answer, call.request())
            }
            Err(error) => answer_error(call, error),
        }
    }

    /// Before the store is read, so that nothing falls in between.
    fn watch(&mut self, call: &CallRow) {
        if self.watcher.is_none() {
            self.watcher = self.session().server.engine().feed().watch();
            if let Some(watcher) = &mut self.watcher {
                watcher.add(ResourceKey::Task(call.task));
            }
        }
        if let Some(watcher) = &self.watcher {
            while watcher.try_next().is_some() {}
        }
    }

    /// `None` when the session is over.
    async fn wait(&mut self, is_call: bool) -> Option<()> {
        let session = self.reader.session.clone();
        let watcher = self.watcher.as_ref();
        let (remind_at, is_reminder) = (self.remind_at, !self.reminders.is_empty());
        let reminds = is_reminder && Instant::now() < remind_at;
        let sent = async {
            match watcher {
                Some(watcher) => drop(watcher.next().await),
                // With too many subscribers to be notified, one looks now and then.
                None if is_call => tokio::time::sleep(Duration::from_millis(limits::UNWATCHED_LOOK_MS)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.changed.changed() => changed.ok(),
            () = sent => Some(()),
            () = tokio::time::sleep_until(remind_at), if reminds => Some(()),
            () = session.over().cancelled() => None,
        }
    }

    fn last(&mut self, answer: Arc<ServerJsonRpcMessage>) -> ServerSseMessage {
        self.cursor.answered = true;
        self.slot.set_answered();
        self.event(answer)
    }

    fn event(&self, message: Arc<ServerJsonRpcMessage>) -> ServerSseMessage {
        let mut event = ServerSseMessage::default();
        (event.event_id, event.message) = (Some(self.place()), Some(message));
        event
    }

    fn place(&self) -> String {
        let request = Id::short(&self.slot.request);
        let (stream, cursor) = (self.slot.stream, self.cursor);
        if self.sent_questions.is_empty() {
            return self.session().seal(&Place::Request { stream, request, cursor });
        }
        self.session().seal(&Place::Asking {
            stream,
            request,
            cursor,
            sent_questions: self.sent_questions.clone(),
        })
    }

    fn session(&self) -> &Arc<Session> {
        &self.reader.session
    }
}

enum Output {
    Event(ServerJsonRpcMessage),
    Answer(ServerJsonRpcMessage),
    Nothing,
}

fn says_something(report: &Report) -> bool {
    !matches!(report, Report::Progress { progress: None, message: None })
}

fn answer_error(call: &CallRow, error: rmcp::ErrorData) -> ServerJsonRpcMessage {
    ServerJsonRpcMessage::error(error, Some(call.request()))
}

/// The one event of a stream whose request is not served: it was of no use, or left nothing behind, neither in memory
/// nor in the store.
pub fn refused(
    session: &Session,
    stream: u64,
    request: &RequestId,
    why: rmcp::ErrorData,
) -> ServerSseMessage {
    let cursor = Cursor { answered: true, ..Cursor::default() };
    let place = Place::Request { stream, request: Id::short(request), cursor };
    let answer = ServerJsonRpcMessage::error(why, Some(request.clone()));
    ServerSseMessage::new(session.seal(&place), answer)
}
