//! What a batch is about to change, for who counts it.

use super::batch::Batch;
use super::error::StoreError;
use super::frame::{self, Logged};
use super::space::Space;

/// What a batch does to one row, or to all whose keys begin so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    Put {
        space: Space,
        key: &'a [u8],
        /// Its length.
        value: usize,
    },
    DeletePrefix {
        space: Space,
        prefix: &'a [u8],
    },
}

impl Batch {
    /// Shows what it changes, in order; single rows that go are left out.
    pub fn visit(&self, mut visit: impl FnMut(Change<'_>)) -> Result<(), StoreError> {
        let mut large = self.direct.iter();
        frame::read_ops(&self.frame, |op| match op {
            Logged::Put { space, key, value } => visit(Change::Put { space, key, value: value.len() }),
            Logged::Direct { space, key } => {
                let value = large.next().map_or(0, |(.., value)| value.len());
                visit(Change::Put { space, key, value });
            }
            Logged::DeletePrefix { space, prefix } => visit(Change::DeletePrefix { space, prefix }),
            Logged::Delete { .. } => {}
        })
        .map_err(|why| StoreError::damaged("a batch in memory", why))
    }
}
