//! Lives here: the life of a task: how it begins, what each event makes of it, how it ends, begins again and goes.
//! May import: the engine's rows, journal, commits, questions and children.
//! Never here: what runs a guest.
//! Read first: `plan.rs`, then `commit.rs`, then `attempt.rs`.

mod aside;
pub(super) mod attempt;
mod cancel;
mod change;
mod commit;
mod end;
mod find;
mod plan;
pub(super) mod recovery;
mod reopen;
pub(super) mod retention;
pub(super) mod submit;
#[cfg(test)]
mod tests;

pub use cancel::cancel;
pub use change::{Change, RowWrite};
pub use commit::{commit, commit_pending};
pub use end::{due, moment_due};
pub use find::Standing;
pub use plan::{About, Kept, Left, plan_new};
pub use reopen::Resolution;
