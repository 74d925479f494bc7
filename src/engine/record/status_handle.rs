//! What a step may do to its task's status while it has the live instance.

use crate::engine::memory::entry::Anchor;
use crate::task::Status;

/// An entry apart from its live instance: its status and its clock.
pub(in crate::engine) struct StatusHandle<'a> {
    pub(super) status: &'a mut Status,
    pub(super) status_dirty: bool,
    pub(super) anchor: Option<Anchor>,
}

impl StatusHandle<'_> {
    pub fn status(&self) -> &Status {
        self.status
    }

    /// The status goes with the next commit.
    pub fn status_mut(&mut self) -> &mut Status {
        self.status_dirty = true;
        self.status
    }

    pub fn epoch(&self) -> u32 {
        self.status.epoch
    }

    pub fn retry(&self) -> u32 {
        self.status.retry
    }
}
