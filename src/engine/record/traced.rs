//! What a runner's calls are to the task's trace: where a step begins, and where it is over.

use super::error::RecorderError;
use super::ops::OpHandle;
use super::recorder::Recorder;
use crate::engine::journal::records::Next;
use crate::engine::memory::entry::Live;
use crate::engine::probe::Difference;
use crate::engine::trace::StepKind;

impl Live {
    /// Replay or execute. What is executed is a step where `step` names one, with a label for people.
    pub fn next(
        &mut self,
        step: Option<(StepKind, &str)>,
        (kind, hash): (u8, u64),
        what: &str,
    ) -> Result<Next, RecorderError> {
        let next = self.journal.next(kind, hash, what)?;
        self.check_probe(matches!(next, Next::Live))?;
        if let (Next::Live, Some((step, label))) = (&next, step) {
            self.trace.begin_record(&self.journal, step, (kind, hash), label);
        }
        Ok(next)
    }

    /// Appends a record, with which its step is over.
    pub fn append(&mut self, kind: u8, hash: u64, payload: &[u8]) {
        self.trace.end_record(&self.journal, (kind, hash));
        self.journal.append(kind, hash, payload);
        if let Some(probe) = &self.probe {
            probe.appended(self.journal.next_number(), kind, hash);
        }
    }

    /// The guest has come so far, and goes on with what is new where `is_live`; an error where its probe ends it here.
    pub fn check_probe(&self, is_live: bool) -> Result<(), RecorderError> {
        let ends = self.probe.as_ref().is_some_and(|probe| probe.passed(self.journal.next_number(), is_live));
        if ends {
            self.note_unmet();
            Err(RecorderError::Fault("the attempt was ended by who looks at it".to_owned()))
        } else {
            Ok(())
        }
    }

    /// For one that only replays, at the end of its journal: all that it had begun by then, the guest has begun again, or
    /// what is under way would not be the guest's any more.
    pub fn note_unmet(&self) {
        if let Some(probe) = self.probe.as_ref().filter(|probe| probe.replays_alone())
            && !self.journal.is_replaying()
            && let Some(number) = self.ops.first_unmet()
        {
            let journal = format!("operation {number}, which had begun by then");
            let guest = "something else before it".to_owned();
            probe.note_difference(Difference { record: self.journal.next_number(), journal, guest });
        }
    }

    pub fn trace_begun(&mut self, op: OpHandle, step: StepKind, label: &str) {
        self.trace.begin_op(&self.journal, op.number, step, label);
    }
}

impl Recorder {
    /// An operation begins that nothing on disk knows: a step until it is done or given up. `label` names it to people,
    /// and must have nothing of its arguments.
    pub fn trace_begun(&self, op: OpHandle, step: StepKind, label: &str) -> Result<(), RecorderError> {
        self.with(|_, live| {
            live.trace_begun(op, step, label);
            Ok(())
        })
    }

    /// The guest waits, beyond its journal: an error where it is there to replay alone, since what it waits for has no
    /// record of its own.
    pub fn end_of_replay(&self) -> Result<(), RecorderError> {
        match self.replays_alone() {
            true => self.with(|_, live| live.check_probe(true)),
            false => Ok(()),
        }
    }

    /// The guest has left an operation of which no row tells.
    pub fn trace_left(&self, op: OpHandle) {
        // Without a live instance there is nothing left to note.
        let _ = self.with(|_, live| {
            live.trace.end_op(op.number, true);
            Ok(())
        });
    }
}
