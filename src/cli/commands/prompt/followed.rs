//! A task that a client follows.

use std::collections::BTreeSet;

use tokio::task::JoinHandle;

use super::memory::Entry;
use crate::api::TaskDocument;
use crate::cli::show::short;

/// A remembered task, followed until its end is shown.
pub struct Followed {
    pub entry: Entry,
    /// How it stood last.
    pub last: Option<TaskDocument>,
    /// What it does is shown as it does it.
    pub attached: bool,
    /// What was said of it last: the same is not said twice.
    pub said: String,
    /// Questions that were shown already.
    pub announced: BTreeSet<String>,
    /// Questions that were answered here, whatever a document of before says, or put off.
    pub dealt_with: BTreeSet<String>,
    pub follower: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Followed {
    pub fn name(&self) -> String {
        let tool = &self.entry.tool;
        self.entry.id.map_or_else(|| tool.clone(), |id| format!("{tool} {}", short(id)))
    }
}
