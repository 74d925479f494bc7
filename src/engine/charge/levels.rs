//! What one task has in the store, as far as memory knows, and what it is counted with.

use super::cost::{change, first, of_row};
use crate::limits;
use crate::store::{Batch, Change, Space, StoreError};
use crate::task::TaskId;

/// Spaces whose rows are a task's own to fill, each under a key that begins with its id. What else a task has is small,
/// and part of what it is counted with from its beginning.
pub const SPACES: [Space; 9] = [
    Space::Journal,
    Space::Op,
    Space::Checkpoint,
    Space::Output,
    Space::Log,
    Space::Report,
    Space::Message,
    Space::Question,
    Space::Result,
];

/// Of them the first so many are emptied while a task is there, and counted one by one.
const EMPTIED: usize = 5;

/// About what a task has, never less: rows that are written again are counted again, until all of their kind go. Small,
/// since every open task has one in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Levels {
    of: [u64; EMPTIED],
    trace: Trace,
    /// What is there besides, large payloads among it, and all of which it is not known in which space it is.
    rest: u64,
}

/// Rows of the trace: the last one is written again, longer, until the next one begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Trace {
    bytes: u32,
    last: [u8; 6],
    of_last: u32,
}

/// What a task is counted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// From its beginning, as far as it is known what it has of that.
    first: u64,
    /// Besides the first bytes.
    more: u64,
    levels: Levels,
    /// It is known which spaces they are in.
    is_known: bool,
}

impl Levels {
    fn sum(&self) -> u64 {
        self.of.iter().sum::<u64>() + u64::from(self.trace.bytes) + self.rest
    }

    /// Takes in what a batch does to the rows of this task, whose trace has at most so many bytes.
    fn take_in(&mut self, task: TaskId, batch: &Batch, most_trace: u64) -> Result<(), StoreError> {
        let id = task.as_bytes();
        let mut last_blob = ([0; 32], 0);
        batch.visit(|change| match change {
            Change::Put { space: Space::Blob, key, value } => {
                last_blob = (key.try_into().unwrap_or_default(), of_row(key.len(), value));
            }
            // It stands behind its blob.
            Change::Put { space: Space::BlobRef, key, .. } => {
                if key.split_first_chunk::<32>() == Some((&last_blob.0, id.as_slice())) {
                    self.rest += last_blob.1;
                }
            }
            Change::Put { space: Space::Trace, key, value } if key.starts_with(id) => {
                self.trace.put(key, value, most_trace);
            }
            Change::Put { space, key, value } if key.starts_with(id) => {
                if SPACES.contains(&space) {
                    *self.level_or_rest(space) += of_row(key.len(), value);
                }
            }
            // Of a journal there is one epoch.
            Change::DeletePrefix { space, prefix } => {
                let is_all = prefix == id || matches!(space, Space::Journal | Space::Op);
                if is_all
                    && prefix.starts_with(id)
                    && let Some(level) = self.level(space)
                {
                    *level = 0;
                }
            }
            Change::Put { .. } => {}
        })
    }

    /// So much of the rest is in this space.
    fn find(&mut self, space: Space, bytes: u64) {
        let bytes = bytes.min(self.rest);
        match self.level(space) {
            Some(level) => *level += bytes,
            None if space == Space::Trace => {
                self.trace.bytes = self.trace.bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
            }
            None => return,
        }
        self.rest -= bytes;
    }

    fn level(&mut self, space: Space) -> Option<&mut u64> {
        SPACES[..EMPTIED].iter().position(|of| *of == space).map(|place| &mut self.of[place])
    }

    fn level_or_rest(&mut self, space: Space) -> &mut u64 {
        match SPACES[..EMPTIED].iter().position(|of| *of == space) {
            Some(place) => &mut self.of[place],
            None => &mut self.rest,
        }
    }
}

impl Trace {
    fn put(&mut self, key: &[u8], value: usize, most: u64) {
        let small = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
        let (place, bytes) = (key.last_chunk().copied().unwrap_or_default(), small(of_row(key.len(), value)));
        let before = if place == self.last { self.of_last } else { 0 };
        (self.last, self.of_last) = (place, bytes.max(before));
        self.bytes = self.bytes.saturating_add(self.of_last - before).min(small(most));
    }
}

impl Charge {
    /// Of a new task with so long arguments.
    pub fn new(arguments: usize) -> Self {
        let rest = limits::TASK_ROWS_BYTES + arguments as u64;
        let levels = Levels { rest, ..Levels::default() };
        Self { first: first(arguments), more: 0, levels, is_known: true }
    }

    /// Of a task on disk that is counted with so much more than at first. What it has is not known: it may as well have
    /// all of that.
    pub fn stored(more: u64) -> Self {
        Self { first: 0, more, levels: Levels { rest: more, ..Levels::default() }, is_known: false }
    }

    /// With what is known of a part of it, where nothing was.
    #[must_use]
    pub fn with(mut self, known: &[(Space, u64)]) -> Self {
        if std::mem::replace(&mut self.is_known, true) {
            return self;
        }
        for (space, bytes) in known {
            self.levels.find(*space, *bytes);
        }
        self
    }

    pub fn total(&self) -> u64 {
        self.first + self.more
    }

    /// The same with what a batch does, and by how much what it is counted with changes. One that is over gives back
    /// what it does not need.
    pub fn with_batch(
        mut self,
        task: TaskId,
        batch: &Batch,
        most_trace: u64,
        is_over: bool,
    ) -> Result<(Self, i64), StoreError> {
        let before = self.more;
        self.levels.take_in(task, batch, most_trace)?;
        let needed = self.levels.sum().saturating_sub(self.first);
        if needed > self.more {
            let step = if is_over { 1 } else { limits::CHARGE_STEP_BYTES };
            self.more = needed.next_multiple_of(step);
        } else if is_over && self.more - needed >= limits::CHARGE_RETURN_BYTES {
            self.more = needed;
        }
        Ok((self, change(self.more) - change(before)))
    }
}
