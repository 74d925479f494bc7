//! What one commit does to one task, as a value: the status as it will be, the rows that say so, what follows.

use crate::clock::UnixNanos;
use crate::engine::commit::Commit;
use crate::engine::effect::{Counter, Effect};
use crate::engine::feed::ResourceKey;
use crate::engine::journal::ops::OpRow;
use crate::engine::rows;
use crate::engine::rows::open::{Listed, OpenRow, encode_open};
use crate::store::{Space, StoreError};
use crate::task::{Status, TaskId};

/// What one commit does to one task.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// As it will be.
    pub status: Status,
    pub rows: Vec<RowWrite>,
    /// What follows once the rows are on disk.
    pub effects: Vec<Effect>,
    pub instance: Instance,
}

/// What a change means for the task's live instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// There is one afterwards if there was one before.
    Stays,
    /// One begins, under a lease of its own.
    Begins,
    /// It goes; what it recorded last is part of the commit.
    Goes,
    /// It goes, and nothing will replay what it recorded last.
    GoesUnrecorded,
}

/// One row, or one kind of rows, of the task.
#[derive(Clone, Debug, PartialEq)]
pub enum RowWrite {
    /// The status of the change.
    Status,
    /// The task is among the open ones, with what it waits for by the status of the change.
    Open,
    NotOpen,
    /// The task is among those that ended, at this time.
    Ended(UnixNanos),
    NotEnded(UnixNanos),
    /// What a completed task returns, encoded.
    Result(Vec<u8>),
    /// An operation of the present epoch.
    Op(u64, OpRow),
    /// A row that a retry rewrites to keep a part of what there was.
    Put(Space, Vec<u8>, Vec<u8>),
    Delete(Space, Vec<u8>),
    /// All rows of this task in this space.
    DeleteAll(Space),
    DeletePrefix(Space, Vec<u8>),
}

impl Change {
    /// Whether an attempt that read the rows before would go on from what they are not any more.
    pub fn rewrites_past(&self) -> bool {
        self.rows.iter().any(|row| match row {
            RowWrite::Op(..)
            | RowWrite::Put(..)
            | RowWrite::Delete(..)
            | RowWrite::DeleteAll(_)
            | RowWrite::DeletePrefix(..) => true,
            RowWrite::Status
            | RowWrite::Open
            | RowWrite::NotOpen
            | RowWrite::Ended(_)
            | RowWrite::NotEnded(_)
            | RowWrite::Result(_) => false,
        })
    }

    /// The list of open tasks is to say something else than it says of a task that stands at `before`.
    pub fn list_anew(&mut self, listed: Listed<'_>, before: &Status) {
        let is_written = self.rows.iter().any(|row| matches!(row, RowWrite::Open | RowWrite::NotOpen));
        let waits = before.wake.is_some() || self.status.wake.is_some();
        if !is_written && waits && OpenRow::of(listed, before) != OpenRow::of(listed, &self.status) {
            self.rows.push(RowWrite::Open);
        }
    }

    /// Adds the rows to a commit, and moves the effects there.
    pub fn add_to(&mut self, id: TaskId, listed: Listed<'_>, commit: &mut Commit) -> Result<(), StoreError> {
        debug_assert!(
            self.is_noticed(id),
            "a status is written, and who knows the one before goes on with it"
        );
        for row in &self.rows {
            row.add_to(id, listed, &self.status, commit)?;
        }
        commit.effects.append(&mut self.effects);
        Ok(())
    }
}

impl Change {
    /// Whether what was read of the task is forgotten where its status is written. Nothing was read of a new one.
    fn is_noticed(&self, id: TaskId) -> bool {
        !self.rows.contains(&RowWrite::Status)
            || self.effects.iter().any(|effect| match effect {
                Effect::Changed(ResourceKey::Task(task)) | Effect::Rewritten(task) => *task == id,
                effect => *effect == Effect::Counted(Counter::Submitted),
            })
    }
}

impl RowWrite {
    fn add_to(
        &self,
        id: TaskId,
        listed: Listed<'_>,
        status: &Status,
        commit: &mut Commit,
    ) -> Result<(), StoreError> {
        let key = id.as_bytes().as_slice();
        match self {
            Self::Status => commit.add_put(Space::Status, key, rows::encode_status(status)?),
            Self::Open => commit.add_put(Space::Open, key, encode_open(listed, status)?),
            Self::NotOpen => commit.add_delete(Space::Open, key),
            Self::Ended(at) => commit.add_put(Space::Ended, rows::ended_key(*at, id), []),
            Self::NotEnded(at) => commit.add_delete(Space::Ended, rows::ended_key(*at, id)),
            Self::Result(result) => {
                let payload = rows::put_payload(commit, id, result);
                commit.add_put(Space::Result, key, rows::encode(&payload)?);
            }
            Self::Op(number, row) => {
                commit.add_put(Space::Op, rows::journal_key(id, status.epoch, *number), rows::encode(row)?);
            }
            Self::Put(space, key, value) => commit.add_put(*space, key, value),
            Self::Delete(space, key) => commit.add_delete(*space, key),
            Self::DeleteAll(space) => commit.add_delete_prefix(*space, key),
            Self::DeletePrefix(space, prefix) => commit.add_delete_prefix(*space, prefix),
        }
        Ok(())
    }
}
