//! Questions of closures.

use std::time::Duration;

use super::closures::{StepError, Steps};
use crate::engine::journal::ops::Op;
use crate::engine::ports::Suspension;
use crate::engine::questions::ask::Asked;
use crate::engine::questions::asked::{Answer, Ask, Question};
use crate::engine::record::ops::OpHandle;
use crate::engine::record::output::call_hash;
use crate::engine::record::recorder::Recorder;
use crate::limits;
use crate::task::{By, WaitingReason, WakeOn};

/// A question that a closure has asked.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    op: OpHandle,
    hash: u64,
    number: u64,
    deadline: u64,
}

impl Steps {
    /// Asks; it is shown once it is on disk. `key` names a question to a person and should be new; samples and
    /// roots need none.
    pub fn ask(&self, key: Option<&str>, by: By, ask: Ask, timeout: Duration) -> Result<Asking, StepError> {
        let recorder = self.recorder();
        let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let deadline = recorder.now()?.saturating_add(timeout);
        let parts = format!("{key:?} {by:?} {ask:?}");
        let (op, hash) = (recorder.begin_op()?, call_hash("ask", &[parts.as_bytes()]));
        let asked = match recorder.op(op)? {
            None => {
                recorder.expect_live("ask")?;
                recorder.ask(op, hash, Question { key: key.map(str::to_owned), by, ask, deadline })?
            }
            Some(known) if known.hash() == hash => recorder.asked(op, &known)?,
            Some(known) => return Err(op.divergence(&known, "ask", hash).into()),
        };
        match asked {
            Asked::Open(number) => Ok(Asking { op, hash, number, deadline }),
            Asked::Refused(why) | Asked::Lost(why) => Err(StepError::Tool(why)),
        }
    }

    /// Waits for the answer, for days if need be and across restarts; a long wait takes no memory.
    pub async fn answer(&self, asking: Asking) -> Result<Answer, StepError> {
        let recorder = self.recorder();
        let on = WakeOn::Answer(asking.number);
        if !matches!(recorder.op(asking.op)?, Some(Op::Done { .. })) {
            let patience = Duration::from_millis(limits::EVENT_GRACE_MS);
            let wait = recorder.wait_to_leave();
            let is_there = tokio::select! {
                biased;
                there = there(recorder, &on, asking.deadline) => there.map(|()| true)?,
                () = wait.asked() => false,
                () = tokio::time::sleep(patience) => false,
            };
            if !is_there {
                let until = Some(asking.deadline);
                let is_extended =
                    recorder.extended_deadline(&on).is_some_and(|extended| extended > asking.deadline);
                if !is_extended {
                    wait.leave();
                    let reason = WaitingReason::Input;
                    return Err(StepError::suspend(Suspension { reason, until, on: vec![on] }));
                }
                drop(wait);
                there(recorder, &on, asking.deadline).await?;
            }
        }
        Ok(recorder.take_answer(asking.op, asking.hash, asking.number).await?)
    }
}

/// Ends once it is answered or its time is over.
async fn there(recorder: &Recorder, on: &WakeOn, deadline: u64) -> Result<(), StepError> {
    let mut news = recorder.news();
    loop {
        news.mark_unchanged();
        let due = recorder.extended_deadline(on).map_or(deadline, |extended| extended.max(deadline));
        if recorder.is_met(on).await? || recorder.raw_now() >= due {
            return Ok(());
        }
        recorder.begin_wait()?;
        tokio::select! {
            Ok(()) = news.changed() => {}
            () = recorder.sleep_until(due) => {}
        }
    }
}
