//! Following a task for a call: its stream gets what happens until the task ends, or asks, or the wait is over.

use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::InputResponses;
use rmcp::service::RequestContext;

use super::offers::Offers;
use super::reports::Reports;
use crate::api::TaskDocument;
use crate::clock::Moment;
use crate::engine::{EngineError, Follower, TaskChange};
use crate::http::ClosedInOrder;
use crate::limits;
use crate::mcp::connection::Handler;
use crate::mcp::era::is_modern;
use crate::mcp::questions::asks::AskCapabilities;
use crate::mcp::sessions::CallStream;
use crate::task::{QuestionKind, Report, State, TaskId, WaitingReason};

/// A task that is followed for a call.
#[derive(Clone, Copy)]
pub struct Followed<'a> {
    pub follower: &'a Follower,
    pub id: TaskId,
    pub tool: &'a str,
    /// It was followed from before its commit: nothing was missed.
    pub fresh: bool,
}

/// What follows when the task asks.
pub enum Asking {
    /// The wait ends.
    Ends,
    /// This client is asked what it can be asked.
    Client {
        /// The wait ends with the first answer.
        until_answered: bool,
        /// What it answers to questions that are not asked yet.
        responses: InputResponses,
    },
}

/// Why following a task stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The task said that it completed.
    Completed,
    /// It ended, or it asks what only others can answer.
    Ended,
    /// It asks what this client can be asked in the next round of its call.
    Asks,
    TimeOver,
    /// The client gave the call up.
    GivenUp,
    /// The connection broke, and nothing says that the client wanted that.
    Lost,
    /// The server is stopping, or there is no reader for the answer.
    Stopping,
}

impl Handler {
    /// Tells the call's stream what happens to the task until it ends or asks, or one of the others.
    pub(in crate::mcp) async fn follow(
        &self,
        followed: Followed<'_>,
        at_most: Option<Duration>,
        mut asking: Asking,
        context: &RequestContext<RoleServer>,
    ) -> Result<Stopped, EngineError> {
        let mut offers = Offers::new(self, context, followed.id);
        let stopped = self.follow_offering(followed, at_most, &mut asking, &mut offers, context).await;
        // The next server takes the answers to what is open.
        if !matches!(stopped, Ok(Stopped::Stopping)) {
            offers.withdraw().await;
        }
        stopped
    }

    async fn follow_offering(
        &self,
        followed: Followed<'_>,
        at_most: Option<Duration>,
        asking: &mut Asking,
        offers: &mut Offers<'_>,
        context: &RequestContext<RoleServer>,
    ) -> Result<Stopped, EngineError> {
        let Followed { follower, id, tool, fresh } = followed;
        let mut reports = Reports::new(&self.connection, tool, id, context);
        let mut takes = AskCapabilities::of(context);
        let is_client = matches!(asking, Asking::Client { .. });
        let mut sampler_guard = (takes.sampling && is_client)
            .then(|| self.server.engine().register_sampler(id, takes.sampling_tools));
        let mut countdown = Countdown::new(at_most);
        let connection = &self.connection;
        let given_up = self.given_up(context);
        tokio::pin!(given_up);
        // It may have ended before anyone followed it, and what it reported so far is in its document.
        let mut look = !fresh;
        if !fresh {
            let task = self.document_of(id).await?;
            reports.present(&task).await;
            if task.is_terminal() {
                return Ok(Stopped::Ended);
            }
        }
        loop {
            if std::mem::take(&mut look) {
                if let Some(stopped) = self.look(id, takes, asking, offers, context).await? {
                    return Ok(stopped);
                }
                offers.look();
            }
            countdown.pause(!offers.is_empty(), Moment::now());
            tokio::select! {
                biased;
                change = follower.next() => match change {
                    TaskChange::Progress { progress, message, .. } => {
                        reports.tell(&Report::Progress { progress, message }).await;
                    }
                    TaskChange::Line { level, text, .. } => {
                        reports.tell(&Report::Line { level, text }).await;
                    }
                    TaskChange::State(State::Completed) => return Ok(Stopped::Completed),
                    TaskChange::State(state) if state.is_terminal() => return Ok(Stopped::Ended),
                    TaskChange::Questions | TaskChange::State(State::Waiting(WaitingReason::Input)) => look = true,
                    TaskChange::Lagged(_) => {
                        if let Ok(task) = self.document_of(id).await {
                            reports.present(&task).await;
                            if task.is_terminal() {
                                return Ok(Stopped::Ended);
                            }
                        }
                        look = true;
                    }
                    // No other change comes to a call.
                    _ => {}
                },
                () = offers.next(), if !offers.is_empty() => look = true,
                () = self.server.stopping().cancelled() => return Ok(Stopped::Stopping),
                () = connection.gone() => return Ok(Stopped::Stopping),
                () = connection.silent(), if !offers.is_closed() => {
                    // What was piped in, and nothing after it, still wants its answer; its questions find no answer.
                    offers.close();
                    drop(sampler_guard.take());
                    if !is_modern(context) {
                        takes = AskCapabilities::default();
                    }
                    countdown.bound(Duration::from_secs(limits::DEFAULT_INLINE_WAIT_SECONDS), Moment::now());
                    look = true;
                }
                // Its answer is cut off, which is no cancellation either.
                () = connection.caller.revoked() => return Ok(Stopped::Stopping),
                stopped = &mut given_up => return Ok(stopped),
                () = countdown.over() => return Ok(Stopped::TimeOver),
            }
        }
    }

    /// What the task asks now, and what that means for the call.
    async fn look(
        &self,
        id: TaskId,
        takes: AskCapabilities,
        asking: &mut Asking,
        offers: &mut Offers<'_>,
        context: &RequestContext<RoleServer>,
    ) -> Result<Option<Stopped>, EngineError> {
        let mut task = self.document_of(id).await?;
        if matches!(asking, Asking::Client { until_answered: true, .. }) {
            // The answer to one of its own is what the call waits for.
            task.input_requests.retain(|_, question| question.task.is_none());
        }
        offers.keep(&task);
        if task.is_terminal() {
            // Its end comes as a change too, behind what it reported.
            return Ok(None);
        }
        if task.unknown_step.is_some() {
            return Ok(Some(Stopped::Ended));
        }
        let Asking::Client { until_answered, responses } = asking else {
            return Ok((!task.input_requests.is_empty()).then_some(Stopped::Ended));
        };
        if *until_answered && !task.questions_answered.is_empty() {
            return Ok(Some(Stopped::TimeOver));
        }
        if task.input_requests.is_empty() || self.was_foreseen(id, &task, responses, context).await {
            return Ok(None);
        }
        if !offers.is_closed() {
            self.cannot(id, &mut task, takes, context).await?;
            if task.input_requests.is_empty() {
                return Ok(None);
            }
        }
        if is_modern(context) {
            if task.input_requests.values().any(|question| takes.fits(question)) {
                return Ok(Some(Stopped::Asks));
            }
        } else {
            for (key, question) in task.input_requests.iter().filter(|(_, question)| takes.fits(question)) {
                offers.add(key, question);
            }
            if !offers.is_empty() {
                return Ok(None);
            }
        }
        // A person answers elsewhere, whenever that is, and a client that says nothing more answers nothing: the call
        // goes on as a link. A guest that has not come to a wait may yet ask what this client can answer.
        let engine = self.server.engine();
        let no_client = offers.is_closed() && !engine.has_sampler();
        let asks_person = task.input_requests.values().any(|question| {
            question.kind == QuestionKind::Elicit && !engine.may_ask_more(question.asker().unwrap_or(id))
        });
        Ok((no_client || asks_person).then_some(Stopped::Ended))
    }

    /// Whether one of the questions was answered by what the call brought along.
    async fn was_foreseen(
        &self,
        id: TaskId,
        task: &TaskDocument,
        responses: &mut InputResponses,
        context: &RequestContext<RoleServer>,
    ) -> bool {
        let mut any = false;
        for key in task.input_requests.keys() {
            if let Some(result) = responses.remove(key) {
                // What does not fit is asked for.
                any |= self.take_response(id, key, &result, context).await.is_ok();
            }
        }
        any
    }

    /// Ends when the client gives the call up: when it says so over pipes and in sessions, where a lost connection
    /// is none; under 2026-07-28 over HTTP, when it closes the response. There a connection that breaks ends the
    /// wait too, and is kept apart.
    async fn given_up(&self, context: &RequestContext<RoleServer>) -> Stopped {
        if let Some(stream) = context.extensions.get::<CallStream>() {
            stream.slot.given_up().await;
            return Stopped::GivenUp;
        }
        let Some(parts) = context.extensions.get::<http::request::Parts>() else {
            let given_up = self.connection.given_up(&context.id);
            given_up.token.cancelled().await;
            return Stopped::GivenUp;
        };
        context.ct.cancelled().await;
        // A response also closes because the server shuts down.
        if self.server.stopping().is_cancelled() {
            return Stopped::Stopping;
        }
        let closed = parts.extensions.get::<ClosedInOrder>();
        if closed.is_some_and(ClosedInOrder::is_set) { Stopped::GivenUp } else { Stopped::Lost }
    }
}

/// What is left of an inline wait. It stands still while a question that went out on this stream is open.
struct Countdown {
    until: Option<Moment>,
    paused: Option<Moment>,
}

impl Countdown {
    fn new(at_most: Option<Duration>) -> Self {
        Self { until: at_most.map(|time| Moment::now() + time), paused: None }
    }

    fn pause(&mut self, on: bool, now: Moment) {
        match (on, self.paused) {
            (true, None) => self.paused = Some(now),
            (false, Some(since)) => {
                self.until = self.until.map(|until| until + (now - since));
                self.paused = None;
            }
            _ => {}
        }
    }

    /// A wait without end gets one.
    fn bound(&mut self, time: Duration, now: Moment) {
        self.pause(false, now);
        self.until.get_or_insert(now + time);
    }

    async fn over(&self) {
        match (self.until, self.paused) {
            (Some(until), None) => until.reached().await,
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_stands_still_while_a_question_is_open() {
        let mut countdown = Countdown::new(Some(Duration::from_secs(10)));
        let (until, begun) = (countdown.until.expect("an end"), Moment::now());
        let hour = Duration::from_secs(3_600);
        countdown.pause(true, begun);
        countdown.pause(true, begun + hour);
        assert!(countdown.paused.is_some());
        countdown.pause(false, begun + hour);
        assert_eq!((countdown.until, countdown.paused), (Some(until + hour), None));
    }

    #[test]
    fn a_wait_without_end_gets_one_and_another_keeps_its_own() {
        let (now, minute) = (Moment::now(), Duration::from_secs(60));
        let mut endless = Countdown::new(None);
        endless.bound(minute, now);
        assert_eq!(endless.until, Some(now + minute));
        for seconds in [1, 60, 3_600] {
            let mut countdown = Countdown::new(Some(Duration::from_secs(seconds)));
            let until = countdown.until;
            countdown.pause(true, now);
            countdown.bound(minute, now);
            assert_eq!((countdown.until, countdown.paused), (until, None));
        }
    }
}
