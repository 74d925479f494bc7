//! The life of a task as a table: an event turns a status into the next one and says which rows are written and what
//! follows from them. Pure: times, random bytes and what others know of the task are arguments.

use std::sync::Arc;
use std::time::Duration;

use super::value::{Change, Instance, RowWrite};
use crate::clock::UnixNanos;
use crate::engine::effect::{Counter, Effect};
use crate::engine::feed::{ResourceKey, TaskChange};
use crate::engine::journal::ops::OpRow;
use crate::engine::link::Link;
use crate::engine::rows::tree;
use crate::store::Space;
use crate::task::{
    CancelRequest, FailedReason, IllegalTransition, OpenQuestion, OutputMeta, Spend, Status, TaskError,
    TaskEvent, TaskId, WaitingReason, Wake, WakeOn,
};

/// Which task it is: what never changes of it.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub id: TaskId,
    pub principal: &'a str,
    pub created_at: UnixNanos,
    /// The call that it came from, if a task made it.
    pub link: Option<Link>,
}

/// What is known in the moment of the event and is not part of the task's own status.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    pub wall: UnixNanos,
    /// Nanoseconds since the task was created, by its own clock.
    pub logical: u64,
    /// Of the live instance, where there is one.
    pub left: Option<Left>,
    /// Its open children that end with it.
    pub wanted_children: &'a [TaskId],
    /// It is a root whose tree was counted.
    pub is_counted_root: bool,
    /// Something else is tried in its place, within the same commit.
    pub has_successor: bool,
}

/// What an instance leaves in the status when it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub steps: u64,
    pub awake_nanos: u64,
    pub log_bytes: u64,
    /// Of the rows that a completed task is rid of there is the journal at most: the first attempt has no operation behind
    /// it, and nothing of an earlier epoch.
    pub has_journal_alone: bool,
}

/// A fact that changes a task.
#[derive(Debug)]
pub enum Event<'a> {
    /// An attempt has an instance.
    Started,
    /// The instance waits for something and leaves memory.
    Suspended {
        reason: WaitingReason,
        until: Option<u64>,
        on: &'a [WakeOn],
    },
    /// An operation left and its outcome is unknown: a person is to say what became of it.
    OutcomeUnknown {
        op: u64,
        message: &'a str,
    },
    /// The process stops, or has stopped, with an instance in memory.
    Interrupted,
    /// Its component is blocked: it stands still, and its total time with it.
    Blocked {
        since: UnixNanos,
    },
    /// It goes on where it stood.
    Unblocked {
        at: UnixNanos,
    },
    /// An instance found no memory and makes room: it goes on from its journal where there is some.
    Evicted,
    /// The attempt failed and the policy tries again after this delay: from the start with a seed, else by replay.
    RetryScheduled {
        delay: Duration,
        afresh: Option<[u8; 32]>,
    },
    /// The encoded result.
    Completed(&'a [u8]),
    Failed(&'a TaskError),
    Cancelled(Option<CancelRequest>),
    /// The guest was asked to end, and has a while to do so.
    CancelRequested(CancelRequest),
    /// It is sent a message.
    Messaged,
    /// This question of it is answered, which cost so much of its budget.
    Answered {
        number: u64,
        spent: Spend,
    },
    /// A request leaves for a model's endpoint with this question: the first one, whose cost is held back already, or a
    /// further one, which may cost so much on top.
    ModelAsked {
        number: u64,
        spend: Spend,
    },
    /// What a model says was written into this output, and is so long.
    Streamed {
        output: &'a str,
        bytes: u64,
    },
    /// From here on its reports are kept for a stream.
    ReportsWanted,
    /// Its owner takes it up again: after its end, or where it waits for an outcome that is `settled`.
    Reopened {
        keep: Keep,
        settled: Option<(u64, OpRow)>,
    },
}

/// How much of what a task recorded a reopening keeps.
#[derive(Debug)]
pub enum Keep {
    /// Nothing: a fresh journal, under this seed.
    Nothing { seed: [u8; 32] },
    /// What stands before a step.
    Before(Kept),
    /// The whole journal; these questions of it are still to be answered.
    All { questions: Vec<OpenQuestion> },
}

/// The beginning of a journal, and what it says of the task.
#[derive(Debug, Default)]
pub struct Kept {
    pub rows: Vec<RowWrite>,
    pub outputs: Vec<OutputMeta>,
    pub questions: Vec<OpenQuestion>,
    pub reports: u64,
    pub steps: u64,
    pub awake_nanos: u64,
}

/// What the event makes of the task; an error where it cannot happen to a task that stands there.
pub fn plan(
    about: About<'_>,
    status: &Status,
    event: Event<'_>,
    facts: Facts<'_>,
) -> Result<Change, IllegalTransition> {
    let mut plan = Plan::new(about, status, facts);
    match event {
        Event::Started => plan.start()?,
        Event::Suspended { reason, until, on } => {
            let wake = Wake {
                due: until.map(|until| about.created_at.saturating_add(until)),
                remaining_nanos: until.map_or(0, |until| until.saturating_sub(facts.logical)),
                on: on.to_vec(),
            };
            plan.leave(TaskEvent::Suspended(reason), Some(wake))?;
        }
        Event::OutcomeUnknown { op, message } => {
            plan.status.message = Some(format!("{message}; a person is to say what became of step {op}"));
            let wake = Wake { due: None, remaining_nanos: 0, on: vec![WakeOn::Resolution(op)] };
            plan.leave(TaskEvent::Suspended(WaitingReason::Input), Some(wake))?;
        }
        Event::Interrupted => {
            plan.status.attempt += 1;
            plan.leave(TaskEvent::Interrupted, None)?;
        }
        Event::Blocked { since } => {
            let wake = plan.status.wake.clone();
            plan.leave(TaskEvent::Blocked(since), wake)?;
        }
        Event::Unblocked { at } => plan.unblock(at)?,
        Event::Evicted => plan.leave(TaskEvent::Interrupted, None)?,
        Event::RetryScheduled { delay, afresh } => plan.schedule_retry(delay, afresh)?,
        Event::Completed(result) => plan.complete(result)?,
        Event::Failed(error) => plan.fail(error)?,
        Event::Cancelled(request) => plan.cancel(request)?,
        Event::CancelRequested(request) => plan.request_cancellation(request)?,
        Event::Messaged => plan.take_message()?,
        Event::Answered { number, spent } => plan.take_answer(number, spent)?,
        Event::ModelAsked { number, spend } => plan.ask_model(number, spend)?,
        Event::Streamed { output, bytes } => plan.grow_output(output, bytes)?,
        Event::ReportsWanted => plan.keep_reports()?,
        Event::Reopened { keep, settled } => plan.reopen(keep, settled)?,
    }
    Ok(plan.made())
}

/// How a task begins: queued, and open from the commit on, to run once `after` is over. Its own row is its maker's.
pub fn plan_new(about: About<'_>, seed: [u8; 32], after: Duration) -> Change {
    let status = Status { wake: wake_after(about.created_at, after), ..Status::new(about.created_at, seed) };
    let mut plan = Plan::new(about, &status, Facts::default());
    plan.rows.extend([RowWrite::Status, RowWrite::Open]);
    plan.effects.push(Effect::Counted(Counter::Submitted));
    plan.effects.push(Effect::Opened { task: about.id, after });
    plan.change(ResourceKey::Tasks(about.principal.to_owned()));
    if let Some(link) = about.link {
        plan.change(ResourceKey::Task(link.parent));
    }
    plan.made()
}

fn wake_after(from: UnixNanos, after: Duration) -> Option<Wake> {
    let nanos = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
    let due = Some(from.saturating_add(nanos));
    (nanos > 0).then(|| Wake { due, remaining_nanos: nanos, on: Vec::new() })
}

struct Plan<'a> {
    about: About<'a>,
    facts: Facts<'a>,
    status: Status,
    rows: Vec<RowWrite>,
    effects: Vec<Effect>,
    instance: Instance,
}

impl<'a> Plan<'a> {
    fn new(about: About<'a>, status: &Status, facts: Facts<'a>) -> Self {
        let (rows, effects) = (Vec::new(), Vec::new());
        Self { about, facts, status: status.clone(), rows, effects, instance: Instance::Stays }
    }

    fn made(self) -> Change {
        let Self { status, rows, effects, instance, .. } = self;
        Change { status, rows, effects, instance }
    }

    fn start(&mut self) -> Result<(), IllegalTransition> {
        self.status.state = self.status.state.after(TaskEvent::Started)?;
        self.status.wake = None;
        self.instance = Instance::Begins;
        self.show_state();
        Ok(())
    }

    /// The instance leaves memory, the task stays open.
    fn leave(&mut self, event: TaskEvent, wake: Option<Wake>) -> Result<(), IllegalTransition> {
        self.status.state = self.status.state.after(event)?;
        self.status.wake = wake;
        self.take_leave(Instance::Goes);
        self.show_state();
        Ok(())
    }

    /// The time that it stood still is added to its total time.
    fn unblock(&mut self, at: UnixNanos) -> Result<(), IllegalTransition> {
        let since = self.status.state.blocked().map_or(at, |blocked| blocked.since);
        self.status.state = self.status.state.after(TaskEvent::Unblocked)?;
        let begun = self.status.since.max(self.about.created_at);
        self.status.since = begun.saturating_add(at.saturating_sub(since));
        self.show_state();
        self.effects.push(Effect::Wake(self.about.id));
        Ok(())
    }

    /// A trap begins afresh, since its journal would lead to it again; a fault of the host goes on from the journal.
    fn schedule_retry(&mut self, delay: Duration, afresh: Option<[u8; 32]>) -> Result<(), IllegalTransition> {
        self.status.state = self.status.state.after(TaskEvent::RetryScheduled)?;
        self.status.attempt += 1;
        self.status.failures += 1;
        self.status.wake = wake_after(self.about.created_at.saturating_add(self.facts.logical), delay);
        self.take_leave(if afresh.is_some() { Instance::GoesUnrecorded } else { Instance::Goes });
        if let Some(seed) = afresh {
            self.start_over(seed);
            self.orphan_children();
        }
        self.show_state();
        Ok(())
    }

    fn complete(&mut self, result: &[u8]) -> Result<(), IllegalTransition> {
        self.end(TaskEvent::Completed, Instance::GoesUnrecorded)?;
        self.rows.push(RowWrite::Result(result.to_vec()));
        self.rows.push(RowWrite::DeleteAll(Space::Journal));
        // What is not there is not deleted: that would be looked for when the log is folded.
        if !self.facts.left.is_some_and(|left| left.has_journal_alone) {
            self.rows.extend([Space::Op, Space::Checkpoint].map(RowWrite::DeleteAll));
        }
        Ok(())
    }

    fn fail(&mut self, error: &TaskError) -> Result<(), IllegalTransition> {
        if matches!(error.reason, FailedReason::Trap | FailedReason::HostFault) {
            self.status.failures += 1;
        }
        self.status.error = Some(error.clone());
        self.end(TaskEvent::Failed(error.reason), Instance::Goes)
    }

    fn cancel(&mut self, request: Option<CancelRequest>) -> Result<(), IllegalTransition> {
        if request.is_some() {
            self.status.cancel = request;
        }
        self.end(TaskEvent::Cancelled, Instance::Goes)
    }

    fn request_cancellation(&mut self, request: CancelRequest) -> Result<(), IllegalTransition> {
        // Where it stands changes once the guest has ended.
        self.expect_open()?;
        self.status.cancel = Some(request);
        self.touch();
        let id = self.about.id;
        self.effects.extend([Effect::Changed(ResourceKey::Task(id)), Effect::CancelRequested(id)]);
        Ok(())
    }

    fn take_message(&mut self) -> Result<(), IllegalTransition> {
        self.expect_open()?;
        self.status.messages += 1;
        self.touch_unnoticed();
        self.effects.push(Effect::Wake(self.about.id));
        Ok(())
    }

    fn take_answer(&mut self, number: u64, spent: Spend) -> Result<(), IllegalTransition> {
        self.expect_open()?;
        let questions = &mut self.status.questions;
        let closed = questions.close(number);
        questions.add_spent(spent);
        let is_last = questions.answerable().next().is_none();
        self.touch();
        let id = self.about.id;
        self.change(ResourceKey::Task(id));
        self.effects.push(Effect::Happened(id, vec![TaskChange::Questions]));
        if is_last {
            self.effects.push(Effect::Happened(id, vec![TaskChange::State(self.status.shown())]));
        }
        self.effects.extend(Effect::notify_ancestors(self.about.link));
        self.effects.push(Effect::Wake(id));
        self.effects.extend(closed.and_then(|open| Effect::paid(&open, spent)));
        Ok(())
    }

    fn ask_model(&mut self, number: u64, spend: Spend) -> Result<(), IllegalTransition> {
        self.expect_open()?;
        let mut open = self.status.questions.open.iter_mut();
        if let Some(open) = open.find(|open| open.number == number) {
            open.send(spend);
        }
        self.touch_unnoticed();
        Ok(())
    }

    fn grow_output(&mut self, name: &str, bytes: u64) -> Result<(), IllegalTransition> {
        self.expect_open()?;
        if let Some(output) = self.status.outputs.iter_mut().find(|output| output.name == name) {
            output.bytes = output.bytes.saturating_add(bytes);
        }
        self.touch();
        let id = self.about.id;
        self.change(ResourceKey::Task(id));
        let name: Arc<str> = name.into();
        self.change(ResourceKey::Output(id, name.clone()));
        self.effects.push(Effect::Happened(id, vec![TaskChange::Output { name }]));
        Ok(())
    }

    fn keep_reports(&mut self) -> Result<(), IllegalTransition> {
        self.expect_open()?;
        self.status.kept_reports.get_or_insert(0);
        self.touch_unnoticed();
        Ok(())
    }

    /// What is open can be cancelled.
    fn expect_open(&self) -> Result<(), IllegalTransition> {
        self.status.state.after(TaskEvent::Cancelled).map(drop)
    }

    fn end(&mut self, event: TaskEvent, instance: Instance) -> Result<(), IllegalTransition> {
        let at = self.facts.wall;
        self.status.state = self.status.state.after(event)?;
        (self.status.ended_at, self.status.wake) = (Some(at), None);
        self.take_leave(instance);
        // An answer is of no use any more.
        let has_asked = !self.status.questions.open.is_empty();
        self.withdraw_questions();
        self.touch();
        self.rows.extend([RowWrite::NotOpen, RowWrite::Ended(at)]);
        self.orphan_children();
        match self.about.link {
            None if self.facts.is_counted_root => self.effects.push(Effect::RootEnded(self.about.id)),
            Some(link) if !self.facts.has_successor => self.effects.push(Effect::Wake(link.parent)),
            _ => {}
        }
        let id = self.about.id;
        self.effects.push(Effect::Ended(id));
        self.effects.extend(counted(event).map(Effect::Counted));
        self.change(ResourceKey::Task(id));
        self.change(ResourceKey::Result(id));
        self.change(ResourceKey::Tasks(self.about.principal.to_owned()));
        // Readers of an output see that it will not grow any more.
        let outputs = self.status.outputs.iter();
        let keys =
            outputs.map(|output| Effect::Changed(ResourceKey::Output(id, output.name.as_str().into())));
        self.effects.extend(keys);
        self.effects.push(Effect::Happened(id, vec![TaskChange::State(self.status.state)]));
        if has_asked {
            self.effects.extend(Effect::notify_ancestors(self.about.link));
        }
        Ok(())
    }

    fn reopen(&mut self, keep: Keep, settled: Option<(u64, OpRow)>) -> Result<(), IllegalTransition> {
        let had_ended = self.status.ended_at;
        let was_over = self.status.state.is_terminal();
        // While it waits, only a settled outcome takes it up again.
        let event = if settled.is_some() { TaskEvent::Settled } else { TaskEvent::Retried };
        self.status.state = self.status.state.after(event)?;
        if was_over {
            self.status.questions.renew();
        }
        match keep {
            Keep::Nothing { seed } => self.start_over(seed),
            Keep::Before(kept) => self.keep_beginning(kept),
            Keep::All { questions } => self.status.questions.open.extend(questions),
        }
        self.rows.extend(settled.map(|(number, row)| RowWrite::Op(number, row)));
        self.status.wake = None;
        if was_over {
            self.status.attempt += 1;
            self.rows.extend(had_ended.map(RowWrite::NotEnded));
            self.rows.push(RowWrite::Open);
            (self.status.failures, self.status.ended_at) = (0, None);
            (self.status.error, self.status.cancel) = (None, None);
            self.status.since = self.facts.wall.max(self.about.created_at);
        }
        self.touch();
        let id = self.about.id;
        self.change(ResourceKey::Task(id));
        self.change(ResourceKey::Tasks(self.about.principal.to_owned()));
        self.change(ResourceKey::Log(id));
        self.effects.push(Effect::Happened(id, vec![TaskChange::State(self.status.shown())]));
        self.effects.push(if was_over {
            Effect::Opened { task: id, after: Duration::ZERO }
        } else {
            Effect::Wake(id)
        });
        Ok(())
    }

    /// A fresh journal and seed; what the failed try had shown goes.
    fn start_over(&mut self, seed: [u8; 32]) {
        let spaces = [Space::Op, Space::Journal, Space::Log, Space::Output, Space::Checkpoint];
        self.rows.extend(spaces.map(RowWrite::DeleteAll));
        self.rows.push(RowWrite::DeletePrefix(Space::Child, tree::pointers(self.about.id)));
        let status = &mut self.status;
        status.epoch += 1;
        status.retry += 1;
        status.seed = seed;
        (status.reports, status.steps, status.awake_nanos, status.log_bytes) = (0, 0, 0, 0);
        (status.progress, status.message) = (None, None);
        status.outputs.clear();
        self.withdraw_questions();
    }

    fn withdraw_questions(&mut self) {
        let withdrawn = self.status.questions.withdraw_all();
        let paid = withdrawn.iter().filter_map(|open| Effect::paid(open, open.may_have_cost()));
        self.effects.extend(paid);
    }

    fn keep_beginning(&mut self, kept: Kept) {
        self.rows.extend(kept.rows);
        let status = &mut self.status;
        status.outputs = kept.outputs;
        status.questions.open.extend(kept.questions);
        (status.reports, status.steps, status.awake_nanos) = (kept.reports, kept.steps, kept.awake_nanos);
    }

    fn take_leave(&mut self, instance: Instance) {
        if let Some(left) = self.facts.left {
            self.instance = instance;
            self.status.steps = left.steps;
            self.status.awake_nanos = left.awake_nanos;
            self.status.log_bytes = left.log_bytes;
        }
    }

    fn orphan_children(&mut self) {
        if !self.facts.wanted_children.is_empty() {
            self.effects.push(Effect::Orphaned(self.facts.wanted_children.to_vec()));
        }
    }

    /// The status is written.
    fn touch(&mut self) {
        self.status.updated_at = self.facts.wall;
        self.rows.push(RowWrite::Status);
    }

    /// The same where nothing of it is news to subscribers.
    fn touch_unnoticed(&mut self) {
        self.touch();
        self.effects.push(Effect::Rewritten(self.about.id));
    }

    /// The status is written, and its state shown.
    fn show_state(&mut self) {
        self.touch();
        let id = self.about.id;
        self.change(ResourceKey::Task(id));
        self.effects.push(Effect::Happened(id, vec![TaskChange::State(self.status.shown())]));
    }

    fn change(&mut self, key: ResourceKey) {
        self.effects.push(Effect::Changed(key));
    }
}

fn counted(event: TaskEvent) -> Option<Counter> {
    match event {
        TaskEvent::Completed => Some(Counter::Completed),
        TaskEvent::Failed(_) => Some(Counter::Failed),
        TaskEvent::Cancelled => Some(Counter::Cancelled),
        _ => None,
    }
}
