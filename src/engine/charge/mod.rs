//! Lives here: what is counted of whom in the store: names of counts, what a task and an entry of shared state cost.
//! May import: the engine's rows. Never here: who is refused, an entry's lock, a commit.
//! Read first: this file, then `cost.rs`, then `levels.rs`.
//!
//! A principal's count is the sum of what its tasks and its entries of shared state are counted with. A task is counted
//! with [`first`] from the commit that makes it until the one that deletes it; where it needs more, that stands in a
//! count of its own, and the two counts change in one commit. So the sum follows from rows, whatever memory thinks.

mod cost;
mod levels;
mod measure;

pub use cost::{
    BYTES, COST, ENTRIES, KINDS, TOKENS, bytes_of, change, cost_of, entries_of, first, more_of, of_entry,
    of_row, pool_of, tokens_of,
};
pub use levels::Charge;
pub use measure::{length, more, of_task, stored};
