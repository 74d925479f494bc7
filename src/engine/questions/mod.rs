//! Lives here: questions of tasks: to a person, to a model, for a client's root folders; their answers and who is told.
//! May import: `record`, `dispatch`, `lifecycle`, the audit, the engine's rows and commits.
//! Never here: how a client words a question or an answer on the wire.
//! Read first: this file, then `answer.rs`.
//!
//! Questions of a task: to a person, to a model, or for the client's root folders. A question is an operation of
//! the guest with a row of its own, both in one commit; it is shown once that is on disk, and answered once. The
//! first valid answer is committed, then the task is nudged; the guest gets it once it is the operation's outcome.
//!
//! A row is never taken away: keys are unique for the task's whole life, and what was answered is told for as long.
//! A row without an answer whose number is not among the open ones of the status is one that was withdrawn.
//! Keys: `task | 0 | number BE` is a question, `task | 1 | epoch BE | operation BE` the number of the one that this
//! operation asked.

mod answer;
mod below;
mod form;
mod sampler;
mod steps;
mod view;

pub(in crate::engine) use below::Patience;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use answer::{Given, Hand};
pub use form::check_form;
pub use sampler::{AtHand, Sampled, Sampler, wants_tools};
pub(super) use sampler::{Held, Models, resume};
pub use steps::Asking;
pub use view::{AnsweredDocument, InputRequest};

use super::feed::TaskChange;
use super::rows::{self, Payload};
use crate::clock::UnixNanos;
use crate::engine::dispatch::entry::{Entry, Live};
use crate::engine::record::ops::{Op, OpChange, OpHandle};
use crate::engine::record::recorder::{Recorder, RecorderError, StateBesideLive};
use crate::limits;
use crate::store::{Batch, Snapshot, Space, StoreError};
use crate::task::{AnsweredBy, By, OpenQuestion, QuestionKind, Status, TaskId, TaskLimits, WakeOn};

/// A question as a guest asks it. Its texts are checked before.
pub struct Question {
    /// The guest's own name for it; samples and roots have none.
    pub key: Option<String>,
    pub by: By,
    pub ask: Ask,
    /// Logical time at which it is over.
    pub deadline: u64,
}

/// What is asked. JSON documents as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    Form {
        message: String,
        schema: String,
    },
    Url {
        message: String,
        url: String,
    },
    /// The parameters of MCP's `sampling/createMessage`.
    Sample {
        request: String,
        max_tokens: u64,
    },
    Roots,
}

impl Ask {
    pub fn kind(&self) -> QuestionKind {
        match self {
            Self::Form { .. } | Self::Url { .. } => QuestionKind::Elicit,
            Self::Sample { .. } => QuestionKind::Sample,
            Self::Roots => QuestionKind::Roots,
        }
    }
}

/// What the guest gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// A JSON document: the form's content, the model's message, the list of roots.
    Accept(String),
    Decline,
    Cancel,
    Expired,
    /// Nobody was there to do it, or it could not.
    Unavailable(String),
    /// It was not even asked: a bound of the task was reached.
    Refused(String),
}

/// What became of asking.
pub enum Asked {
    /// It is the question of this number.
    Open(u64),
    Refused(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct QuestionRow {
    key: String,
    by: By,
    ask: Payload,
    kind: QuestionKind,
    asked_at: UnixNanos,
    expires_at: UnixNanos,
    epoch: u32,
    /// The operation, and the record that the guest had reached.
    op: u64,
    at: u64,
    answered: Option<Answered>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answered {
    answer: Payload,
    by: AnsweredBy,
    at: UnixNanos,
    /// Of a sample: who spoke, and what it cost.
    model: Option<String>,
    tokens: Option<u64>,
}

impl Recorder {
    /// Asks as operation `op`; both are on disk with the next commit. Past a bound of the task it is not asked,
    /// and that is the operation's outcome.
    pub fn ask(&self, op: OpHandle, hash: u64, question: Question) -> Result<Asked, RecorderError> {
        let kind = question.ask.kind();
        let tokens = match question.ask {
            Ask::Sample { max_tokens, .. } => max_tokens,
            _ => 0,
        };
        let bounds = self.bounds().clone();
        if let Some(why) = self.with(|state, _| Ok(past_bound(state.status(), &bounds, kind, tokens)))? {
            self.op_done(op, hash, encoded(&Answer::Refused(why.clone()))?)?;
            return Ok(Asked::Refused(why));
        }
        let (task, asked_at) = (self.task_id(), self.shared().clock.wall());
        let ask = self.large_payload(&encoded(&question.ask)?)?;
        let number = self.with(|state, live| {
            let epoch = state.epoch();
            let questions = &mut state.status_mut().questions;
            questions.asked += 1;
            let number = questions.asked;
            match kind {
                QuestionKind::Sample => questions.samples += 1,
                QuestionKind::Elicit | QuestionKind::Roots => questions.questions += 1,
            }
            // No guest's key has a colon.
            let key = match question.key {
                Some(wanted) => questions.fresh_key(&wanted),
                None => format!("{}:{number}", kind.as_str()),
            };
            if kind == QuestionKind::Elicit {
                questions.keys.push(key.clone());
            }
            let is_first = questions.open.is_empty();
            questions.open.push(OpenQuestion { number, key: key.clone(), kind, reserved_tokens: tokens });
            let shown = state.status().shown();
            let row = QuestionRow {
                key,
                by: question.by,
                ask,
                kind,
                asked_at,
                expires_at: self.created_at().saturating_add(question.deadline),
                epoch,
                op: op.number,
                at: op.at(),
                answered: None,
            };
            live.writes.push((
                Space::Question,
                question_key(task, number),
                rows::encode(&row).map_err(fault)?,
            ));
            live.writes.push((
                Space::Question,
                op_key(task, epoch, op.number),
                number.to_be_bytes().to_vec(),
            ));
            live.changes.push(TaskChange::Questions);
            if is_first {
                live.changes.push(TaskChange::State(shown));
            }
            live.put_op((task, epoch), op, hash, OpChange::Intent { sends: 0 })?;
            Ok(number)
        })?;
        self.mark_dirty();
        crate::crash_point!("asking");
        if kind == QuestionKind::Sample {
            sampler::serve(self.clone(), number);
        }
        Ok(Asked::Open(number))
    }

    /// What became of the question that this operation asked in an earlier life of the instance.
    pub fn asked(&self, op: OpHandle, known: &Op) -> Result<Asked, RecorderError> {
        if let Op::Done { outcome, .. } = known
            && let Answer::Refused(why) = decode(outcome)?
        {
            return Ok(Asked::Refused(why));
        }
        let task = self.task_id();
        let epoch = self.with(|state, _| Ok(state.epoch()))?;
        let row = self
            .shared()
            .store
            .read(|snapshot| snapshot.get(Space::Question, &op_key(task, epoch, op.number)));
        let number = row.map_err(fault)?.as_deref().and_then(rows::trailing_number);
        let lost = || RecorderError::Fault("the row of a question is gone".to_owned());
        number.map(Asked::Open).ok_or_else(lost)
    }

    /// The outcome of a question that is answered or whose time is over. On disk when it returns.
    pub async fn take_answer(&self, op: OpHandle, hash: u64, number: u64) -> Result<Answer, RecorderError> {
        if let Some(Op::Done { outcome, .. }) = self.op(op)? {
            return decode(&outcome);
        }
        // Whoever answers takes it out of the open ones first: if it is still there, its time is over.
        let over = |kind| match kind {
            QuestionKind::Elicit => Answer::Expired,
            kind => Answer::Unavailable(nobody(kind)),
        };
        let expired = self.close_question(number, |state, live, kind| {
            let answer = over(kind);
            let change = OpChange::done(encoded(&answer)?);
            live.put_op((self.task_id(), state.epoch()), op, hash, change)?;
            Ok(answer)
        })?;
        // The answer may be on its way to the disk, or the end of the question is.
        self.barrier().await?;
        if let Some(answer) = expired {
            return Ok(answer);
        }
        let task = self.task_id();
        let answer = self.shared().store.read(|snapshot| read_answer(snapshot, task, number));
        let gone = || RecorderError::Fault("the answer to a question is gone".to_owned());
        let answer = answer.map_err(fault)?.ok_or_else(gone)?;
        self.op_done(op, hash, encoded(&answer)?)?;
        self.barrier().await?;
        crate::crash_point!("answer_taken");
        Ok(answer)
    }

    /// The guest does not want to know any more.
    pub fn withdraw(&self, op: OpHandle, hash: u64, number: u64) -> Result<(), RecorderError> {
        let closed = self.close_question(number, |state, live, _| {
            live.put_op((self.task_id(), state.epoch()), op, hash, OpChange::Abandoned)
        })?;
        // One that is answered is given up all the same.
        if closed.is_none() { self.op_abandoned(op, hash) } else { Ok(()) }
    }

    /// Until when, beyond its own deadline, a wait goes on because somebody is at it, or may come to be: a sample
    /// has a minute in each life of the process, and as long as somebody says that it works on it.
    pub fn held_until(&self, on: &WakeOn) -> Option<u64> {
        let WakeOn::Answer(number) = on else { return None };
        self.entry().held_until(*number)
    }

    /// Takes a question out of the open ones, in one commit with what `beside` writes; `None` where it is none.
    fn close_question<T>(
        &self,
        number: u64,
        beside: impl FnOnce(&mut StateBesideLive<'_>, &mut Live, QuestionKind) -> Result<T, RecorderError>,
    ) -> Result<Option<T>, RecorderError> {
        let closed = self.with(|state, live| {
            let Some(kind) = state.status().questions.find(number).map(|open| open.kind) else {
                return Ok(None);
            };
            state.status_mut().questions.close(number);
            live.changes.push(TaskChange::Questions);
            if state.status().questions.open.is_empty() {
                live.changes.push(TaskChange::State(state.status().shown()));
            }
            beside(state, live, kind).map(Some)
        })?;
        self.mark_dirty();
        Ok(closed)
    }
}

impl Entry {
    fn held_until(&self, number: u64) -> Option<u64> {
        let state = self.lock();
        let open = state.status.questions.find(number)?;
        if open.kind == QuestionKind::Elicit {
            return None;
        }
        let here = state.anchor?.logical.saturating_add(limits::AT_HAND_SECONDS * 1_000_000_000);
        Some(here.max(self.held.get(number)))
    }
}

/// Why one more may not be asked.
fn past_bound(status: &Status, bounds: &TaskLimits, kind: QuestionKind, tokens: u64) -> Option<String> {
    let questions = &status.questions;
    if questions.open.len() >= limits::MAX_OPEN_QUESTIONS {
        let bound = limits::MAX_OPEN_QUESTIONS;
        return Some(format!("the task has {bound} open questions, which is the bound: wait for some"));
    }
    match kind {
        QuestionKind::Elicit | QuestionKind::Roots if questions.questions >= bounds.questions => {
            Some(format!(
                "the task has asked {} questions, which is what its limit 'questions' allows",
                questions.questions
            ))
        }
        QuestionKind::Sample if questions.samples >= bounds.samples => Some(format!(
            "the task has asked for {} samples, which is what its limit 'samples' allows",
            questions.samples
        )),
        QuestionKind::Sample => {
            let taken = questions.sample_tokens.saturating_add(questions.reserved_tokens());
            (taken.saturating_add(tokens) > bounds.sample_tokens).then(|| {
                format!(
                    "the task has used or reserved {taken} of the {} tokens that its limit 'sample_tokens' allows, and \
                     this sample may cost {tokens}",
                    bounds.sample_tokens
                )
            })
        }
        QuestionKind::Elicit | QuestionKind::Roots => None,
    }
}

fn nobody(kind: QuestionKind) -> String {
    let seconds = limits::AT_HAND_SECONDS;
    match kind {
        QuestionKind::Roots => format!("no client that has roots was there within {seconds} s"),
        _ => format!(
            "no client with a model was there within {seconds} s, and no [sampling] endpoint is configured that answered"
        ),
    }
}

pub(super) fn is_answered(snapshot: &Snapshot<'_>, task: TaskId, number: u64) -> Result<bool, StoreError> {
    Ok(read(snapshot, task, number)?.is_some_and(|row| row.answered.is_some()))
}

/// What a task had asked before `step` of its journal and still waits for: its end had withdrawn it, and it is open
/// again where the task goes on from there.
pub(super) fn reopened(
    snapshot: &Snapshot<'_>,
    task: TaskId,
    status: &Status,
    step: u64,
) -> Result<Vec<OpenQuestion>, StoreError> {
    let mut open = Vec::new();
    for (number, row) in read_all(snapshot, task)? {
        if row.epoch != status.epoch || row.at >= step || row.answered.is_some() {
            continue;
        }
        // The same number may have been asked again since.
        let of_op = snapshot.get(Space::Question, &op_key(task, row.epoch, row.op))?;
        let waits = crate::engine::record::ops::is_intent(snapshot, task, row.epoch, row.op)?;
        if waits && of_op.as_deref().and_then(rows::trailing_number) == Some(number) {
            open.push(OpenQuestion { number, key: row.key, kind: row.kind, reserved_tokens: 0 });
        }
    }
    Ok(open)
}

/// Blobs that the rows of this task refer to.
pub(super) fn payloads(snapshot: &Snapshot<'_>, task: TaskId) -> Result<Vec<Payload>, StoreError> {
    let rows = read_all(snapshot, task)?.into_iter();
    Ok(rows
        .flat_map(|(_, row)| [Some(row.ask), row.answered.map(|answered| answered.answer)])
        .flatten()
        .collect())
}

fn read(snapshot: &Snapshot<'_>, task: TaskId, number: u64) -> Result<Option<QuestionRow>, StoreError> {
    rows::read_row(snapshot, Space::Question, &question_key(task, number))
}

fn read_ask(snapshot: &Snapshot<'_>, row: &QuestionRow) -> Result<Ask, StoreError> {
    rows::decode(Space::Question, b"ask", &rows::read_payload(snapshot, &row.ask)?)
}

fn read_answer(snapshot: &Snapshot<'_>, task: TaskId, number: u64) -> Result<Option<Answer>, StoreError> {
    let Some(answered) = read(snapshot, task, number)?.and_then(|row| row.answered) else { return Ok(None) };
    answer_of(snapshot, &answered).map(Some)
}

fn answer_of(snapshot: &Snapshot<'_>, answered: &Answered) -> Result<Answer, StoreError> {
    rows::decode(Space::Question, b"answer", &rows::read_payload(snapshot, &answered.answer)?)
}

/// In the order in which they were asked.
fn read_all(snapshot: &Snapshot<'_>, task: TaskId) -> Result<Vec<(u64, QuestionRow)>, StoreError> {
    let (mut found, mut fault) = (Vec::new(), None);
    snapshot.scan_prefix(Space::Question, &prefix(task, 0), false, |key, row| {
        match (rows::trailing_number(key), rows::decode(Space::Question, key, row)) {
            (Some(number), Ok(row)) => found.push((number, row)),
            (None, _) => {
                fault = Some(StoreError::damaged_row(Space::Question, key, "the key is no question's"))
            }
            (_, Err(error)) => fault = Some(error),
        }
        if fault.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    fault.map_or(Ok(found), Err)
}

/// Adds the question's row, answered.
fn put_answered(
    batch: &mut Batch,
    task: TaskId,
    number: u64,
    row: QuestionRow,
    answered: Answered,
) -> Result<(), StoreError> {
    let row = QuestionRow { answered: Some(answered), ..row };
    batch.add_put(Space::Question, question_key(task, number), rows::encode(&row)?);
    Ok(())
}

fn prefix(task: TaskId, of: u8) -> Vec<u8> {
    let mut key = task.as_bytes().to_vec();
    key.push(of);
    key
}

fn question_key(task: TaskId, number: u64) -> Vec<u8> {
    let mut key = prefix(task, 0);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn op_key(task: TaskId, epoch: u32, op: u64) -> Vec<u8> {
    let mut key = prefix(task, 1);
    key.extend_from_slice(&epoch.to_be_bytes());
    key.extend_from_slice(&op.to_be_bytes());
    key
}

fn encoded<T: Serialize>(value: &T) -> Result<Vec<u8>, RecorderError> {
    rows::encode(value).map_err(fault)
}

fn decode(outcome: &Arc<[u8]>) -> Result<Answer, RecorderError> {
    rows::decode(Space::Op, b"answer", outcome).map_err(fault)
}

fn fault(error: StoreError) -> RecorderError {
    RecorderError::Fault(error.to_string())
}
