//! Lives here: MCP: tools, resources, subscriptions, sessions, transports, the client, the wire's conversions.
//! May import: `api`, `http` and what is below them. Never here: axum, wasmtime, redb, running a task.
//! Read first: `server.rs`, then `call/mod.rs` and `wire/mod.rs`.

mod bridge;
mod call;
mod client;
mod connection;
mod era;
mod own;
mod questions;
mod resources;
mod server;
mod sessions;
mod shared;
mod socket_path;
mod tasks;
#[cfg(test)]
mod tests;
mod transport;
mod upstream;
mod watch;
mod wire;

pub use bridge::{BridgeError, BridgeOptions, bridge};
pub use client::{
    CallEvent, CallOptions, CallOutcome, Client, ClientError, ClientOptions, Era, ResourceBody, RunningCall,
    ServerCommand, TaskLink, ToolInfo, Updates,
};
pub use shared::{McpOptions, McpServer};
pub use socket_path::connect_socket;
pub use transport::http::{HttpError, HttpServer};
pub use transport::reader::Reader;
pub use transport::socket::{SocketError, SocketServer, is_owners, listen_on_socket};
pub use transport::stdio::{StdioError, serve_stdio};
pub use upstream::{Place, Upstreams};
pub use wire::client_settings::{ClientSettings, Links, wait_bound_of};
pub use wire::own_names::OwnNames;
