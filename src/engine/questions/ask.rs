//! A guest asks, takes what was answered, or withdraws what it asked.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::authority::{Capability, Grant, Lost, Powers, Regranted};
use crate::engine::effect::Effect;
use crate::engine::feed::TaskChange;
use crate::engine::journal::ops::Op;
use crate::engine::memory::entry::{Entry, Live};
use crate::engine::questions::asked::Answer;
use crate::engine::questions::asked::Ask;
use crate::engine::questions::asked::Question;
use crate::engine::questions::asked::QuestionRow;
use crate::engine::questions::asked::op_key;
use crate::engine::questions::asked::question_key;
use crate::engine::questions::asked::read_answer;
use crate::engine::questions::bounds::past_bound;
use crate::engine::questions::{models, sampler};
use crate::engine::record::error::RecorderError;
use crate::engine::record::ops::{OpChange, OpHandle};
use crate::engine::record::recorder::Recorder;
use crate::engine::record::status_handle::StatusHandle;
use crate::engine::rows;
use crate::engine::trace::StepKind;
use crate::limits;
use crate::shares::Pool;
use crate::store::{Space, StoreError};
use crate::task::{AskedModel, OpenQuestion, QuestionKind, WakeOn};

/// What became of asking.
#[derive(Debug, Serialize, Deserialize)]
pub enum Asked {
    /// It is the question of this number.
    Open(u64),
    /// A bound of the task, or its principal's share, was reached.
    Refused(String),
    /// The task has lost the power to ask.
    Lost(String),
}

impl Recorder {
    /// Asks as operation `op`; both are on disk with the next commit. Past a bound of the task, or without
    /// the power, it is not asked, and that is the operation's outcome.
    pub fn ask(&self, op: OpHandle, hash: u64, mut question: Question) -> Result<Asked, RecorderError> {
        let kind = question.ask.kind();
        if let Ask::Model(ask) = &mut question.ask {
            models::set_terms(self.shared(), ask);
        }
        let spend = question.ask.spend();
        let may = match &question.ask {
            Ask::Form { .. } | Ask::Url { .. } => self.check_power(Capability::Elicit),
            Ask::Sample { .. } => self.check_power(Capability::Sample),
            Ask::Roots => self.checked(may_ask_roots),
            Ask::Model(ask) => self.check_power(Capability::Model { name: &ask.model }),
        };
        if let Err(lost) = may {
            let why = lost.to_string();
            self.op_done(op, hash, encoded(&Answer::Lost(why.clone()))?)?;
            return Ok(Asked::Lost(why));
        }
        let bounds = self.bounds().clone();
        if let Some(why) = self.with(|state, _| Ok(past_bound(state.status(), &bounds, kind, spend)))? {
            self.op_done(op, hash, encoded(&Answer::Refused(why.clone()))?)?;
            return Ok(Asked::Refused(why));
        }
        let is_sample = matches!(kind, QuestionKind::Sample | QuestionKind::Model);
        let pool = if is_sample { Pool::Samples } else { Pool::Questions };
        if let Err(refused) = self.shared().shares.admit(pool, &self.entry().principal, 1) {
            let why = refused.to_string();
            self.op_done(op, hash, encoded(&Answer::Refused(why.clone()))?)?;
            return Ok(Asked::Refused(why));
        }
        let (task, asked_at) = (self.task_id(), self.shared().clock.wall());
        let model = match &question.ask {
            Ask::Model(ask) => Some(AskedModel { name: ask.model.clone(), is_unsent: true }),
            Ask::Form { .. } | Ask::Url { .. } | Ask::Sample { .. } | Ask::Roots => None,
        };
        let ask = self.large_payload(&encoded(&question.ask)?)?;
        let number = self.with(|state, live| {
            let epoch = state.epoch();
            let questions = &mut state.status_mut().questions;
            questions.asked += 1;
            let number = questions.asked;
            match kind {
                QuestionKind::Sample | QuestionKind::Model => questions.samples += 1,
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
            let is_first = kind != QuestionKind::Model && questions.answerable().next().is_none();
            let (reserved_tokens, reserved_cost) = (spend.tokens, spend.cost);
            questions.open.push(OpenQuestion {
                number,
                key: key.clone(),
                kind,
                reserved_tokens,
                reserved_cost,
                model,
            });
            self.entry().count_questions(&self.shared().shares, state.status());
            let shown = state.status().shown();
            live.trace_begun(op, step_of(kind), &key);
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
            if kind != QuestionKind::Model {
                live.changes.push(TaskChange::Questions);
            }
            if is_first {
                live.changes.push(TaskChange::State(shown));
            }
            live.put_op((task, epoch), op, hash, OpChange::Intent { sends: 0 })?;
            Ok(number)
        })?;
        self.mark_dirty();
        crate::crash_point!("asking");
        match kind {
            QuestionKind::Sample => sampler::serve(self.clone(), number),
            QuestionKind::Model => models::serve(self.clone(), number),
            QuestionKind::Elicit | QuestionKind::Roots => {}
        }
        Ok(Asked::Open(number))
    }

    /// What became of the question that this operation asked in an earlier life of the instance.
    pub fn asked(&self, op: OpHandle, known: &Op) -> Result<Asked, RecorderError> {
        if let Op::Done { outcome, .. } = known {
            match decode(outcome)? {
                Answer::Refused(why) => return Ok(Asked::Refused(why)),
                Answer::Lost(why) => return Ok(Asked::Lost(why)),
                _ => {}
            }
        }
        let task = self.task_id();
        let epoch = self.with(|state, _| Ok(state.epoch()))?;
        let row = self
            .shared()
            .store
            .read_held(task, |snapshot| snapshot.get(Space::Question, &op_key(task, epoch, op.number)));
        let number = row.map_err(fault)?.as_deref().and_then(rows::trailing_number);
        let lost = || RecorderError::Fault("the row of a question is gone".to_owned());
        number.map(Asked::Open).ok_or_else(lost)
    }

    /// The outcome of a question that is answered or whose time is over. On disk when it returns.
    pub async fn take_answer(&self, op: OpHandle, hash: u64, number: u64) -> Result<Answer, RecorderError> {
        if let Some(Op::Done { outcome, .. }) = self.op(op)? {
            return decode(&outcome);
        }
        // An answer takes it out of the open ones first: if it is still there, its time is over.
        let over = |kind| match kind {
            QuestionKind::Elicit => Answer::Expired,
            kind => Answer::Unavailable(no_client(kind)),
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
        let answer = self.shared().store.read(move |snapshot| read_answer(snapshot, task, number)).await;
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

    /// Until when, beyond its own deadline, a wait goes on because a client is at it, or may come to be: a sample
    /// has a minute in each life of the process, and as long as a client says that it works on it.
    pub fn extended_deadline(&self, on: &WakeOn) -> Option<u64> {
        let WakeOn::Answer(number) = on else { return None };
        self.entry().extended_deadline(*number)
    }

    /// Takes a question out of the open ones, in one commit with what `handle` writes; `None` where it is none.
    fn close_question<T>(
        &self,
        number: u64,
        handle: impl FnOnce(&mut StatusHandle<'_>, &mut Live, QuestionKind) -> Result<T, RecorderError>,
    ) -> Result<Option<T>, RecorderError> {
        let closed = self.with(|state, live| {
            let Some(kind) = state.status().questions.find(number).map(|open| open.kind) else {
                return Ok(None);
            };
            let questions = &mut state.status_mut().questions;
            // What a model was asked is paid for, whatever it says.
            if let Some(closed) = questions.close(number) {
                let spent = closed.may_have_cost();
                questions.add_spent(spent);
                live.effects.extend(Effect::paid(&closed, spent));
            }
            self.entry().count_questions(&self.shared().shares, state.status());
            live.changes.push(TaskChange::Questions);
            if state.status().questions.answerable().next().is_none() {
                live.changes.push(TaskChange::State(state.status().shown()));
            }
            handle(state, live, kind).map(Some)
        })?;
        self.mark_dirty();
        Ok(closed)
    }
}

impl Entry {
    fn extended_deadline(&self, number: u64) -> Option<u64> {
        let state = self.lock();
        let open = state.status.questions.find(number)?;
        if open.kind == QuestionKind::Elicit {
            return None;
        }
        let here = state.anchor?.logical.saturating_add(limits::AT_HAND_SECONDS * 1_000_000_000);
        Some(here.max(self.extensions.get(number)))
    }
}

/// Either of its neighbours' grants is enough.
fn may_ask_roots(powers: &Powers) -> Result<(), Lost> {
    powers.standing.check_any()?;
    let either = |grant: &Grant| grant.elicit || grant.sample;
    match &powers.component {
        Some(Regranted { given, now }) if either(given) && !either(now) => Err(Lost::OfComponent),
        _ => Ok(()),
    }
}

fn step_of(kind: QuestionKind) -> StepKind {
    match kind {
        QuestionKind::Elicit => StepKind::Question,
        QuestionKind::Sample => StepKind::Sample,
        QuestionKind::Roots => StepKind::Roots,
        QuestionKind::Model => StepKind::Sample,
    }
}

pub fn no_client(kind: QuestionKind) -> String {
    let seconds = limits::AT_HAND_SECONDS;
    match kind {
        QuestionKind::Model => "the model did not answer in time".to_owned(),
        QuestionKind::Roots => format!("no client that has roots was there within {seconds} s"),
        _ => format!(
            "no client with a model was there within {seconds} s, and no [sampling] endpoint is configured that answered"
        ),
    }
}

pub fn encoded<T: Serialize>(value: &T) -> Result<Vec<u8>, RecorderError> {
    rows::encode(value).map_err(fault)
}

pub fn decode(outcome: &Arc<[u8]>) -> Result<Answer, RecorderError> {
    rows::decode(Space::Op, b"answer", outcome).map_err(fault)
}

pub fn fault(error: StoreError) -> RecorderError {
    RecorderError::Fault(error.to_string())
}
