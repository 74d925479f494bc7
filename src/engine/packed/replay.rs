//! An exported task is replayed in a scratch engine: nothing new is done, and what the guest does is held against what its
//! journal says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::error::PackError;
use super::task::Exported;
use super::unpack::{AsTask, check, check_component};
use crate::authority::{Grant, Principal, StatePattern};
use crate::clock::ManualClock;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::open::EngineOptions;
use crate::engine::probe::{Difference, Plan, Probe};
use crate::engine::query::journal::{RecordView, views};
use crate::engine::query::tasks::TaskEnd;
use crate::engine::query::view::TaskView;
use crate::engine::runner::Runner;
use crate::limits;
use crate::store::{DiskBounds, StoreOptions};
use crate::task::{FailedReason, State, ToolResult};

/// What a replay came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Replayed {
    /// Records that the guest passed, those before its checkpoint included.
    pub passed: u64,
    /// Where it does otherwise than its journal says, or than what it had begun.
    pub difference: Option<Difference>,
    /// The journal, record by record.
    pub records: Vec<RecordView>,
    pub end: ReplayEnd,
    /// What the guest printed meanwhile.
    pub log: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ReplayEnd {
    /// All was replayed: what the guest does next is new.
    Live,
    /// It stands where it was to stop.
    Stopped,
    /// The guest returned.
    Completed(ToolResult),
    /// The guest does otherwise than its journal says.
    Differs { message: String },
    /// The guest trapped.
    Trapped { message: String, detail: Option<String> },
    /// It ended otherwise.
    Failed { reason: &'static str, message: String },
    /// It took longer than it may: [`limits::MAX_REPLAY_SECONDS`] or, where it is tried, [`limits::MAX_TRIAL_SECONDS`].
    TooLong,
}

impl ReplayEnd {
    /// Whether the guest did as its journal says, as far as that goes.
    pub fn is_faithful(&self) -> bool {
        match self {
            Self::Live | Self::Stopped | Self::Completed(_) | Self::Trapped { .. } => true,
            // What stood in the way is not the guest's.
            Self::Failed { reason, .. } => !NOT_THE_GUEST.contains(reason),
            Self::Differs { .. } | Self::TooLong => false,
        }
    }
}

/// Reasons of which no journal says anything.
const NOT_THE_GUEST: [&str; 4] = ["host_fault", "missing_component", "damaged", "refused"];

/// What is replayed, where it is not the exported component itself.
pub(super) struct Instead<'a> {
    pub component: &'a Arc<[u8]>,
    pub binding: &'a str,
    pub grant: Grant,
    pub owner_state: &'a [StatePattern],
}

/// Where and how long an exported task is replayed.
pub(super) struct Stage<'a> {
    /// Its scratch store's, which must be empty; `None` is in memory.
    pub folder: Option<&'a Path>,
    /// Up to this record.
    pub until: Option<u64>,
    pub at_most: Duration,
    /// Folders of this machine for slots of an export, by their names: what was read of one in pieces too long for the journal is
    /// read there again.
    pub folders: BTreeMap<String, String>,
}

impl Exported {
    /// Replays the task in `folder`, which must be empty, up to record `until` or to its journal's end. `runner` must let
    /// nothing out, as a played sandbox does: the guest is any that the file holds.
    ///
    /// # Errors
    /// [`EngineError::Packed`] where the file says what cannot be.
    pub async fn replay(
        &self,
        folder: &Path,
        runner: Arc<dyn Runner>,
        until: Option<u64>,
    ) -> Result<Replayed, EngineError> {
        self.replay_in(folder, runner, until, BTreeMap::new()).await
    }

    /// The same with folders of this machine for slots of the task's, by their names. They are read alone, and of them what the
    /// task has read.
    ///
    /// # Errors
    /// [`EngineError::Packed`] also where the task has no such slot.
    pub async fn replay_in(
        &self,
        folder: &Path,
        runner: Arc<dyn Runner>,
        until: Option<u64>,
        folders: BTreeMap<String, String>,
    ) -> Result<Replayed, EngineError> {
        let slots: Vec<&str> = self.task.grant.files.iter().map(|file| file.slot.as_str()).collect();
        if let Some(unknown) = folders.keys().find(|slot| !slots.contains(&slot.as_str())) {
            let has = if slots.is_empty() {
                "none".to_owned()
            } else {
                slots.join(", ").escape_debug().to_string()
            };
            let words = format!("it has no slot '{}' for a folder; it has: {has}", unknown.escape_debug());
            return Err(EngineError::Packed(words));
        }
        let at_most = Duration::from_secs(limits::MAX_REPLAY_SECONDS);
        self.replay_with(Stage { folder: Some(folder), until, at_most, folders }, runner, None).await
    }

    pub(super) async fn replay_with(
        &self,
        stage: Stage<'_>,
        runner: Arc<dyn Runner>,
        instead: Option<Instead<'_>>,
    ) -> Result<Replayed, EngineError> {
        let Stage { folder, until, at_most, folders } = stage;
        let bad = |error: PackError| EngineError::Packed(error.to_string());
        let owner_state = match &instead {
            Some(instead) => instead.owner_state.to_vec(),
            // An export does not say; most owners may touch what the component may.
            None => Principal::local().state().to_vec(),
        };
        let checked = check(self).map_err(bad)?;
        if instead.is_none() {
            check_component(self).map_err(bad)?;
        }
        let bytes: Arc<[u8]> = match &instead {
            Some(instead) => instead.component.clone(),
            None => self.component.as_slice().into(),
        };
        let mut exported = self.clone();
        exported.task.grant = match &instead {
            Some(instead) => {
                exported.task.binding = instead.binding.to_owned();
                instead.grant.clone().without_sources()
            }
            // Who wrote the file does not say which folders of this machine are read.
            None => exported.task.grant.without_bindings().with_folders(&folders),
        };
        let probe = Arc::new(Probe::new(Plan::ReplayAlone { until }));
        // It stands still: the guest's time is what its journal says.
        let clock = Arc::new(ManualClock::starting_at(self.head.created_at.min(limits::LAST_WALL_NANOS)));
        let disk = DiskBounds { reserve: Some(0), watermark: Some(0) };
        let mut store = StoreOptions { disk, ..StoreOptions::default() };
        if folder.is_none() {
            // It would hold what is in memory once more.
            store.cache_bytes = limits::TRIAL_CACHE_BYTES;
        }
        let options = EngineOptions {
            store,
            clock,
            retention: None,
            audit_retention: None,
            probe: Some(probe.clone()),
            ..EngineOptions::default()
        };
        let records = views(&self.records, self.head.first_record, &*runner);
        let engine = match folder {
            Some(folder) => TaskEngine::open(folder, runner, options).await?,
            None => TaskEngine::open_in_memory(runner, options).await?,
        };
        let component = engine.store_component(bytes, "replayed").await;
        let end = match component {
            Ok(component) => {
                let as_task = AsTask { component, owner_state, created_at: engine.now() };
                exported.run(&engine, &checked, as_task, &probe, (until, at_most)).await
            }
            Err(error) => Err(error),
        };
        engine.shutdown().await;
        let (passed, difference) = (probe.taken().records, probe.difference());
        Ok(Replayed { passed, difference, records, end: end?, log: probe.log() })
    }

    async fn run(
        &self,
        engine: &TaskEngine,
        checked: &super::unpack::Checked,
        as_task: AsTask,
        probe: &Probe,
        (until, at_most): (Option<u64>, Duration),
    ) -> Result<ReplayEnd, EngineError> {
        engine.unpack(self, checked, as_task).await?;
        engine.start().await?;
        let (owner, id) = (Principal::local(), self.task.id);
        let view = tokio::select! {
            () = probe.over() => {
                let stands = until.is_some_and(|until| probe.taken().records >= until);
                return Ok(if stands { ReplayEnd::Stopped } else { ReplayEnd::Live });
            }
            view = engine.wait(&owner, id, at_most) => view?,
        };
        match engine.result(&owner, id).await? {
            TaskEnd::Completed(result) => Ok(ReplayEnd::Completed(result)),
            _ => Ok(of_view(&view)),
        }
    }
}

fn of_view(view: &TaskView) -> ReplayEnd {
    let error = view.error.as_ref();
    let message = error.map(|error| error.message.clone()).unwrap_or_default();
    match view.state {
        State::Failed(FailedReason::Diverged) => ReplayEnd::Differs { message },
        State::Failed(FailedReason::Trap) => {
            ReplayEnd::Trapped { message, detail: error.and_then(|error| error.detail.clone()) }
        }
        state if state.is_terminal() => {
            ReplayEnd::Failed { reason: state.reason().unwrap_or(state.name()), message }
        }
        _ => ReplayEnd::TooLong,
    }
}
