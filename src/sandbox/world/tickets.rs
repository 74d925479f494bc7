//! What a guest has started and not seen the end of: timers, questions, messages to come, children.

use std::collections::BTreeMap;

use wasmtime::Result;

use super::journal::Journal;
use crate::engine::{Op, OpHandle};
use crate::limits;
use crate::sandbox::stop::Stop;
use crate::sandbox::task_host::TaskHost;
use crate::task::{WaitingReason, WakeOn};

/// What was started and is not over. The guest numbers nothing itself: the order of its calls does.
#[derive(Default)]
pub struct Tickets {
    last: u64,
    open: BTreeMap<u64, Ticket>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ticket {
    /// Over once a wait has said that it is ready.
    Timer { due: u64 },
    /// Never over.
    Cancellation,
    /// Over once it was taken.
    Awaited(Awaited),
    /// An entry of shared state; over once a wait has said that it is ready.
    Watch(WakeOn),
}

impl Tickets {
    pub fn issue(&mut self, ticket: Ticket) -> Result<u64, Stop> {
        if self.open.len() >= limits::MAX_OPEN_TICKETS {
            let message = format!("the tool has {} open tickets, which is the bound", self.open.len());
            return Err(Stop::Limit { bound: "MAX_OPEN_TICKETS", message });
        }
        self.last += 1;
        self.open.insert(self.last, ticket);
        Ok(self.last)
    }

    pub fn cancellation(&self) -> Option<u64> {
        self.open.iter().find(|(_, ticket)| **ticket == Ticket::Cancellation).map(|(number, _)| *number)
    }

    /// Those that a checkpoint would lose.
    pub fn unfinished(&self) -> Vec<u64> {
        let timers = self.open.iter().filter(|(_, ticket)| **ticket != Ticket::Cancellation);
        timers.map(|(number, _)| *number).collect()
    }

    /// Marks those of which a wait has said that they are ready.
    pub fn mark_ready(&mut self, ready: &[u64]) {
        let is_over = |ticket: &Ticket| matches!(ticket, Ticket::Timer { .. } | Ticket::Watch(_));
        self.open.retain(|number, ticket| !is_over(ticket) || !ready.contains(number));
    }

    pub fn get(&self, number: u64) -> Option<&Ticket> {
        self.open.get(&number)
    }

    /// Nothing waits for it any more.
    pub fn over(&mut self, number: u64) -> Option<Ticket> {
        self.open.remove(&number)
    }
}

impl Ticket {
    /// Why a task waits that waits for this.
    pub fn reason(&self) -> Option<WaitingReason> {
        match self {
            Self::Awaited(awaited) => Some(awaited.reason),
            Self::Watch(_) => Some(WaitingReason::State),
            Self::Timer { .. } | Self::Cancellation => None,
        }
    }
}

/// A ticket whose end comes from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    pub op: OpHandle,
    /// Stands for the call that began it.
    pub hash: u64,
    pub on: WakeOn,
    /// Why the task waits, while it waits for this.
    pub reason: WaitingReason,
    /// Logical time at which it is over in any case.
    pub deadline: Option<u64>,
}

impl Awaited {
    /// Whether taking it would not wait.
    pub async fn is_ready(&self, recorder: &TaskHost, journal: &Journal) -> Result<bool, Stop> {
        Ok(matches!(recorder.op(self.op)?, Some(Op::Done { .. }))
            || recorder.is_met(&self.on).await?
            || self.due(recorder).is_some_and(|due| journal.is_due(due)))
    }

    /// When it is over as things stand.
    pub fn due(&self, recorder: &TaskHost) -> Option<u64> {
        let deadline = self.deadline?;
        Some(recorder.extended_deadline(&self.on).map_or(deadline, |held| held.max(deadline)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_tickets_are_bounded() {
        let mut tickets = Tickets::default();
        for _ in 0..limits::MAX_OPEN_TICKETS {
            tickets.issue(Ticket::Timer { due: 0 }).unwrap();
        }
        assert!(matches!(tickets.issue(Ticket::Cancellation), Err(Stop::Limit { .. })));
    }
}
