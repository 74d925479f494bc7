//! Lives here: what a runner holds while a guest runs: the recorder, its operations, outputs, reports and flushes.
//! May import: `journal`, the engine's rows and commits.
//! Never here: how an attempt begins or ends, one kind of operation in particular.
//! Read first: `recorder.rs`, then `ops.rs`.

pub(super) mod flush;
pub(super) mod ops;
pub(super) mod output;
pub(super) mod recorder;
pub(super) mod refused;
pub(super) mod reports;
