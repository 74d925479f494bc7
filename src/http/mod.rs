//! Lives here: the HTTP listener: connections, who calls, hosts, origins, health and metrics; axum and hyper.
//! May import: `authority`, `limits`. Never here: a protocol (MCP is mounted from its own room), the engine.
//! Read first: `server.rs`, then `mount.rs` and `backend.rs`, which say what a wing and the program give to it.

mod accept;
mod backend;
mod caller;
mod chain;
mod connections;
mod event_stream;
mod head;
mod hosts;
mod message;
mod metrics;
mod mount;
mod origins;
mod owner;
mod peer;
mod probes;
mod server;
#[cfg(test)]
mod tests;

pub use accept::accepts;
pub use backend::{Backend, Bearer};
pub use caller::Caller;
pub use chain::Next;
pub use connections::ClosedInOrder;
pub use event_stream::EventStream;
pub use message::{
    Body, BodyStream, Bytes, Request, Response, collect, content, is_event_stream, status, text,
};
pub use metrics::Metrics;
pub use mount::Mount;
pub use server::{Options, Server, ServerError, knows_owner_by_connection};
