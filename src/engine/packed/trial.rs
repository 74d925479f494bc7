//! Whether open tasks would go on with another component: each one's journal is replayed with it, without effects.

use std::path::Path;
use std::sync::Arc;

use super::replay::{Instead, ReplayEnd};
use super::task::Exported;
use crate::authority::Principal;
use crate::catalog::Component;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::runner::Runner;
use crate::task::{ComponentId, TaskId};

/// What became of one task's replay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trial {
    pub task: TaskId,
    pub tool: String,
    /// Records in its journal, those before its checkpoint included.
    pub records: u64,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It comes to the end of its journal, and would go on there.
    GoesOn,
    /// It does otherwise than the journal says, at this record or before it.
    Differs { record: u64, words: String },
    /// It ends before its journal does, or cannot begin.
    Fails { words: String },
}

impl Verdict {
    /// In words, for a person.
    pub fn words(&self) -> String {
        match self {
            Self::GoesOn => "would go on".to_owned(),
            Self::Differs { record, words } => format!("differs at step {record}: {words}"),
            Self::Fails { words } => format!("would not go on: {words}"),
        }
    }
}

impl TaskEngine {
    /// Replays the journals of all open tasks of a component with another one, each in a folder of its own in `scratch`.
    /// Nothing of it changes a task. `runner` must let nothing out, as a played sandbox does.
    ///
    /// # Errors
    /// Where the store cannot be read, or `scratch` not be written; what a task comes to is no error.
    pub async fn try_component(
        &self,
        component: &ComponentId,
        (other, bytes): (&Component, &Arc<[u8]>),
        runner: &Arc<dyn Runner>,
        scratch: &Path,
    ) -> Result<Vec<Trial>, EngineError> {
        let mut open: Vec<TaskId> = self.shared.open_tasks().keys().copied().collect();
        open.sort_unstable();
        let mut trials = Vec::new();
        for id in open {
            let exported = match self.export(&Principal::local().overseeing(), id).await {
                // It has ended meanwhile.
                Err(EngineError::NoSuchTask(_)) => continue,
                exported => exported?,
            };
            if exported.head.component != component.as_str() {
                continue;
            }
            let folder = scratch.join(id.to_string());
            let verdict = exported.tried(&folder, (other, bytes), runner).await;
            remove(folder).await?;
            let (tool, records) = (exported.head.tool.clone(), exported.end());
            trials.push(Trial { task: id, tool, records, verdict: verdict? });
        }
        Ok(trials)
    }
}

impl Exported {
    /// The number of the record behind its journal.
    fn end(&self) -> u64 {
        self.head.first_record.saturating_add(self.head.records)
    }

    async fn tried(
        &self,
        folder: &Path,
        (other, component): (&Component, &Arc<[u8]>),
        runner: &Arc<dyn Runner>,
    ) -> Result<Verdict, EngineError> {
        let fails = |words: String| Ok(Verdict::Fails { words });
        let Some(entry) = other.tools.iter().find(|entry| entry.tool.definition.name == self.head.tool)
        else {
            return fails(format!("the other component has no tool {}", self.head.tool));
        };
        let arguments = serde_json::from_str(&self.task.arguments).unwrap_or_default();
        if let Err(error) = entry.accept(&arguments) {
            return fails(format!("its arguments do not fit any more: {error}"));
        }
        let instead = Instead { component, binding: &entry.tool.binding };
        let replayed = self.replay_with(folder, runner.clone(), None, Some(instead)).await?;
        Ok(match replayed.end {
            ReplayEnd::Live | ReplayEnd::Stopped | ReplayEnd::Completed(_) => Verdict::GoesOn,
            ReplayEnd::Differs { message } => Verdict::Differs { record: replayed.passed, words: message },
            ReplayEnd::Trapped { message, .. } => Verdict::Fails { words: format!("it traps: {message}") },
            ReplayEnd::Failed { reason, message } => Verdict::Fails { words: format!("{reason}: {message}") },
            ReplayEnd::TooLong => Verdict::Fails { words: "its replay takes too long".to_owned() },
        })
    }
}

async fn remove(folder: std::path::PathBuf) -> Result<(), EngineError> {
    let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
    match removed {
        Ok(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(EngineError::Internal(format!("a scratch folder cannot be removed: {error}")))
        }
        _ => Ok(()),
    }
}
