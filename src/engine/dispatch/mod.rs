//! Lives here: what runs as long as the engine does: instances for tasks that are next, timers, late flushes.
//! May import: `lifecycle`, `memory`, `shared`.
//! Never here: what an attempt does.
//! Read first: `instances.rs`.

pub(super) mod due;
pub(super) mod flush;
pub(super) mod instances;
