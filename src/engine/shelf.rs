//! Rows that a wing keeps beside the tasks: the engine stores them and knows nothing of what they say.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::store::{Batch, Snapshot, Space};
use crate::task::TaskId;

/// Where the rows stand. Each wing has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// Sessions of clients.
    Session,
    /// Streams that clients come back to.
    Event,
}

impl Shelf {
    fn space(self) -> Space {
        match self {
            Self::Session => Space::Session,
            Self::Event => Space::Event,
        }
    }
}

/// A key and what stands there.
pub type ShelfRow = (Vec<u8>, Vec<u8>);

/// One change of a shelf.
#[derive(Clone, Debug)]
pub enum ShelfWrite {
    Put(Shelf, Vec<u8>, Vec<u8>),
    Delete(Shelf, Vec<u8>),
    DeletePrefix(Shelf, Vec<u8>),
    /// The reports that a task kept for a stream.
    ForgetReports(TaskId),
}

impl TaskEngine {
    pub async fn shelved(&self, shelf: Shelf, key: &[u8]) -> Result<Option<Arc<[u8]>>, EngineError> {
        let key = key.to_vec();
        Ok(self.shared.store.read(move |snapshot| snapshot.get(shelf.space(), &key)).await?)
    }

    /// At most `limit` rows in key order: those that begin with `prefix`, behind `after`.
    pub async fn shelf(
        &self,
        shelf: Shelf,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<ShelfRow>, EngineError> {
        let (prefix, after) = (prefix.to_vec(), after.map(<[u8]>::to_vec));
        let read = move |snapshot: &Snapshot<'_>| {
            let start = after.as_deref().map_or(Bound::Included(&prefix[..]), Bound::Excluded);
            let mut rows = Vec::new();
            snapshot.scan(shelf.space(), (start, Bound::Unbounded), false, |key, row| {
                if rows.len() == limit || !key.starts_with(&prefix) {
                    return ControlFlow::Break(());
                }
                rows.push((key.to_vec(), row.to_vec()));
                ControlFlow::Continue(())
            })?;
            Ok(rows)
        };
        Ok(self.shared.store.read(read).await?)
    }

    /// All or nothing, durable when this returns.
    pub async fn shelve(&self, writes: Vec<ShelfWrite>) -> Result<(), EngineError> {
        let mut commit = Commit::new();
        add(&mut commit, writes);
        if !commit.is_empty() {
            self.shared.commit(commit)?.await?;
        }
        Ok(())
    }
}

pub(super) fn add(batch: &mut Batch, writes: Vec<ShelfWrite>) {
    for write in writes {
        match write {
            ShelfWrite::Put(shelf, key, row) => batch.add_put(shelf.space(), key, row),
            ShelfWrite::Delete(shelf, key) => batch.add_delete(shelf.space(), key),
            ShelfWrite::DeletePrefix(shelf, prefix) => batch.add_delete_prefix(shelf.space(), prefix),
            ShelfWrite::ForgetReports(task) => {
                batch.add_delete_prefix(Space::Report, task.as_bytes().as_slice());
            }
        }
    }
}
