//! The engine's ports as one attempt's instance uses them: what it records, reports, waits for and asks.

mod calls;
mod journal;
mod memory;
mod operations;
mod port;
mod reports;
mod waits;

pub(super) use memory::MemoryAccount;
pub(super) use port::TaskHost;
pub(super) use waits::LeaveWait;
