//! Lives here: a task's trace, which says what happened: each step with its times, and marks for attempts, crashes,
//! replays and evictions. Rows go into commits that happen anyway and stay when the task has ended, as long as it.
//! May import: the journal, and the store's types. Never here: a commit of its own, or a decision: nothing depends on a
//! trace.
//! Read first: `line.rs`, then `tracer.rs`.

mod line;
mod live;
mod rows;
#[cfg(test)]
mod tests;
mod tracer;

pub use line::{Line, Mark, MarkKind, Number, Progress, Step, StepKind};
pub use live::{LiveTrace, Place, TaskTime};
pub use rows::{draft, place_of, read};
pub use tracer::{BlockReader, Totals, Tracer, blocks_of};
