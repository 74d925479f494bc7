//! The guest's clocks: one logical time, and timers that mean the same after a restart.

use std::collections::HashMap;

use wasmtime::Result;
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::journal::Journal;

/// The resolution that the guest sees, which is also that of the journal.
const RESOLUTION_NANOS: u64 = 1_000_000;

/// Which pollables are timers, and the logical time at which each is due. By the pollable's number in the
/// table, from its creation until it is dropped.
#[derive(Default)]
pub struct Timers(HashMap<u32, u64>);

impl Timers {
    pub fn due(&self, pollable: &Resource<DynPollable>) -> Option<u64> {
        self.0.get(&pollable.rep()).copied()
    }

    pub fn forget(&mut self, pollable: &Resource<DynPollable>) {
        self.0.remove(&pollable.rep());
    }
}

pub struct Clocks<'a> {
    pub table: &'a mut ResourceTable,
    pub timers: &'a mut Timers,
    pub journal: &'a Journal,
}

pub struct HasClocks;

impl HasData for HasClocks {
    type Data<'a> = Clocks<'a>;
}

impl wall_clock::Host for Clocks<'_> {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        Ok(datetime(self.journal.wall()?))
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        Ok(datetime(RESOLUTION_NANOS))
    }
}

impl monotonic_clock::Host for Clocks<'_> {
    fn now(&mut self) -> Result<u64> {
        Ok(self.journal.now()?)
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(RESOLUTION_NANOS)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        let timer = self.table.push(Timer { due: when, journal: self.journal.clone() })?;
        let pollable = subscribe(self.table, timer)?;
        self.timers.0.insert(pollable.rep(), when);
        Ok(pollable)
    }

    fn subscribe_duration(&mut self, duration: u64) -> Result<Resource<DynPollable>> {
        let when = self.journal.now()?.saturating_add(duration);
        self.subscribe_instant(when)
    }
}

struct Timer {
    due: u64,
    journal: Journal,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        self.journal.sleep_until(self.due).await;
    }
}

fn datetime(nanos: u64) -> wall_clock::Datetime {
    wall_clock::Datetime { seconds: nanos / 1_000_000_000, nanoseconds: (nanos % 1_000_000_000) as u32 }
}
