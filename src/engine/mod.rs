//! Lives here: running tasks: submit, view, list, cancel, retry; dispatch; the journal; recovery; the ports.
//! May import: `catalog`, `store` and the ground. Never here: WASM, MCP, redb.
//! Read first: `ports.rs`, then `recorder.rs`.
