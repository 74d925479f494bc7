//! Lives here: the audit: rows of what was done, what was refused or done again.
//! May import: the engine's rows and commits. Never here: what an action does, the list of rows (`query/audit.rs`).
//! Read first: this file.
//!
//! The audit: who did what to which task, and what was refused. What is done stands in the same commit as its
//! row; what is refused, or only done again, changes nothing and is written by itself, folded and bounded, so that
//! a flood of it costs one small commit a second.

mod pending;
pub mod refusals;
mod row;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use pending::{Pending, Which};
use refusals::Sequences;

#[cfg(test)]
pub use row::old_rejected_key;
pub use row::{AuditAction, AuditRow, DONE, OLD_REJECTED, REFUSALS_BY_TIME, Verdict};

use crate::authority::Principal;
use crate::clock::Clock;
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::rows;
use crate::limits;
use crate::store::{Ack, Batch, Snapshot, Space, Store, StoreError};
use crate::task::{ComponentId, TaskId};

/// What an action is about, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub action: AuditAction,
    pub tool: Option<&'a str>,
    pub component: Option<&'a ComponentId>,
    /// BLAKE3 of the arguments or the content.
    pub hash: Option<[u8; 32]>,
    pub task: Option<TaskId>,
    /// Whose task it is.
    pub owner: Option<&'a str>,
    /// What else there is to say, in a word or two of ours: never what a caller sent.
    pub note: Option<&'a str>,
}

impl<'a> Subject<'a> {
    pub fn new(action: AuditAction) -> Self {
        Self { action, tool: None, component: None, hash: None, task: None, owner: None, note: None }
    }

    pub fn of_task(action: AuditAction, task: TaskId) -> Self {
        Self { task: Some(task), ..Self::new(action) }
    }

    /// Whose task it is: noted where another one acts on it.
    #[must_use]
    pub fn owned_by(mut self, owner: &'a str) -> Self {
        self.owner = Some(owner);
        self
    }

    /// What a row says of it besides its own fields.
    fn words(&self, by: &Principal) -> Option<String> {
        let owner = self.owner.filter(|owner| *owner != by.name());
        match (self.note, owner) {
            (note, None) => note.map(str::to_owned),
            (None, Some(owner)) => Some(format!("task of {owner}")),
            (Some(note), Some(owner)) => Some(format!("{note}, task of {owner}")),
        }
    }

    #[must_use]
    pub fn tool(mut self, tool: &'a str, component: &'a ComponentId) -> Self {
        (self.tool, self.component) = (Some(tool), Some(component));
        self
    }

    #[must_use]
    pub fn hash(mut self, hash: [u8; 32]) -> Self {
        self.hash = Some(hash);
        self
    }
}

/// What one engine remembers for its audit.
pub struct Audit {
    /// Makes numbers unique over all processes.
    boot: u64,
    clock: Arc<dyn Clock>,
    numbers: AtomicU64,
    pending: Mutex<Pending>,
    wake: Notify,
    /// Where the sequences of refusals end, once that is known. Held while some are written.
    sequences: tokio::sync::Mutex<Option<Sequences>>,
}

impl Audit {
    pub fn new(boot: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            boot,
            clock,
            numbers: AtomicU64::default(),
            pending: Mutex::default(),
            wake: Notify::new(),
            sequences: tokio::sync::Mutex::default(),
        }
    }

    /// Adds the row of an action to the batch that does it.
    pub fn record_admitted(
        &self,
        batch: &mut Batch,
        by: &Principal,
        subject: Subject<'_>,
    ) -> Result<(), StoreError> {
        let at = self.clock.wall();
        let number = self.boot << 32 | self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut key = vec![DONE];
        key.extend_from_slice(&at.to_be_bytes());
        key.extend_from_slice(&number.to_be_bytes());
        let row = row(by, subject, Verdict::Admitted, subject.words(by), at);
        batch.add_put(Space::Audit, key, rows::encode(&row)?);
        Ok(())
    }

    /// Records a refused action, and why in one word.
    pub fn record_refused(&self, by: &Principal, subject: Subject<'_>, why: &str) {
        self.record_rejected(by, subject, Verdict::Refused, why);
    }

    /// Records an action that had been done already.
    pub fn record_repeated(&self, by: &Principal, subject: Subject<'_>, why: &str) {
        self.record_rejected(by, subject, Verdict::Repeated, why);
    }

    /// Refused and repeated actions, aggregated.
    fn record_rejected(&self, by: &Principal, subject: Subject<'_>, verdict: Verdict, why: &str) {
        let at = self.clock.wall();
        let row = row(by, subject, verdict, Some(why.to_owned()), at);
        self.pending.lock().add(row, self.clock.elapsed());
        self.wake.notify_one();
    }

    /// Writes what waits, now and then, until `running` is false.
    pub async fn run(
        &self,
        store: &Store,
        mut running: watch::Receiver<bool>,
        hand_over: impl Fn(Commit) -> Result<Ack, StoreError>,
    ) {
        loop {
            let due = self.pending.lock().next_due();
            tokio::select! {
                () = self.wake.notified() => {}
                // What was folded is written a while after it began.
                () = self.clock.sleep_until(due.unwrap_or_default()), if due.is_some() => {}
                _ = running.wait_for(|running| !running) => return,
            }
            match self.flush_due(store, &hand_over).await {
                Ok(()) => {}
                Err(why) if why.passes() => {
                    // What was to be written waits, and is tried again after a moment.
                    let until = self.clock.elapsed() + why.pause();
                    self.wake.notify_one();
                    tokio::select! {
                        () = self.clock.sleep_until(until) => continue,
                        _ = running.wait_for(|running| !running) => return,
                    }
                }
                Err(error) => tracing::warn!(%error, "what was refused could not be written to the audit"),
            }
            // The first is written at once, a flood of them once in this time.
            let pause = Duration::from_millis(limits::AUDIT_INTERVAL_MS);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = running.wait_for(|running| !running) => return,
            }
        }
    }

    /// Writes what waits, in one commit; an error leaves it waiting.
    pub async fn flush_all(
        &self,
        store: &Store,
        hand_over: impl FnOnce(Commit) -> Result<Ack, StoreError>,
    ) -> Result<(), StoreError> {
        self.flush(Which::All, store, hand_over).await
    }

    /// The same of what is due; what is folded waits until there is more of it.
    pub(in crate::engine) async fn flush_due(
        &self,
        store: &Store,
        hand_over: impl FnOnce(Commit) -> Result<Ack, StoreError>,
    ) -> Result<(), StoreError> {
        self.flush(Which::Due(self.clock.elapsed()), store, hand_over).await
    }

    async fn flush(
        &self,
        which: Which,
        store: &Store,
        hand_over: impl FnOnce(Commit) -> Result<Ack, StoreError>,
    ) -> Result<(), StoreError> {
        let mut sequences = self.sequences.lock().await;
        let waiting = self.pending.lock().take(which);
        if waiting.is_empty() {
            return Ok(());
        }
        match refusals::write(store, sequences.clone(), waiting.clone(), hand_over).await {
            Ok(end) => {
                *sequences = Some(end);
                Ok(())
            }
            Err(error) => {
                self.pending.lock().put_back(waiting, self.clock.elapsed());
                Err(error)
            }
        }
    }

    /// Records an error as a refusal, and passes it on.
    pub fn record_error<T>(
        &self,
        by: &Principal,
        subject: Subject<'_>,
        done: Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        if let Err(error) = &done {
            self.record_refused(by, subject, error.word());
        }
        done
    }
}

fn row(by: &Principal, subject: Subject<'_>, verdict: Verdict, reason: Option<String>, at: u64) -> AuditRow {
    let short = |text: &str| -> String { text.chars().take(limits::MAX_TOOL_NAME_CHARS).collect() };
    AuditRow {
        at,
        until: at,
        principal: by.name().to_owned(),
        client: by.client().map(str::to_owned),
        action: subject.action,
        tool: subject.tool.map(short),
        component: subject.component.cloned(),
        hash: subject.hash,
        task: subject.task,
        verdict,
        reason,
        count: 1,
    }
}

/// The keys of the oldest rows from before a moment, at most a slice of each kind.
pub fn older_than(snapshot: &Snapshot<'_>, before: u64) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut keys = Vec::new();
    for kind in [DONE, OLD_REJECTED] {
        snapshot.scan_prefix(Space::Audit, &[kind], false, |key, row| {
            let is_old = rows::decode::<AuditRow>(Space::Audit, key, row).is_ok_and(|row| row.until < before);
            if !is_old || keys.len() >= limits::SWEEP_AUDIT_ROWS {
                return ControlFlow::Break(());
            }
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
    }
    snapshot.scan_prefix(Space::Audit, &[REFUSALS_BY_TIME], false, |by_time, _| {
        let old = refusals::row_of(by_time).filter(|(until, _)| *until < before);
        let Some((_, key)) = old.filter(|_| keys.len() < 2 * limits::SWEEP_AUDIT_ROWS) else {
            return ControlFlow::Break(());
        };
        keys.extend([by_time.to_vec(), key]);
        ControlFlow::Continue(())
    })?;
    Ok(keys)
}

/// Whether it is a key of the list by time, which stands for another row.
pub fn is_of_list(key: &[u8]) -> bool {
    key.first() == Some(&REFUSALS_BY_TIME)
}
