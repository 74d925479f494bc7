//! Lives here: MCP's words: what each thing of the engine looks like on the wire, and how what comes in is read.
//! May import: `engine` and below, `era`.
//! Never here: a connection, a caller, a stream.
//! Read first: `convert.rs`, `error.rs`, `next.rs`.

pub mod client_settings;
pub mod convert;
pub mod error;
pub mod form;
pub mod hints;
pub mod meta;
pub mod next;
pub mod own_names;
pub mod params;
pub mod reading;
pub mod report;
pub mod schema;
pub mod seal;
pub mod uri;
