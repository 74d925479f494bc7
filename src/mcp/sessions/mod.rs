//! Lives here: the sessions of clients before 2026-07-28 over HTTP, and their streams, which can be resumed.
//! May import: `shared`, `questions`, `watch`, `wire` and below.
//! Never here: what a call means; the connection that serves a session is asked by `Host`.
//! Read first: `manager.rs`, `session.rs`, `request_stream.rs`.

mod error;
mod event_id;
mod guard;
mod manager;
mod outbox;
mod owner;
mod refused;
mod request_stream;
mod rows;
mod session;
mod session_stream;
mod slot;
mod sweep;
mod transport;

pub use error::SessionError;
pub use guard::guard;
pub use manager::Sessions;
pub use rows::{CallReply, CallRow};
pub use session::{CallStream, Host, Session};
pub use slot::Settles;
pub use sweep::run as sweep;
