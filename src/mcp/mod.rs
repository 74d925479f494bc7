//! Lives here: MCP: tools, resources, subscriptions, sessions, transports, the client; wire to domain by hand.
//! May import: `engine`, `http` and what is below them. Never here: axum, wasmtime, redb, running a task.
//! Read first: `server.rs`, then `tools.rs`, `reply.rs` and `answer.rs`.

mod accept;
mod admin;
mod answer;
mod asked;
mod asks;
mod bridge;
mod client;
mod client_settings;
mod convert;
mod early_head;
mod error;
mod fixtures;
mod follow;
mod hints;
mod http;
mod listening;
mod locks;
mod mrtr;
mod next;
mod offers;
mod on_stream;
mod own_names;
mod own_tools;
mod params;
mod pipe;
mod pipe_questions;
mod pipe_task_ids;
mod reader;
mod reading;
mod reply;
mod report;
mod resources;
mod schema;
mod seal;
mod server;
mod sessions;
mod socket;
mod state_tools;
mod stdio;
mod subscriptions;
mod task_answer;
mod task_ids;
mod task_tools;
mod tasks;
#[cfg(test)]
mod tests;
mod tools;
mod upstream;
mod uri;
mod well_formed;

pub use admin::{AUDIT_LIST, TOKEN_LIST, TOKEN_NEW, TOKEN_REVOKE, TOOL_PIN};
pub use bridge::{BridgeError, BridgeOptions, bridge};
pub use client::{
    CallEvent, CallOptions, CallOutcome, Client, ClientError, ClientOptions, Era, ResourceBody, RunningCall,
    ServerCommand, TaskLink, ToolInfo, Updates, find_program,
};
pub use client_settings::{ClientSettings, Links, wait_bound_of};
pub use http::{HttpError, HttpServer};
pub use own_names::OwnNames;
pub use reader::Reader;
pub use server::{McpOptions, McpServer};
pub use socket::{SocketError, SocketServer, connect_socket};
pub use stdio::{StdioError, serve_stdio};
pub use upstream::{Place, Upstreams};
