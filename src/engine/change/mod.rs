//! Lives here: what one commit does to one task: the change as a value, how it is planned, how it becomes true.
//! May import: `shared`, `commit`, `memory`, `journal`, rows and effects.
//! Never here: why an event happens, what runs a guest.
//! Read first: `value.rs`, then `plan.rs`, then `commit.rs`.

pub(super) mod admit;
pub(super) mod charge;
pub(super) mod commit;
pub(super) mod draft;
pub(super) mod lease;
pub(super) mod plan;
#[cfg(test)]
mod tests;
pub(super) mod traced;
pub(super) mod value;
