//! Lives here: what a runner holds while a guest runs: the recorder, its operations, outputs, checkpoints.
//! May import: `change`, `audit`, `shared` and what stands below.
//! Never here: how an attempt begins or ends, one kind of operation in particular.
//! Read first: `recorder.rs`, then `ops.rs`.

pub(super) mod checkpoint;
pub(super) mod error;
pub(super) mod ops;
pub(super) mod output;
pub(super) mod pieces;
mod powers;
pub(super) mod recorder;
pub(super) mod refused;
mod reports;
pub(super) mod status_handle;
mod traced;
mod unbound;
