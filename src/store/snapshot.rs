//! A consistent read, whatever the store is kept in.

use std::ops::{Bound, ControlFlow, RangeBounds};
use std::sync::Arc;

use super::error::StoreError;
use super::file;
#[cfg(test)]
use super::memory;
use super::space::Space;
use crate::task::TaskId;

/// The store as of one moment, for the length of one closure. Commits wait while it is held: read, and go.
pub struct Snapshot<'a> {
    of: Of<'a>,
    /// Only rows of this task are read.
    held: Option<TaskId>,
}

#[cfg_attr(
    test,
    expect(clippy::large_enum_variant, reason = "one a read, on the stack; a test's is the small one")
)]
enum Of<'a> {
    File(file::Snapshot<'a>),
    #[cfg(test)]
    Memory(memory::Snapshot<'a>),
}

impl<'a> Snapshot<'a> {
    pub(super) fn of_file(snapshot: file::Snapshot<'a>) -> Self {
        Self { of: Of::File(snapshot), held: None }
    }

    #[cfg(test)]
    pub(super) fn of_memory(snapshot: memory::Snapshot<'a>) -> Self {
        Self { of: Of::Memory(snapshot), held: None }
    }

    /// Of which only the rows of `task` are read.
    pub(super) fn held(self, task: TaskId) -> Self {
        Self { held: Some(task), ..self }
    }

    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.check(space, key);
        match &self.of {
            Of::File(file) => file.get(space, key),
            #[cfg(test)]
            Of::Memory(memory) => Ok(memory.get(space, key)),
        }
    }

    pub fn contains(&self, space: Space, key: &[u8]) -> Result<bool, StoreError> {
        self.check(space, key);
        match &self.of {
            Of::File(file) => file.contains(space, key),
            #[cfg(test)]
            Of::Memory(memory) => Ok(memory.get(space, key).is_some()),
        }
    }

    /// Visits the rows whose keys start with `prefix`, in key order or against it.
    pub fn scan_prefix(
        &self,
        space: Space,
        prefix: &[u8],
        reverse: bool,
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.check(space, prefix);
        match &self.of {
            Of::File(file) => file.scan_prefix(space, prefix, reverse, visit),
            #[cfg(test)]
            Of::Memory(memory) => {
                memory.scan_prefix(space, prefix, reverse, visit);
                Ok(())
            }
        }
    }

    /// Visits the rows whose keys are in `range`, in key order or against it. A range of slices is written
    /// as a pair of bounds: `(Bound::Included(from), Bound::Excluded(to))`.
    pub fn scan(
        &self,
        space: Space,
        range: impl RangeBounds<[u8]>,
        reverse: bool,
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let range = (range.start_bound(), range.end_bound());
        if is_empty(&range) {
            return Ok(());
        }
        match &range {
            (Bound::Included(from) | Bound::Excluded(from), _) => self.check(space, from),
            (Bound::Unbounded, _) => self.check(space, &[]),
        }
        match &self.of {
            Of::File(file) => file.scan(space, range, reverse, visit),
            #[cfg(test)]
            Of::Memory(memory) => {
                memory.scan(space, range, reverse, visit);
                Ok(())
            }
        }
    }

    /// A program that is being developed ends where a row is read that is not the held task's: on a store of several
    /// nodes it would not be at hand. A range that begins with the task's rows is taken to end with them.
    fn check(&self, space: Space, key: &[u8]) {
        debug_assert!(
            self.held.is_none_or(|task| key.starts_with(task.as_bytes())),
            "a row of {space} is read that is not the held task's"
        );
    }
}

/// Whether the bounds leave nothing between them; a map panics on some of those.
fn is_empty(range: &(Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match range {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
            from >= to
        }
        _ => false,
    }
}
