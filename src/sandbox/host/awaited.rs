//! What a guest starts and others end: a question, a message to come, a child. It is an operation: its
//! row is written when it begins, and its outcome is on disk before the guest gets it. Taking waits until there is
//! an outcome, which never changes: so replay needs no record of it, only the row.

use wasmtime::Result;

use super::bindings::longhaul::tool::types::Error;
use super::waits::Waited;
use crate::engine::{Op, OpHandle, StepKind, call_hash};
use crate::sandbox::stop::Stop;
use crate::sandbox::world::World;
use crate::sandbox::world::tickets::{Awaited, Ticket};
use crate::task::WakeOn;

/// An operation as the guest begins it.
pub struct Begun {
    pub op: OpHandle,
    pub hash: u64,
}

impl World {
    /// Begins an operation; to be called in the order in which the guest does it. `parts` are the arguments of
    /// `what`, which must be the same at every replay.
    pub(super) fn begin_awaited(&mut self, what: &'static str, parts: &[&[u8]]) -> Result<Begun, Stop> {
        let (begun, known) = self.begun(what, parts)?;
        if known.is_none() {
            let recorder = self.journal.task(what)?;
            let label = String::from_utf8_lossy(&parts.join(&b", "[..])).into_owned();
            recorder.trace_begun(begun.op, StepKind::Receive, &label)?;
            recorder.op_intent(begun.op, begun.hash, 0)?;
        }
        Ok(begun)
    }

    /// The same for a caller that writes the intent along with rows of its own, where nothing is known of it yet.
    pub(super) fn begun(&mut self, what: &'static str, parts: &[&[u8]]) -> Result<(Begun, Option<Op>), Stop> {
        let recorder = self.journal.task(what)?;
        let (op, hash) = (recorder.begin_op()?, call_hash(what, parts));
        let known = recorder.op(op)?;
        match &known {
            None => recorder.expect_live(what)?,
            Some(known) if known.hash() == hash => recorder.op_met(op),
            Some(known) => return Err(op.divergence(known, what, hash).into()),
        }
        Ok((Begun { op, hash }, known))
    }

    /// Waits until what is behind this ticket is there or its time is over. The ticket is over with it. `fits`
    /// tells whether the ticket is one of those that `what` takes.
    pub(super) async fn arrived(
        &mut self,
        number: u64,
        what: &'static str,
        fits: fn(&WakeOn) -> bool,
    ) -> Result<Result<Awaited, Error>, Stop> {
        let awaited = match self.tickets.get(number) {
            Some(Ticket::Awaited(awaited)) if fits(&awaited.on) => awaited.clone(),
            Some(_) => {
                return Ok(Err(Error::Invalid(format!("the ticket {number} is not one that {what} takes"))));
            }
            None => {
                return Ok(Err(Error::NotFound(format!(
                    "there is no open ticket {number}: it is over, or never was"
                ))));
            }
        };
        let recorder = self.journal.task(what)?.clone();
        if !matches!(recorder.op(awaited.op)?, Some(Op::Done { .. })) {
            recorder.expect_live(what)?;
            let alone = Waited(vec![(number, Ticket::Awaited(awaited.clone()))]);
            let on = alone.wait_on(None);
            let ready = alone.ready(recorder, &self.journal, None);
            self.journal.wait(ready, on, self.meter.total()).await??;
        }
        self.tickets.over(number);
        Ok(Ok(awaited))
    }

    /// The guest does not want it any more.
    pub(super) fn give_up(&mut self, awaited: &Awaited) -> Result<(), Stop> {
        let recorder = self.journal.task("waits.abandon")?;
        if matches!(recorder.op(awaited.op)?, Some(Op::Intent { .. })) {
            match awaited.on {
                WakeOn::Child { .. } => recorder.give_up_child(awaited.op, awaited.hash)?,
                WakeOn::Answer(number) => recorder.withdraw(awaited.op, awaited.hash, number)?,
                _ => recorder.op_abandoned(awaited.op, awaited.hash)?,
            }
        }
        Ok(())
    }
}
