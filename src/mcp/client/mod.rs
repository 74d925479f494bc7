//! Lives here: a client of any MCP server over Streamable HTTP, pipes or the socket of a data folder. No type of rmcp shows.
//! May import: `wire`, `socket_path` and below.
//! Never here: the server's side.
//! Read first: `remote.rs`, `call.rs`.

mod call;
mod error;
mod event;
mod launched;
mod remote;
mod tap;
mod updates;

pub use call::{CallOptions, CallOutcome, RunningCall, TaskLink};
pub use error::ClientError;
pub use event::CallEvent;
pub use launched::ServerCommand;
pub use remote::{Client, ClientOptions, Era, ResourceBody, ToolInfo};
pub use updates::Updates;
