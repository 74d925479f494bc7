//! Lives here: the tasks extension of 2026-07-28: `tasks/*`.
//! May import: `connection` and below.
//! Never here: calls, streams.
//! Read first: `extension.rs`.

pub mod extension;
