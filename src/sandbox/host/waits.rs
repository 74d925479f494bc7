use std::future::Future;

use wasmtime::Result;

use super::bindings::longhaul::tool::waits::{self, Error};
use crate::engine::{Suspension, call_hash};
use crate::limits;
use crate::sandbox::stop::Stop;
use crate::sandbox::task_host::TaskHost;
use crate::sandbox::world::World;
use crate::sandbox::world::journal::{Call, Journal, Kind, WaitOn};
use crate::sandbox::world::tickets::{Awaited, Ticket, Tickets};
use crate::task::{WaitingReason, WakeOn};

impl waits::Host for World {
    async fn wait(&mut self, tickets: Vec<u64>, timeout_ms: Option<u64>) -> Result<Result<Vec<u64>, Error>> {
        let set = match Waited::of(&self.tickets, &tickets, timeout_ms.is_some()) {
            Ok(set) => set,
            Err(error) => return Ok(Err(error)),
        };
        self.write_pending().await?;
        let timeout = match timeout_ms {
            Some(ms) => Some(self.due_after(ms)?),
            None => None,
        };
        let bytes: Vec<u8> = tickets.iter().flat_map(|ticket| ticket.to_le_bytes()).collect();
        let limit = timeout_ms.map_or_else(Vec::new, |ms| ms.to_le_bytes().to_vec());
        let hash = call_hash("waits.wait", &[&bytes, &limit]);
        let call = Call { kind: Kind::Wait, hash };

        let ready: Vec<u64> = match self.journal.replayed(call).await? {
            Some(payload) => postcard::from_bytes(&payload)
                .map_err(|_| Stop::HostFault("the journal's record of a wait is unreadable".to_owned()))?,
            None => {
                let recorder = self.journal.task(call.kind.name())?.clone();
                let on = set.wait_on(timeout);
                let ready = set.ready(recorder, &self.journal, timeout);
                let ready = self.journal.wait(ready, on, self.meter.total()).await??;
                self.journal.record(call, &postcard::to_stdvec(&ready)?)?;
                ready
            }
        };
        self.saw_cancellation |= self.tickets.cancellation().is_some_and(|ticket| ready.contains(&ticket));
        self.tickets.mark_ready(&ready);
        Ok(Ok(ready))
    }

    fn abandon(&mut self, ticket: u64) -> Result<()> {
        if let Some(Ticket::Awaited(awaited)) = self.tickets.over(ticket) {
            self.give_up(&awaited)?;
        }
        Ok(())
    }
}

/// The tickets of one wait, in the order given.
pub(super) struct Waited(pub(super) Vec<(u64, Ticket)>);

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
        let find = |number: &u64| match tickets.get(*number) {
            Some(ticket) => Ok((*number, ticket.clone())),
            None => {
                Err(Error::NotFound(format!("there is no open ticket {number}: it is over, or never was")))
            }
        };
        numbers.iter().map(find).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn wait_on(&self, timeout: Option<u64>) -> WaitOn {
        // A person who looks at the task sees first what a person can end.
        let reason =
            self.0.iter().filter_map(|(_, ticket)| ticket.reason()).min_by_key(|reason| match reason {
                WaitingReason::Input => 0,
                WaitingReason::Message => 1,
                WaitingReason::Child => 2,
                WaitingReason::State => 3,
                WaitingReason::Model => 4,
                WaitingReason::Timer => 5,
                // Nothing that a guest waits for.
                WaitingReason::Blocked(_) => 6,
            });
        let reason = reason.unwrap_or(WaitingReason::Timer);
        let until = self.due(timeout, |awaited| awaited.deadline);
        WaitOn::Durable(Suspension { reason, until, on: self.wakes() })
    }

    /// Ends when one is ready or the time is over.
    pub(super) fn ready(
        &self,
        recorder: TaskHost,
        journal: &Journal,
        timeout: Option<u64>,
    ) -> impl Future<Output = Result<Vec<u64>, Stop>> + Send + use<> {
        let (journal, tickets) = (journal.clone(), self.0.clone());
        let (set, handles_cancellation) = (Waited(tickets), self.handles_cancellation());
        let on = self.wakes();
        async move {
            let mut news = recorder.news();
            recorder.waits_for(&on);
            loop {
                news.mark_unchanged();
                let mut ready = Vec::new();
                for (number, ticket) in &set.0 {
                    let is_ready = match ticket {
                        Ticket::Timer { due } => journal.is_due(*due),
                        Ticket::Cancellation => recorder.cancel_requested(),
                        Ticket::Awaited(awaited) => awaited.is_ready(&recorder, &journal).await?,
                        Ticket::Watch(on) => recorder.is_met(on).await?,
                    };
                    if is_ready {
                        ready.push(*number);
                    }
                }
                if !ready.is_empty() || timeout.is_some_and(|timeout| journal.is_due(timeout)) {
                    return Ok(ready);
                }
                let due = set.due(timeout, |awaited| awaited.due(&recorder));
                tokio::select! {
                    () = journal.sleep_until(due.unwrap_or(u64::MAX)), if due.is_some() => {}
                    () = recorder.cancelled(), if handles_cancellation => {}
                    // Its sender lives as long as the task is open.
                    Ok(()) = news.changed() => {}
                }
            }
        }
    }

    /// The earliest logical time that ends the wait.
    fn due(&self, timeout: Option<u64>, of: impl Fn(&Awaited) -> Option<u64>) -> Option<u64> {
        let timers = self.0.iter().filter_map(|(_, ticket)| match ticket {
            Ticket::Timer { due } => Some(*due),
            Ticket::Awaited(awaited) => of(awaited),
            Ticket::Cancellation | Ticket::Watch(_) => None,
        });
        timers.chain(timeout).min()
    }

    /// What ends it besides a timer.
    fn wakes(&self) -> Vec<WakeOn> {
        let mut on: Vec<WakeOn> =
            self.handles_cancellation().then_some(WakeOn::Cancellation).into_iter().collect();
        on.extend(self.0.iter().filter_map(|(_, ticket)| match ticket {
            Ticket::Awaited(Awaited { on, .. }) | Ticket::Watch(on) => Some(on.clone()),
            Ticket::Timer { .. } | Ticket::Cancellation => None,
        }));
        on
    }

    fn handles_cancellation(&self) -> bool {
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
        tickets.mark_ready(&[1, 2]);
        assert!(tickets.unfinished().is_empty());
        assert_eq!(tickets.cancellation(), Some(2));
        assert!(matches!(Waited::of(&tickets, &[1], true), Err(Error::NotFound(_))));
        assert_eq!(tickets.issue(Ticket::Timer { due: 9 }).unwrap(), 3, "numbers are never used again");
    }

    #[test]
    fn a_wait_knows_its_earliest_end() {
        let set = Waited(vec![(1, Ticket::Timer { due: 7 }), (2, Ticket::Timer { due: 4 })]);
        assert_eq!(set.wait_on(None), WaitOn::timers(Some(4)));
        assert_eq!(set.wait_on(Some(3)), WaitOn::timers(Some(3)));
        let set = Waited(vec![(1, Ticket::Cancellation)]);
        let on = vec![WakeOn::Cancellation];
        let suspension = Suspension { reason: WaitingReason::Timer, until: None, on };
        assert_eq!(set.wait_on(None), WaitOn::Durable(suspension));
    }

    #[test]
    fn a_wait_that_could_never_end_is_refused() {
        assert!(matches!(Waited::of(&Tickets::default(), &[], false), Err(Error::Invalid(_))));
        assert!(Waited::of(&Tickets::default(), &[], true).is_ok());
    }
}
