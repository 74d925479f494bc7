//! Rows that a wing keeps in the same store: the engine stores them and knows nothing of what they say.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::store::{Batch, Need, Snapshot, Space};
use crate::task::TaskId;

/// Where the rows stand. Each wing has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WingSpace {
    /// Sessions of clients.
    Session,
    /// Streams that clients come back to.
    Event,
}

impl WingSpace {
    fn space(self) -> Space {
        match self {
            Self::Session => Space::Session,
            Self::Event => Space::Event,
        }
    }
}

/// A key and what stands there.
pub type WingRow = (Vec<u8>, Vec<u8>);

/// One change of a wing's rows.
#[derive(Clone, Debug)]
pub enum WingWrite {
    Put(WingSpace, Vec<u8>, Vec<u8>),
    Delete(WingSpace, Vec<u8>),
    DeletePrefix(WingSpace, Vec<u8>),
    /// The reports that a task kept for a stream.
    ForgetReports(TaskId),
}

impl TaskEngine {
    pub async fn wing_row(&self, space: WingSpace, key: &[u8]) -> Result<Option<Arc<[u8]>>, EngineError> {
        let key = key.to_vec();
        Ok(self.shared.store.read(move |snapshot| snapshot.get(space.space(), &key)).await?)
    }

    /// At most `limit` rows in key order: those that begin with `prefix`, behind `after`.
    pub async fn wing_rows(
        &self,
        space: WingSpace,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<WingRow>, EngineError> {
        let (prefix, after) = (prefix.to_vec(), after.map(<[u8]>::to_vec));
        let read = move |snapshot: &Snapshot<'_>| {
            let start = after.as_deref().map_or(Bound::Included(&prefix[..]), Bound::Excluded);
            let mut rows = Vec::new();
            snapshot.scan(space.space(), (start, Bound::Unbounded), false, |key, row| {
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
    pub async fn put_wing_rows(&self, writes: Vec<WingWrite>) -> Result<(), EngineError> {
        let (mut commit, need) = (Commit::new(), need_of(&writes));
        add(&mut commit, writes);
        if !commit.is_empty() {
            commit.add_need(need);
            self.shared.commit(commit)?.await?;
        }
        Ok(())
    }
}

/// What these may have of a disk that is nearly full: sessions, of which there are only so many, are what a client reads
/// and cancels through.
fn need_of(writes: &[WingWrite]) -> Need {
    let need = |write: &WingWrite| match write {
        WingWrite::Put(WingSpace::Event, ..) => Need::Growth,
        WingWrite::Put(WingSpace::Session, ..) => Need::End,
        WingWrite::Delete(..) | WingWrite::DeletePrefix(..) | WingWrite::ForgetReports(_) => Need::Relief,
    };
    writes.iter().map(need).min().unwrap_or_default()
}

pub(super) fn add(batch: &mut Batch, writes: Vec<WingWrite>) {
    for write in writes {
        match write {
            WingWrite::Put(space, key, row) => batch.add_put(space.space(), key, row),
            WingWrite::Delete(space, key) => batch.add_delete(space.space(), key),
            WingWrite::DeletePrefix(space, prefix) => batch.add_delete_prefix(space.space(), prefix),
            WingWrite::ForgetReports(task) => {
                batch.add_delete_prefix(Space::Report, task.as_bytes().as_slice());
            }
        }
    }
}
