//! What memory holds of a row.

use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::limits::{MAX_BATCH_LOG_BYTES, MAX_GROUP_BYTES};

/// What a layer says about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Value(Value),
    Deleted,
    /// The base table holds the newest value: it was too large for the log.
    InBase,
}

/// A value, in the log row that brought it: the values of a row share one piece of memory, and nothing is copied.
#[derive(Debug, Clone)]
pub(super) struct Value {
    row: Arc<Vec<u8>>,
    from: u32,
    to: u32,
}

const _: () = assert!(MAX_GROUP_BYTES + MAX_BATCH_LOG_BYTES < u32::MAX as usize);

impl Value {
    pub fn new(row: Arc<Vec<u8>>, range: Range<usize>) -> Self {
        Self { row, from: range.start as u32, to: range.end as u32 }
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self::new(Arc::new(bytes), range)
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.row[self.from as usize..self.to as usize]
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Value {}
