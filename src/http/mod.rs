//! Lives here: the HTTP listener: connections, who calls, hosts, origins, health and metrics; axum and hyper.
//! May import: `authority`, `limits`, `shares`. Never here: a protocol (MCP is mounted from its own room), the engine.
//! Read first: `server.rs`, then `mount.rs` and `backend.rs`, which say what a wing and the program give to it.

mod accept;
mod activity;
mod arrivals;
mod backend;
mod body;
mod caller;
mod chain;
mod connections;
mod descriptors;
mod event_stream;
mod head;
mod hosts;
mod in_flight;
mod message;
mod metered;
mod metrics;
mod mount;
mod origins;
mod owner;
mod pace;
mod peer;
mod places;
mod probes;
mod rates;
mod refused;
mod server;
#[cfg(test)]
mod tests;

pub use accept::accepts;
pub use backend::{Backend, Bearer};
pub use caller::Caller;
pub use chain::Next;
pub use connections::ClosedInOrder;
pub use descriptors::{connections, connections_of, raise_limit, wanted_descriptors};
pub use event_stream::EventStream;
pub use message::{
    Body, BodyStream, Bytes, CollectError, Request, Response, collect, content, done, is_event_stream,
    status, text,
};
pub use metrics::Metrics;
pub use mount::Mount;
pub use refused::{NotNow, refused};
pub use server::{Options, Server, ServerError, knows_owner_by_connection};
