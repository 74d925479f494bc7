//! Lives here: what a server and a worker say to each other, and what stands in a worker for a task's recorder.
//! May import: the engine's values, `limits`. Never here: either of the two, or wasmtime.
//! Read first: `protocol.rs`, then `remote.rs`.

pub mod protocol;
mod remote;
mod values;
mod wait;

pub use protocol::{ExchangeWire, ExchangedWire, Request};
pub use remote::{Link, Remote};
pub use values::{EndWire, ErrorWire, OpWire, bound_named};
pub use wait::RemoteWait;
