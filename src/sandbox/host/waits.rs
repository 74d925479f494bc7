use std::collections::BTreeMap;
use std::future::Future;

use wasmtime::Result;

use super::bindings::longhaul::tool::waits::{self, Error};
use crate::engine::{Recorder, call_hash};
use crate::limits;
use crate::sandbox::stop::Stop;
use crate::sandbox::world::World;
use crate::sandbox::world::journal::{Call, Journal, Kind, WaitOn};

/// What was started and is not over. The guest numbers nothing itself: the order of its calls does.
#[derive(Default)]
pub struct Tickets {
    last: u64,
    open: BTreeMap<u64, Ticket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticket {
    /// Over once a wait has told that it is ready.
    Timer { due: u64 },
    /// Never over.
    Cancellation,
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

    /// A wait has told the guest that they are ready.
    fn told(&mut self, ready: &[u64]) {
        self.open.retain(|number, ticket| *ticket == Ticket::Cancellation || !ready.contains(number));
    }
}

impl waits::Host for World {
    async fn wait(&mut self, tickets: Vec<u64>, timeout_ms: Option<u64>) -> Result<Result<Vec<u64>, Error>> {
        let set = match Waited::of(&self.tickets, &tickets, timeout_ms.is_some()) {
            Ok(set) => set,
            Err(error) => return Ok(Err(error)),
        };
        let timeout = match timeout_ms {
            Some(ms) => Some(self.due_after(ms)?),
            None => None,
        };
        let bytes: Vec<u8> = tickets.iter().flat_map(|ticket| ticket.to_le_bytes()).collect();
        let limit = timeout_ms.map_or_else(Vec::new, |ms| ms.to_le_bytes().to_vec());
        let hash = call_hash("waits.wait", &[&bytes, &limit]);
        let call = Call { kind: Kind::Wait, hash };

        let ready: Vec<u64> = match self.journal.replayed(call)? {
            Some(payload) => postcard::from_bytes(&payload)
                .map_err(|_| Stop::HostFault("the journal's record of a wait is unreadable".to_owned()))?,
            None => {
                let on = set.wait_on(timeout);
                let ready = set.ready(self.journal.task(call.kind.name())?.clone(), &self.journal, timeout);
                let ready = self.journal.wait(ready, on, self.meter.total()).await?;
                self.journal.record(call, &postcard::to_stdvec(&ready)?)?;
                ready
            }
        };
        self.saw_cancellation |= self.tickets.cancellation().is_some_and(|ticket| ready.contains(&ticket));
        self.tickets.told(&ready);
        Ok(Ok(ready))
    }

    fn abandon(&mut self, ticket: u64) -> Result<()> {
        self.tickets.open.remove(&ticket);
        Ok(())
    }
}

/// The tickets of one wait, in the order given.
struct Waited(Vec<(u64, Ticket)>);

impl Waited {
    fn of(tickets: &Tickets, numbers: &[u64], has_timeout: bool) -> Result<Self, Error> {
        if numbers.is_empty() && !has_timeout {
            return Err(Error::Invalid(
                "a wait needs a ticket or a timeout: this one would never end".to_owned(),
            ));
        }
        if numbers.len() > limits::MAX_OPEN_TICKETS {
            return Err(Error::Limit(format!("a wait takes at most {} tickets", limits::MAX_OPEN_TICKETS)));
        }
        let find = |number: &u64| match tickets.open.get(number) {
            Some(ticket) => Ok((*number, *ticket)),
            None => {
                Err(Error::NotFound(format!("there is no open ticket {number}: it is over, or never was")))
            }
        };
        numbers.iter().map(find).collect::<Result<_, _>>().map(Self)
    }

    fn wait_on(&self, timeout: Option<u64>) -> WaitOn {
        WaitOn::Timers { due: self.due(timeout), on_cancel: self.heeds_cancellation() }
    }

    /// Ends when one is ready or the time is over.
    fn ready(
        &self,
        recorder: Recorder,
        journal: &Journal,
        timeout: Option<u64>,
    ) -> impl Future<Output = Vec<u64>> + Send + use<> {
        let (journal, tickets) = (journal.clone(), self.0.clone());
        let (due, heeds_cancellation) = (self.due(timeout), self.heeds_cancellation());
        async move {
            loop {
                let is_ready = |ticket: &Ticket| match ticket {
                    Ticket::Timer { due } => journal.is_due(*due),
                    Ticket::Cancellation => recorder.cancel_requested(),
                };
                let ready: Vec<u64> = tickets
                    .iter()
                    .filter(|(_, ticket)| is_ready(ticket))
                    .map(|(number, _)| *number)
                    .collect();
                if !ready.is_empty() || timeout.is_some_and(|timeout| journal.is_due(timeout)) {
                    return ready;
                }
                tokio::select! {
                    () = journal.sleep_until(due.unwrap_or(u64::MAX)), if due.is_some() => {}
                    () = recorder.cancelled(), if heeds_cancellation => {}
                }
            }
        }
    }

    /// The earliest logical time that ends the wait.
    fn due(&self, timeout: Option<u64>) -> Option<u64> {
        let timers = self.0.iter().filter_map(|(_, ticket)| match ticket {
            Ticket::Timer { due } => Some(*due),
            Ticket::Cancellation => None,
        });
        timers.chain(timeout).min()
    }

    fn heeds_cancellation(&self) -> bool {
        self.0.iter().any(|(_, ticket)| *ticket == Ticket::Cancellation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_over_once_told_and_the_cancellation_never_is() {
        let mut tickets = Tickets::default();
        let timer = tickets.issue(Ticket::Timer { due: 5 }).unwrap();
        let cancellation = tickets.issue(Ticket::Cancellation).unwrap();
        assert_eq!((timer, cancellation), (1, 2));
        assert_eq!(tickets.unfinished(), [1]);
        tickets.told(&[1, 2]);
        assert!(tickets.unfinished().is_empty());
        assert_eq!(tickets.cancellation(), Some(2));
        assert!(matches!(Waited::of(&tickets, &[1], true), Err(Error::NotFound(_))));
        assert_eq!(tickets.issue(Ticket::Timer { due: 9 }).unwrap(), 3, "numbers are never used again");
    }

    #[test]
    fn a_wait_knows_its_earliest_end() {
        let set = Waited(vec![(1, Ticket::Timer { due: 7 }), (2, Ticket::Timer { due: 4 })]);
        assert_eq!(set.wait_on(None), WaitOn::Timers { due: Some(4), on_cancel: false });
        assert_eq!(set.wait_on(Some(3)), WaitOn::Timers { due: Some(3), on_cancel: false });
        let set = Waited(vec![(1, Ticket::Cancellation)]);
        assert_eq!(set.wait_on(None), WaitOn::Timers { due: None, on_cancel: true });
    }

    #[test]
    fn a_wait_that_could_never_end_is_refused() {
        assert!(matches!(Waited::of(&Tickets::default(), &[], false), Err(Error::Invalid(_))));
        assert!(Waited::of(&Tickets::default(), &[], true).is_ok());
    }

    #[test]
    fn open_tickets_are_bounded() {
        let mut tickets = Tickets::default();
        for _ in 0..limits::MAX_OPEN_TICKETS {
            tickets.issue(Ticket::Timer { due: 0 }).unwrap();
        }
        assert!(matches!(tickets.issue(Ticket::Cancellation), Err(Stop::Limit { .. })));
    }
}
