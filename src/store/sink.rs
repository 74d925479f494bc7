//! Where the effects of batches go.

use super::batch::{Count, Effects};
use super::error::StoreError;

/// Gets the effects of every batch that is handed over with any: one call a batch, of one of these two.
pub trait Sink: Send + Sync {
    /// The batch is durable, and a read of the store sees it. Called on the writer thread in the order of commits,
    /// before the acknowledgement. Must be quick and must not panic: every commit waits for it, and a panic latches
    /// the store.
    fn applied(&self, effects: Effects);

    /// The batch is not applied: it was not taken, a guard of it did not hold, or the store has failed, in which case
    /// the next start shows whether it is on disk. Where it was not taken this is called by the thread that handed it
    /// over, before that sees the error.
    fn withdrawn(&self, effects: Effects, why: &StoreError);

    /// From now on a read may see commits whose effects this has not got yet. Called on the writer thread.
    fn showing(&self) {}

    /// This has got the effects of all that a read may see. Called on the writer thread.
    fn shown(&self) {}

    /// So much does a count that batches of the last commit changed come to. Called as `applied` is, before the effects
    /// of those batches.
    fn counted(&self, _: &Count, _: u64) {}
}

/// For a store whose batches have no effects.
#[derive(Debug, Default)]
pub struct NoSink;

impl Sink for NoSink {
    fn applied(&self, _: Effects) {}

    fn withdrawn(&self, _: Effects, _: &StoreError) {}
}
