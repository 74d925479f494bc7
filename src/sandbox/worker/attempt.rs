//! An attempt that runs in a worker, from its beginning to its end.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::death::Death;
use super::guest::Guest;
use super::outcome::judged;
use super::pool::Lease;
use super::running::LastWord;
use super::visit::Visit;
use crate::authority::Grant;
use crate::engine::{InspectError, Outcome};
use crate::limits;
use crate::sandbox::wire::protocol::{Begin, ToWorker};

/// What became of a guest in a worker.
pub enum Ran {
    Ended(Outcome),
    /// The worker was killed from outside before the guest had done anything: another may take it.
    NeverBegan(Death),
}

/// Runs the guest to its end there. Dropped, the guest is stopped.
pub async fn run(lease: Lease, guest: Guest, suspend_grace: Duration) -> Ran {
    let task = guest.task.clone();
    // Before anything is asked: what is committed from now on is passed on.
    let mut news = guest.recorder.news();
    let visit = Visit::new(guest);
    let mut presence = Presence::enter(lease, Some(visit.clone()));
    let begin = Begin {
        guest: presence.number,
        binding: Cow::Borrowed(&task.binding),
        arguments: Cow::Borrowed(&task.arguments),
        limits: Cow::Borrowed(&task.limits),
        grant: Cow::Owned(what_it_may_know(&task.grant)),
        environment: Cow::Borrowed(&task.environment),
        effects: Cow::Borrowed(&task.effects),
        suspend_grace,
    };
    // Where it fails, the end of the worker says why.
    let _ = presence.lease.running.send(&ToWorker::Begin(Box::new(begin))).await;
    let last_word = loop {
        tokio::select! {
            biased;
            last_word = presence.last_word() => break last_word,
            // Its sender lives as long as the task is open.
            Ok(()) = news.changed() => {
                let guest = presence.number;
                let _ = presence.lease.running.send(&ToWorker::News { guest }).await;
            }
        }
    };
    match last_word {
        Ok(LastWord::End(Some(end))) => Ran::Ended(judged(end, &task.grant)),
        Ok(LastWord::End(None) | LastWord::Tools(_)) => Ran::Ended(Outcome::HostFault {
            message: "the worker ended a guest that was not to end".to_owned(),
        }),
        Err(death @ Death::FromOutside(_)) if !visit.has_called() => Ran::NeverBegan(death),
        Err(death) => Ran::Ended(death.outcome()),
    }
}

/// Asks the component which tools it has; JSON.
pub async fn describe(lease: Lease) -> Result<String, InspectError> {
    let mut presence = Presence::enter(lease, None);
    let guest = presence.number;
    let _ = presence.lease.running.send(&ToWorker::Describe { guest }).await;
    match presence.last_word().await {
        Ok(LastWord::Tools(tools)) => tools,
        Ok(LastWord::End(_)) => Err(InspectError::HostFault("the worker described nothing".to_owned())),
        Err(Death::OwnFault(words)) => Err(InspectError::BadDefinition(words)),
        Err(Death::FromOutside(words)) => Err(InspectError::HostFault(words)),
    }
}

/// Where secrets come from, and what folders are bound, is nothing to the guest.
fn what_it_may_know(grant: &Grant) -> Grant {
    let mut known = Grant { secrets: Vec::new(), env: Vec::new(), ..grant.clone() };
    known.files.iter_mut().for_each(|file| file.path = None);
    known
}

/// A guest in its worker. Dropped before its end, it is stopped there.
struct Presence {
    lease: Lease,
    number: u64,
    last_word: Option<oneshot::Receiver<LastWord>>,
    /// Its memory counts until it is gone.
    visit: Option<Arc<Visit>>,
    runtime: Handle,
}

impl Presence {
    fn enter(lease: Lease, visit: Option<Arc<Visit>>) -> Self {
        let (number, last_word) = lease.running.enter(visit.clone());
        Self { lease, number, last_word: Some(last_word), visit, runtime: Handle::current() }
    }

    /// What is said of it last.
    async fn last_word(&mut self) -> Result<LastWord, Death> {
        let Some(last_word) = &mut self.last_word else { return Err(self.lease.running.died().await) };
        match last_word.await {
            Ok(said) => {
                self.last_word = None;
                Ok(said)
            }
            Err(_) => Err(self.lease.running.died().await),
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let Some(last_word) = self.last_word.take() else { return };
        let (lease, visit, number) = (self.lease.clone(), self.visit.take(), self.number);
        lease.running.let_go(number);
        self.runtime.spawn(async move {
            let gone = async {
                let _ = lease.running.send(&ToWorker::Stop { guest: number }).await;
                // Where the worker is gone, the guest is too.
                let _ = last_word.await;
            };
            if tokio::time::timeout(Duration::from_secs(limits::WORKER_STOP_SECONDS), gone).await.is_err() {
                lease.running.kill(Death::of_delay());
            }
            drop(visit);
        });
    }
}
