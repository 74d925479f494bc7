//! A backup of what the engine keeps, while it runs.

use std::io::Write;

use crate::engine::handle::TaskEngine;
use crate::store::{BackupError, BackupSummary};

impl TaskEngine {
    /// Writes all that is acknowledged by now into `out`, as one stream that says of itself whether it is whole. Tasks
    /// go on meanwhile. For threads that may block.
    pub fn back_up(&self, out: impl Write) -> Result<BackupSummary, BackupError> {
        self.shared.store.back_up(self.shared.clock.wall(), out)
    }
}
