//! Lives here: the life of a task: how it begins, what each event makes of it, how it ends and begins again.
//! May import: the engine's rows, journal, commits, questions and children. Never here: what runs a guest.
//! Read first: `plan.rs`, then `commit.rs`.

mod cancel;
mod change;
mod commit;
mod end;
mod plan;
mod reopen;
#[cfg(test)]
mod tests;

pub use cancel::cancel;
pub use change::{Change, RowWrite};
pub use commit::{commit, commit_event, commit_pending};
pub use end::{Ending, due, end, moment_due, retry_later, total_time_over};
pub use plan::{About, Event, Kept, Left, plan_new};
pub use reopen::Resolution;
