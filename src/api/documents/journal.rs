//! A journal for people and programs: `longhaul task journal ID` and `task://{id}/journal`.

use serde::{Deserialize, Serialize};

use crate::engine::{JournalView, RecordView};

/// A task's journal, for people.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JournalDocument {
    pub task: String,
    pub epoch: u32,
    pub records: Vec<RecordDocument>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordDocument {
    /// Number of the record; what `task retry --from` takes.
    pub step: u64,
    /// What kind of record it is, in the runner's words.
    pub kind: String,
    /// What it stands for, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    pub bytes: u64,
}

impl From<JournalView> for JournalDocument {
    fn from(journal: JournalView) -> Self {
        Self {
            task: journal.task.to_string(),
            epoch: journal.epoch,
            records: journal.records.into_iter().map(RecordDocument::from).collect(),
        }
    }
}

impl From<RecordView> for RecordDocument {
    fn from(RecordView { step, kind, about, bytes }: RecordView) -> Self {
        Self { step, kind, about, bytes }
    }
}
