//! Lives here: guests in a process of their own: the server's side, and the process.
//! May import: the sandbox and what it may import. Never here: what a guest's call means to its task.
//! Read first: `program.rs`, which is the worker; then the server's side, `pool.rs`, `running.rs`, `visit.rs`, `serve.rs`.
//!
//! A worker has the machine code of one component and nothing else: no store, no key, no secret, no file, no network. What
//! an instance asks of its task is a request to the server, which judges it as if the worker were the guest's own: what
//! breaks out of an instance there gains the powers of that component's tasks, and no more.

mod attempt;
mod bounds;
mod death;
mod guest;
mod outcome;
mod pool;
mod process;
mod program;
mod running;
mod serve;
mod uploads;
mod visit;
mod waits;

pub(super) use attempt::{Ran, describe, run};
pub use bounds::{Isolate, WorkerBounds, WorkerProgram, worker_program};
pub(super) use death::Death;
pub(super) use guest::Guest;
pub(super) use pool::{Lease, Workers};
pub use program::run as run_guests_for_parent;
