//! Lives here: a server that is wired, started, listens and ends; what serves in the background; the tools it loads.
//! May import: `config`, `args`, `show`, and the rooms below. Never here: a command that talks to a server.
//! Read first: `serve.rs`, then `load.rs`.

pub mod background;
pub mod backup_socket;
pub mod catalog;
pub mod errands;
pub mod folders;
pub mod guests;
mod host;
mod launcher;
pub mod listen;
pub mod load;
pub mod machine;
mod models;
pub mod open;
pub mod own_server;
pub mod owner_key;
pub mod sampler;
pub mod secrets;
pub mod serve;
pub mod server_file;
pub mod signals;
pub mod tools;
mod walls;
mod watch;
