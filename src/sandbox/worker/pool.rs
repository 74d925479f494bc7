//! The workers of a server: one for each component that has guests, and no more than there may be.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, OnceCell};

use super::bounds::{Isolate, WorkerBounds};
use super::death::Death;
use super::process::Starter;
use super::running::Running;
use crate::engine::BoxFuture;
use crate::sandbox::wire::protocol::Hello;
use crate::task::ComponentId;

pub struct Workers {
    inner: Arc<Inner>,
}

struct Inner {
    starter: Starter,
    bounds: WorkerBounds,
    fingerprint: String,
    threads: usize,
    places: Mutex<Places>,
    /// One is idle, or gone.
    freed: Notify,
}

#[derive(Default)]
struct Places {
    of: HashMap<ComponentId, Place>,
    last: u64,
}

/// The place of one worker, which runs or is being started.
struct Place {
    /// Names it: a later one of the same component has another number.
    number: u64,
    running: Arc<OnceCell<Arc<Running>>>,
    /// Guests that are there, or about to be.
    guests: usize,
    /// Counts those that were.
    uses: u64,
}

/// A guest's hold on its worker, which does not end meanwhile.
pub struct Lease {
    pub running: Arc<Running>,
    hold: Hold,
}

struct Hold {
    inner: Arc<Inner>,
    component: ComponentId,
    number: u64,
}

impl Workers {
    /// Those that `isolate` wants, if it wants any.
    pub fn of(isolate: &Isolate, fingerprint: blake3::Hash, threads: usize) -> Option<Self> {
        let (starter, bounds) = match isolate {
            Isolate::None => return None,
            Isolate::Process(program) => (Starter::of_program(program), program.bounds),
            Isolate::Launched(launch, bounds) => (Starter::Launch(launch.clone()), *bounds),
            #[cfg(test)]
            Isolate::Thread => (Starter::Thread, WorkerBounds::default()),
        };
        Some(Self::new(starter, bounds, fingerprint, threads))
    }

    /// `fingerprint` is that of the engine whose code they are given.
    fn new(starter: Starter, bounds: WorkerBounds, fingerprint: blake3::Hash, threads: usize) -> Self {
        let fingerprint = fingerprint.to_hex().to_string();
        let (places, freed) = (Mutex::default(), Notify::new());
        Self { inner: Arc::new(Inner { starter, bounds, fingerprint, threads, places, freed }) }
    }

    /// The worker of this component, whose machine code `code` makes where none runs. Where as many run as may, this
    /// waits until one is idle, and ends it.
    pub async fn enter(
        &self,
        component: &ComponentId,
        code: impl Fn() -> BoxFuture<Result<Vec<u8>, Death>>,
    ) -> Result<Lease, Death> {
        loop {
            let (hold, cell) = self.inner.place(component).await;
            let coding = code();
            let start = || async { self.inner.start(coding.await?).await };
            // Where it cannot be started the place is given back with the hold.
            let running = match cell.get_or_try_init(start).await {
                Ok(running) => running.clone(),
                Err(death) => {
                    self.inner.remove(component, hold.number);
                    return Err(death);
                }
            };
            if !running.is_dead() {
                return Ok(Lease { running, hold });
            }
            self.inner.remove(component, hold.number);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.inner.places.lock().of.clear();
    }
}

impl Inner {
    async fn place(self: &Arc<Self>, component: &ComponentId) -> (Hold, Arc<OnceCell<Arc<Running>>>) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Before the look: what is freed during it is not lost.
            freed.as_mut().enable();
            let found = self.places.lock().take(component, self.bounds.workers);
            if let Some((number, cell)) = found {
                let hold = Hold { inner: self.clone(), component: component.clone(), number };
                return (hold, cell);
            }
            freed.await;
        }
    }

    async fn start(&self, code: Vec<u8>) -> Result<Arc<Running>, Death> {
        let hello = Hello {
            fingerprint: self.fingerprint.clone(),
            code_bytes: code.len() as u64,
            memory_mib: self.bounds.memory_mib,
            threads: self.threads,
        };
        let started = self.starter.start().await;
        let started = started.map_err(|error| {
            Death::FromOutside(format!("the worker of a component cannot be started: {error}"))
        })?;
        let running = Running::begin(started, hello, code).await?;
        tracing::debug!(pid = running.pid(), "a worker runs");
        Ok(running)
    }

    fn remove(&self, component: &ComponentId, number: u64) {
        let mut places = self.places.lock();
        if places.of.get(component).is_some_and(|place| place.number == number) {
            places.of.remove(component);
        }
        drop(places);
        self.freed.notify_waiters();
    }

    /// A guest has gone.
    fn leave(self: &Arc<Self>, component: &ComponentId, number: u64) {
        let mut places = self.places.lock();
        let Some(place) = places.of.get_mut(component).filter(|place| place.number == number) else { return };
        place.guests -= 1;
        if place.guests > 0 {
            return;
        }
        let uses = place.uses;
        drop(places);
        self.freed.notify_waiters();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (inner, component) = (Arc::downgrade(self), component.clone());
        let idle = self.bounds.idle;
        runtime.spawn(async move {
            tokio::time::sleep(idle).await;
            if let Some(inner) = inner.upgrade() {
                let is_idle = |place: &Place| (place.number, place.guests, place.uses) == (number, 0, uses);
                let mut places = inner.places.lock();
                if places.of.get(&component).is_some_and(is_idle) {
                    places.of.remove(&component);
                }
            }
        });
    }
}

impl Places {
    /// A place of this component's worker, if there is one.
    fn take(&mut self, component: &ComponentId, most: usize) -> Option<(u64, Arc<OnceCell<Arc<Running>>>)> {
        if !self.of.contains_key(component) {
            if self.of.len() >= most.max(1) {
                let idle = self.of.iter().find(|(_, place)| place.guests == 0)?.0.clone();
                self.of.remove(&idle);
            }
            self.last += 1;
            let place = Place { number: self.last, running: Arc::default(), guests: 0, uses: 0 };
            self.of.insert(component.clone(), place);
        }
        let place = self.of.get_mut(component)?;
        place.guests += 1;
        place.uses += 1;
        Some((place.number, place.running.clone()))
    }
}

/// What has no place any more ends.
impl Drop for Place {
    fn drop(&mut self) {
        if let Some(running) = self.running.get() {
            running.end();
        }
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        let Hold { inner, component, number } = &self.hold;
        if let Some(place) = inner.places.lock().of.get_mut(component).filter(|place| place.number == *number)
        {
            place.guests += 1;
        }
        let hold = Hold { inner: inner.clone(), component: component.clone(), number: *number };
        Self { running: self.running.clone(), hold }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.inner.leave(&self.component, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str) -> ComponentId {
        ComponentId::of_bytes(name.as_bytes())
    }

    #[test]
    fn an_idle_worker_makes_room_and_a_busy_one_does_not() {
        let mut places = Places::default();
        let (first, _) = places.take(&component("a"), 1).unwrap();
        assert_eq!(places.take(&component("a"), 1).unwrap().0, first, "one for all its guests");
        assert!(places.take(&component("b"), 1).is_none(), "it has guests");
        places.of.get_mut(&component("a")).unwrap().guests = 0;
        let (second, _) = places.take(&component("b"), 1).unwrap();
        assert!(second != first && !places.of.contains_key(&component("a")));
    }
}
