//! What elicitation, sampling and roots have in common: each asks a question of the engine's.

use super::awaited::Begun;
use super::bindings::longhaul::tool::types::Error;
use crate::engine::questions::{Answer, Ask, Asked, Question};
use crate::sandbox::stop::Stop;
use crate::sandbox::world::World;
use crate::sandbox::world::tickets::{Awaited, Ticket};
use crate::task::{WaitingReason, WakeOn};

impl World {
    /// Asks, and issues the ticket. `parts` are the arguments of `what`, which must be the same at every replay.
    pub(super) fn ask(
        &mut self,
        what: &'static str,
        parts: &[&[u8]],
        question: Question,
    ) -> Result<Result<u64, Error>, Stop> {
        let deadline = question.deadline;
        let reason = match question.ask {
            Ask::Model(_) => WaitingReason::Model,
            _ => WaitingReason::Input,
        };
        let (Begun { op, hash }, known) = self.begun(what, parts)?;
        let recorder = self.journal.task(what)?;
        let asked = match known {
            None => recorder.ask(op, hash, question)?,
            Some(known) => recorder.asked(op, &known)?,
        };
        let number = match asked {
            Asked::Open(number) => number,
            Asked::Refused(why) => return Ok(Err(Error::Limit(why))),
            Asked::Lost(why) => return Ok(Err(Error::NotGranted(why))),
        };
        let (on, reason) = (WakeOn::Answer(number), reason);
        let awaited = Awaited { op, hash, on, reason, deadline: Some(deadline) };
        Ok(Ok(self.tickets.issue(Ticket::Awaited(awaited))?))
    }

    /// Waits for the answer behind a ticket.
    pub(super) async fn answered(
        &mut self,
        ticket: u64,
        what: &'static str,
    ) -> Result<Result<Answer, Error>, Stop> {
        let awaited = match self.arrived(ticket, what, |on| matches!(on, WakeOn::Answer(_))).await? {
            Ok(awaited) => awaited,
            Err(error) => return Ok(Err(error)),
        };
        let WakeOn::Answer(number) = awaited.on else { return Ok(Err(Error::Invalid(what.to_owned()))) };
        let recorder = self.journal.task(what)?.clone();
        Ok(Ok(recorder.take_answer(awaited.op, awaited.hash, number).await?))
    }
}

/// What is no answer, in the words of an interface whose answers have no such cases.
pub fn no_answer(answer: Answer, whose: &str) -> Error {
    match answer {
        Answer::Refused(why) => Error::Limit(why),
        Answer::Lost(why) => Error::NotGranted(why),
        Answer::Unavailable(why) => Error::Unavailable(why),
        Answer::Decline | Answer::Cancel => Error::Unavailable(format!("{whose} declined")),
        Answer::Expired | Answer::Accept(_) => Error::Unavailable(format!("{whose} did not answer in time")),
    }
}
