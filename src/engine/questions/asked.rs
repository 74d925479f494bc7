//! Questions and their answers as they are on disk.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::clock::UnixNanos;
use crate::engine::rows;
use crate::engine::rows::Payload;
use crate::store::{Batch, Snapshot, Space, StoreError};
use crate::task::{AnsweredBy, AskedModel, By, OpenQuestion, Price, QuestionKind, Spend, Status, TaskId};

/// A question as a guest asks it. Its texts are checked before.
#[derive(Debug, Serialize, Deserialize)]
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
    /// A model that the operator has configured.
    Model(ModelAsk),
}

/// What a model is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelAsk {
    /// As `[models.NAME]` has it.
    pub model: String,
    /// The parameters of MCP's `sampling/createMessage`.
    pub request: String,
    /// What is likely, and what is allowed.
    pub input_tokens: u64,
    pub max_tokens: u64,
    /// As it was when it was asked.
    pub price: Price,
    /// The output of the task into which the text is written as it comes.
    pub output: Option<String>,
}

impl ModelAsk {
    /// What it may cost is said where it is asked.
    pub fn new(model: String, request: String, max_tokens: u64, output: Option<String>) -> Self {
        Self { model, request, input_tokens: 0, max_tokens, price: Price::default(), output }
    }

    /// What it may cost each time that it is asked.
    pub fn spend(&self) -> Spend {
        self.price.of(self.input_tokens, self.max_tokens)
    }
}

impl Ask {
    /// What a budget holds back for it.
    pub fn spend(&self) -> Spend {
        match self {
            Self::Sample { max_tokens, .. } => Spend { tokens: *max_tokens, cost: 0 },
            Self::Model(ask) => ask.spend(),
            Self::Form { .. } | Self::Url { .. } | Self::Roots => Spend::NOTHING,
        }
    }

    pub fn kind(&self) -> QuestionKind {
        match self {
            Self::Form { .. } | Self::Url { .. } => QuestionKind::Elicit,
            Self::Sample { .. } => QuestionKind::Sample,
            Self::Roots => QuestionKind::Roots,
            Self::Model(_) => QuestionKind::Model,
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
    /// No client was there to do it, or it could not.
    Unavailable(String),
    /// It was not even asked: a bound of the task was reached.
    Refused(String),
    /// Nor was this: the task has lost the power to ask.
    Lost(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub struct QuestionRow {
    pub key: String,
    pub by: By,
    pub ask: Payload,
    pub kind: QuestionKind,
    pub asked_at: UnixNanos,
    pub expires_at: UnixNanos,
    pub epoch: u32,
    /// The operation, and the record that the guest had reached.
    pub op: u64,
    pub at: u64,
    pub answered: Option<Answered>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Answered {
    pub answer: Payload,
    pub by: AnsweredBy,
    pub at: UnixNanos,
    /// Of a sample: who spoke, and what it cost.
    pub model: Option<String>,
    pub tokens: Option<u64>,
}

pub fn is_answered(snapshot: &Snapshot<'_>, task: TaskId, number: u64) -> Result<bool, StoreError> {
    Ok(read(snapshot, task, number)?.is_some_and(|row| row.answered.is_some()))
}

/// What a task had asked before `step` of its journal and still waits for: its end had withdrawn it, and it is open
/// again where the task goes on from there.
pub fn reopened(
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
        let waits = crate::engine::journal::ops::is_intent(snapshot, task, row.epoch, row.op)?;
        if waits && of_op.as_deref().and_then(rows::trailing_number) == Some(number) {
            let (reserved, model) = match read_ask(snapshot, &row)? {
                // What it cost before counted in a budget of before.
                Ask::Model(ask) => (ask.spend(), Some(AskedModel { name: ask.model, is_unsent: true })),
                _ => (Spend::NOTHING, None),
            };
            let (reserved_tokens, reserved_cost) = (reserved.tokens, reserved.cost);
            let (key, kind) = (row.key, row.kind);
            open.push(OpenQuestion { number, key, kind, reserved_tokens, reserved_cost, model });
        }
    }
    Ok(open)
}

pub fn read(snapshot: &Snapshot<'_>, task: TaskId, number: u64) -> Result<Option<QuestionRow>, StoreError> {
    rows::read_row(snapshot, Space::Question, &question_key(task, number))
}

pub fn read_ask(snapshot: &Snapshot<'_>, row: &QuestionRow) -> Result<Ask, StoreError> {
    rows::decode(Space::Question, b"ask", &rows::read_payload(snapshot, &row.ask)?)
}

pub fn read_answer(snapshot: &Snapshot<'_>, task: TaskId, number: u64) -> Result<Option<Answer>, StoreError> {
    let Some(answered) = read(snapshot, task, number)?.and_then(|row| row.answered) else { return Ok(None) };
    answer_of(snapshot, &answered).map(Some)
}

pub fn answer_of(snapshot: &Snapshot<'_>, answered: &Answered) -> Result<Answer, StoreError> {
    rows::decode(Space::Question, b"answer", &rows::read_payload(snapshot, &answered.answer)?)
}

/// In the order in which they were asked.
pub fn read_all(snapshot: &Snapshot<'_>, task: TaskId) -> Result<Vec<(u64, QuestionRow)>, StoreError> {
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
pub fn put_answered(
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

pub fn prefix(task: TaskId, of: u8) -> Vec<u8> {
    let mut key = task.as_bytes().to_vec();
    key.push(of);
    key
}

pub fn question_key(task: TaskId, number: u64) -> Vec<u8> {
    let mut key = prefix(task, 0);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Which question each operation of an epoch asked.
pub fn asked_by(snapshot: &Snapshot<'_>, task: TaskId, epoch: u32) -> Result<Vec<(u64, u64)>, StoreError> {
    let mut prefix = prefix(task, 1);
    prefix.extend_from_slice(&epoch.to_be_bytes());
    let mut found = Vec::new();
    snapshot.scan_prefix(Space::Question, &prefix, false, |key, row| {
        found.extend(rows::trailing_number(key).zip(rows::trailing_number(row)));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

pub fn op_key(task: TaskId, epoch: u32, op: u64) -> Vec<u8> {
    let mut key = prefix(task, 1);
    key.extend_from_slice(&epoch.to_be_bytes());
    key.extend_from_slice(&op.to_be_bytes());
    key
}
