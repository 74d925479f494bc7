//! Waiting: which of several things was ready, and in what order, is all that is recorded of it.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Result;
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi_io::bindings::wasi::io::poll;

use super::clocks::Timers;
use super::files::Files;
use super::http::in_wait;
use super::journal::{Call, Journal, Kind, WaitOn};
use crate::sandbox::stop::Stop;
use crate::sandbox::threads::Meter;

pub struct Polling<'a> {
    pub table: &'a mut ResourceTable,
    pub timers: &'a mut Timers,
    pub files: &'a Files,
    pub journal: &'a Journal,
    pub meter: &'a Arc<Meter>,
}

pub struct HasPolling;

impl HasData for HasPolling {
    type Data<'a> = Polling<'a>;
}

const READY: Call = Call { kind: Kind::Ready, hash: 0 };
const BLOCK: Call = Call { kind: Kind::Block, hash: 0 };

impl poll::Host for Polling<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        self.files.write_pending().await?;
        let call = Call { kind: Kind::Poll, hash: pollables.len() as u64 };
        if let Some(payload) = self.journal.replayed(call).await? {
            let ready: Vec<u32> = postcard::from_bytes(&payload).map_err(|_| unreadable(call))?;
            for index in &ready {
                let pollable = pollables.get(*index as usize).ok_or_else(|| unreadable(call))?;
                self.force(pollable).await?;
            }
            return Ok(ready);
        }
        let (on, awake) = (self.wait_on(&pollables), self.awake());
        let ready = self.journal.wait(in_wait(poll::Host::poll(self.table, pollables)), on, awake).await??;
        let payload = postcard::to_stdvec(&ready)?;
        self.journal.record(call, &payload)?;
        Ok(ready)
    }
}

impl poll::HostPollable for Polling<'_> {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        self.files.write_pending().await?;
        if self.journal.replayed(BLOCK).await?.is_some() {
            return self.force(&pollable).await;
        }
        let (on, awake) = (self.wait_on(std::slice::from_ref(&pollable)), self.awake());
        let blocking = in_wait(poll::HostPollable::block(self.table, pollable));
        self.journal.wait(blocking, on, awake).await??;
        self.journal.record(BLOCK, &[])?;
        Ok(())
    }

    async fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        self.files.write_pending().await?;
        if let Some(payload) = self.journal.replayed(READY).await? {
            let ready = payload == [1];
            if ready {
                self.force(&pollable).await?;
            }
            return Ok(ready);
        }
        let ready = in_wait(poll::HostPollable::ready(self.table, pollable));
        let ready = self.journal.wait(ready, WaitOn::Process, Duration::ZERO).await??;
        self.journal.record(READY, &[u8::from(ready)])?;
        Ok(ready)
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        self.timers.forget(&pollable);
        poll::HostPollable::drop(self.table, pollable)
    }
}

impl Polling<'_> {
    /// A pollable that was ready when this was recorded: what is behind it must come to the same state. A
    /// timer has none. The others are not even looked at.
    async fn force(&mut self, pollable: &Resource<DynPollable>) -> Result<()> {
        if self.timers.due(pollable).is_some() {
            return Ok(());
        }
        let pollable = Resource::new_borrow(pollable.rep());
        self.journal.forced(in_wait(poll::HostPollable::block(self.table, pollable))).await?
    }

    fn wait_on(&self, pollables: &[Resource<DynPollable>]) -> WaitOn {
        let mut earliest = None;
        for pollable in pollables {
            match self.timers.due(pollable) {
                None => return WaitOn::Process,
                Some(due) => earliest = Some(earliest.map_or(due, |earliest: u64| earliest.min(due))),
            }
        }
        WaitOn::timers(earliest)
    }

    fn awake(&self) -> Duration {
        self.meter.total()
    }
}

fn unreadable(call: Call) -> Stop {
    Stop::HostFault(format!("the journal's record of {} is unreadable", call.kind.name()))
}
