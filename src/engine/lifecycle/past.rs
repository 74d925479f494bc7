//! Where an attempt gets what it reads: the task, its journal and what goes with it, as they are on disk.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::journal::log_tail::{LogTail, split_log_row};
use crate::engine::journal::ops::Ops;
use crate::engine::journal::records::Journal;
use crate::engine::journal::{checkpoint, prefix};
use crate::engine::memory::entry::{Entry, Live, arguments_in_memory};
use crate::engine::ports::ComponentSource;
use crate::engine::probe::Probe;
use crate::engine::rows;
use crate::engine::shared::Shared;
use crate::engine::trace::{self, LiveTrace, Tracer};
use crate::store::{Snapshot, Space, StoreError};
use crate::task::{ComponentId, Task, TaskId};

/// What a task's rows say of its journal.
pub(super) struct Past {
    pub task: Arc<Task>,
    records: Vec<u8>,
    journal_bytes: u64,
    awake_nanos: u64,
    pub logical: u64,
    log_durable: u64,
    log_hash: Option<[u8; 8]>,
    ops: Ops,
    checkpoint: Option<(checkpoint::CheckpointRow, Arc<[u8]>)>,
    trace: Tracer,
}

/// What an attempt goes on from, with the state's count of what rewrote that; `None` where none is to begin.
pub(super) async fn read_past(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
) -> Result<Option<(Past, u64)>, EngineError> {
    let (cached, fresh, epoch, rewritten, is_read) = {
        let state = entry.lock();
        if state.live.is_some() || state.status.state.is_terminal() {
            return Ok(None);
        }
        let is_read = state.rewritten == state.read;
        (state.task.clone(), state.fresh, state.status.epoch, state.rewritten, is_read)
    };
    if !is_read {
        // Memory knows of it since it was queued, and may be ahead of the disk.
        shared.commit(Commit::new())?.await?;
    }
    let past = match cached {
        Some(task) if fresh => Past::none(task, shared.trace_blocks),
        None if fresh => {
            let id = entry.id;
            let task = shared.store.read_long(move |snapshot| task_of(snapshot, id)).await?;
            Past::none(task, shared.trace_blocks)
        }
        cached => {
            let (id, blocks) = (entry.id, shared.trace_blocks);
            shared.store.read_long(move |snapshot| Past::read(snapshot, id, cached, epoch, blocks)).await?
        }
    };
    if !has_component(shared, &past.task.component).await? {
        return Err(EngineError::NoSuchComponent(past.task.component.clone()));
    }
    Ok(Some((past, rewritten)))
}

fn task_of(snapshot: &Snapshot<'_>, id: TaskId) -> Result<Arc<Task>, StoreError> {
    let task = rows::read_task(snapshot, id)?.map(Arc::new);
    task.ok_or_else(|| StoreError::damaged_row(Space::Task, id.as_bytes(), "the row is missing"))
}

impl Past {
    fn none(task: Arc<Task>, trace_blocks: u32) -> Self {
        Self {
            task,
            records: Vec::new(),
            journal_bytes: 0,
            awake_nanos: 0,
            logical: 0,
            log_durable: 0,
            log_hash: None,
            ops: Ops::default(),
            checkpoint: None,
            trace: Tracer::new(trace_blocks),
        }
    }

    fn read(
        snapshot: &Snapshot<'_>,
        id: TaskId,
        cached: Option<Arc<Task>>,
        epoch: u32,
        trace_blocks: u32,
    ) -> Result<Self, StoreError> {
        let task = match cached {
            Some(task) => task,
            None => task_of(snapshot, id)?,
        };
        let mut past = Self::none(task, trace_blocks);
        if let Some(row) = checkpoint::read(snapshot, id)? {
            let bytes = rows::read_payload(snapshot, &row.state)?;
            (past.awake_nanos, past.logical) = (row.awake_nanos, row.logical);
            past.checkpoint = Some((row, bytes));
        }
        let base = past.checkpoint.as_ref().map_or(0, |(row, _)| row.records);
        let journal = prefix::read_records(snapshot, id, epoch, base)?;
        if let Some((awake_nanos, logical)) = journal.end {
            (past.awake_nanos, past.logical) = (awake_nanos, logical);
        }
        past.ops = Ops::read(snapshot, id, epoch)?;
        past.trace = trace::read(snapshot, id, trace_blocks)?;
        past.journal_bytes = journal.records.len() as u64;
        past.records = journal.records;
        snapshot.scan_prefix(Space::Log, id.as_bytes(), true, |key, row| {
            if let (Some(offset), Some((hash, text))) = (rows::trailing_number(key), split_log_row(row)) {
                past.log_durable = offset + text.len() as u64;
                past.log_hash = Some(hash);
            }
            std::ops::ControlFlow::Break(())
        })?;
        Ok(past)
    }

    /// What it takes of memory.
    pub fn bytes(&self) -> u64 {
        let checkpoint = self.checkpoint.as_ref().map_or(0, |(_, state)| state.len());
        arguments_in_memory(self.task.arguments.len() as u64) + (self.records.len() + checkpoint) as u64
    }

    /// What the task has of what goes when it ends, as far as it was read: never more than there is.
    pub fn known(&self) -> [(Space, u64); 3] {
        let trace = self.trace.stored_bytes();
        [(Space::Journal, self.journal_bytes), (Space::Op, self.ops.bytes()), (Space::Trace, trace)]
    }

    pub fn into_live(
        self,
        probe: Option<Arc<Probe>>,
        begin_trace: impl FnOnce(Tracer, &Journal) -> LiveTrace,
    ) -> Live {
        let awake = Duration::from_nanos(self.awake_nanos);
        let (number, logical, log_start, reports, restored) = match self.checkpoint {
            Some((row, state)) => (row.records, row.logical, row.log_position, row.reports, Some(state)),
            None => (0, 0, 0, 0, None),
        };
        let journal = Journal::resume(self.records, number, logical);
        let trace = begin_trace(self.trace, &journal);
        Live {
            trace,
            journal,
            log: LogTail::new(log_start, self.log_durable, self.log_hash),
            reports,
            changes: Vec::new(),
            effects: Vec::new(),
            writes: Vec::new(),
            report_bytes: 0,
            ops: self.ops,
            journal_bytes: self.journal_bytes,
            awake,
            awake_before: awake,
            replay_spent: Duration::ZERO,
            handles_cancellation: false,
            is_waiting: false,
            idles: false,
            restored,
            enqueued: 0,
            settled: 0,
            committed: Arc::new(AtomicU64::new(0)),
            probe,
        }
    }
}

/// Whether the store has the component. That of an open task stays.
async fn has_component(shared: &Shared, component: &ComponentId) -> Result<bool, StoreError> {
    // Closures are the runner's own; it says so itself if it does not know them.
    if !component.as_str().starts_with("blake3:") {
        return Ok(true);
    }
    let Err(missed) = shared.stored_components.find(component) else { return Ok(true) };
    let key = component.as_str().as_bytes().to_vec();
    let is_there = shared.store.read(move |snapshot| snapshot.contains(Space::Component, &key)).await?;
    if is_there {
        shared.stored_components.note(component.clone(), missed);
    }
    Ok(is_there)
}

pub(super) fn component_source(shared: Arc<Shared>, component: ComponentId) -> ComponentSource {
    ComponentSource::new(move || {
        let digest = component.digest().ok_or_else(|| format!("{component} has no bytes"))?;
        shared
            .store
            .read_blocking(|snapshot| rows::read_blob(snapshot, &digest))
            .map_err(|error| error.to_string())
    })
}
