//! Calls of closures.

use std::time::Duration;

use super::closures::{StepError, Steps};
use crate::engine::family::calling::{CallRefusal, ChildCall, ChildEnd, op_hash};
use crate::engine::journal::ops::Op;
use crate::engine::ports::Suspension;
use crate::engine::record::ops::OpHandle;
use crate::engine::record::recorder::Recorder;
use crate::limits;
use crate::task::{TaskId, WaitingReason, WakeOn};

/// A call that a closure has made.
#[derive(Clone, Copy, Debug)]
pub struct Calling {
    /// The first try's task.
    pub child: TaskId,
    op: OpHandle,
    hash: u64,
    epoch: u32,
}

impl Steps {
    /// Calls other tools, each a task of its own: all of them or none, in one commit with the step.
    pub async fn call(&self, calls: &[ChildCall]) -> Result<Vec<Calling>, StepError> {
        let recorder = self.recorder();
        let ops = calls.iter().map(|_| recorder.begin_op()).collect::<Result<Vec<_>, _>>()?;
        let ids = recorder.start_children(&ops, calls).await?.map_err(|refusal| match refusal {
            CallRefusal::NotGranted(tool) => StepError::Tool(format!("'{tool}' may not be called")),
            CallRefusal::Invalid(why)
            | CallRefusal::Limit(why)
            | CallRefusal::NotFound(why)
            | CallRefusal::Lost(why) => StepError::Tool(why),
        })?;
        let epoch = recorder.epoch()?;
        let calling = |(child, (op, call))| Calling { child, op, hash: op_hash(call), epoch };
        Ok(ids.into_iter().zip(ops.into_iter().zip(calls)).map(calling).collect())
    }

    /// Waits for what a call came to, after all its tries, across restarts; a long wait takes no memory.
    pub async fn join(&self, calling: Calling) -> Result<ChildEnd, StepError> {
        let recorder = self.recorder();
        let on = WakeOn::Child { epoch: calling.epoch, op: calling.op.number };
        loop {
            if !matches!(recorder.op(calling.op)?, Some(Op::Done { .. })) {
                let wait = recorder.wait_to_leave();
                let patience = Duration::from_millis(limits::EVENT_GRACE_MS);
                let stays = async {
                    tokio::select! {
                        () = tokio::time::sleep(patience) => false,
                        () = wait.asked() => false,
                        () = there(recorder, &on) => true,
                    }
                };
                if !stays.await {
                    wait.leave();
                    let reason = WaitingReason::Child;
                    return Err(StepError::suspend(Suspension { reason, until: None, on: vec![on] }));
                }
            }
            // None: its owner has taken it up again in this moment.
            if let Some(end) = recorder.take_child(calling.op, calling.hash).await? {
                return Ok(end);
            }
        }
    }

    /// Gives a call up: its task is cancelled, unless it is detached.
    pub fn give_up(&self, calling: Calling) -> Result<(), StepError> {
        match self.recorder().op(calling.op)? {
            Some(Op::Intent { .. }) => Ok(self.recorder().give_up_child(calling.op, calling.hash)?),
            _ => Ok(()),
        }
    }
}

/// Ends once nothing more comes of it. A store that fails ends the attempt by itself.
async fn there(recorder: &Recorder, on: &WakeOn) {
    let mut news = recorder.news();
    loop {
        news.mark_unchanged();
        if recorder.is_met(on).await.unwrap_or(true) {
            return;
        }
        let _ = recorder.begin_wait();
        if news.changed().await.is_err() {
            return;
        }
    }
}
