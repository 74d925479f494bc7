//! A consistent read, whatever the store is kept in.

use std::ops::{Bound, ControlFlow, RangeBounds};
use std::sync::Arc;

use super::error::StoreError;
use super::file;
#[cfg(test)]
use super::memory;
use super::space::Space;

/// The store as of one moment, for the length of one closure. Commits wait while it is held: read, and go.
pub struct Snapshot<'a>(Of<'a>);

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
        Self(Of::File(snapshot))
    }

    #[cfg(test)]
    pub(super) fn of_memory(snapshot: memory::Snapshot<'a>) -> Self {
        Self(Of::Memory(snapshot))
    }

    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Arc<[u8]>>, StoreError> {
        match &self.0 {
            Of::File(file) => file.get(space, key),
            #[cfg(test)]
            Of::Memory(memory) => Ok(memory.get(space, key)),
        }
    }

    pub fn contains(&self, space: Space, key: &[u8]) -> Result<bool, StoreError> {
        match &self.0 {
            Of::File(file) => file.contains(space, key),
            #[cfg(test)]
            Of::Memory(memory) => Ok(memory.get(space, key).is_some()),
        }
    }

    /// Visit the rows whose keys start with `prefix`, in key order or against it.
    pub fn scan_prefix(
        &self,
        space: Space,
        prefix: &[u8],
        reverse: bool,
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        match &self.0 {
            Of::File(file) => file.scan_prefix(space, prefix, reverse, visit),
            #[cfg(test)]
            Of::Memory(memory) => {
                memory.scan_prefix(space, prefix, reverse, visit);
                Ok(())
            }
        }
    }

    /// Visit the rows whose keys are in `range`, in key order or against it. A range of slices is written
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
        match &self.0 {
            Of::File(file) => file.scan(space, range, reverse, visit),
            #[cfg(test)]
            Of::Memory(memory) => {
                memory.scan(space, range, reverse, visit);
                Ok(())
            }
        }
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
