//! Lives here: the audit: rows of what was done, what was refused, their list.
//! May import: the engine's rows and commits.
//! Never here: what an action does.
//! Read first: this file, then `list.rs`.
//!
//! The audit: who did what to which task, and what was refused. What is done stands in the same commit as its
//! row; what is refused, or only done again, changes nothing and is written beside, folded and bounded, so that
//! a flood of it costs one small commit a second.

mod list;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use list::{AuditDocument, AuditPage, AuditQuery};

use super::commit::Commit;
use super::{EngineError, Shared, TaskEngine, rows};
use crate::authority::Principal;
use crate::catalog::Catalog;
use crate::limits;
use crate::store::{Batch, Snapshot, Space, StoreError};
use crate::task::{ComponentId, TaskId};

/// What was done, or tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    Call,
    Cancel,
    Retry,
    Resolve,
    Answer,
    Send,
    TokenNew,
    TokenRevoke,
    /// What a component is granted has changed.
    Grant,
    /// A request that names nobody: without a token where one is needed, or with one that is not valid.
    Authenticate,
    /// Shared state that a caller wrote or deleted by its own hand; what a task writes is its steps.
    WriteState,
    /// A host that a guest asked for.
    Reach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Admitted,
    /// It was done already: the same call again, or the end of what has ended.
    Repeated,
    Refused,
}

impl std::fmt::Display for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Call => "call",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Resolve => "resolve",
            Self::Answer => "answer",
            Self::Send => "send",
            Self::TokenNew => "token_new",
            Self::TokenRevoke => "token_revoke",
            Self::Grant => "grant",
            Self::Authenticate => "authenticate",
            Self::WriteState => "write_state",
            Self::Reach => "reach",
        })
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Admitted => "admitted",
            Self::Repeated => "repeated",
            Self::Refused => "refused",
        })
    }
}

/// What a deed is about, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub deed: Deed,
    pub tool: Option<&'a str>,
    pub component: Option<&'a ComponentId>,
    /// BLAKE3 of the arguments or the content.
    pub hash: Option<[u8; 32]>,
    pub task: Option<TaskId>,
    /// What else there is to say, in a word or two of ours: never what a caller sent.
    pub note: Option<&'a str>,
}

impl<'a> Subject<'a> {
    pub fn new(deed: Deed) -> Self {
        Self { deed, tool: None, component: None, hash: None, task: None, note: None }
    }

    pub fn of_task(deed: Deed, task: TaskId) -> Self {
        Self { task: Some(task), ..Self::new(deed) }
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

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AuditRow {
    at: u64,
    until: u64,
    principal: String,
    client: Option<String>,
    deed: Deed,
    tool: Option<String>,
    component: Option<ComponentId>,
    hash: Option<[u8; 32]>,
    task: Option<TaskId>,
    verdict: Verdict,
    reason: Option<String>,
    count: u64,
}

/// Rows of what was done: `0 | at BE | number BE`.
const DONE: u8 = 0;
/// Rows of what changed nothing: `1 | number BE`, without a gap; the oldest go where they are too many.
const BESIDE: u8 = 1;

/// What one engine remembers for its audit.
#[derive(Default)]
pub struct Audit {
    numbers: AtomicU64,
    beside: Mutex<HashMap<Alike, AuditRow>>,
    wake: Notify,
    /// Number of the next row of what changed nothing, once it is known. Held while some are written.
    pub(super) next: tokio::sync::Mutex<Option<u64>>,
}

/// What makes two rows one.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Alike {
    principal: String,
    client: Option<String>,
    deed: Deed,
    tool: Option<String>,
    verdict: Verdict,
    reason: String,
}

/// Adds the row of what this batch does.
pub fn admitted(
    shared: &Shared,
    batch: &mut Batch,
    by: &Principal,
    subject: Subject<'_>,
) -> Result<(), StoreError> {
    let at = shared.clock.wall();
    let number = shared.store.boot() << 32 | shared.audit.numbers.fetch_add(1, Ordering::Relaxed);
    let mut key = vec![DONE];
    key.extend_from_slice(&at.to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    let row = row(by, subject, Verdict::Admitted, subject.note.map(str::to_owned), at);
    batch.add_put(Space::Audit, key, rows::encode(&row)?);
    Ok(())
}

/// Notes what was refused, and why in one word.
pub fn refused(shared: &Shared, by: &Principal, subject: Subject<'_>, why: &str) {
    beside(shared, by, subject, Verdict::Refused, why);
}

/// Notes what had been done already.
pub fn repeated(shared: &Shared, by: &Principal, subject: Subject<'_>, why: &str) {
    beside(shared, by, subject, Verdict::Repeated, why);
}

fn beside(shared: &Shared, by: &Principal, subject: Subject<'_>, verdict: Verdict, why: &str) {
    let at = shared.clock.wall();
    let mut row = row(by, subject, verdict, Some(why.to_owned()), at);
    let mut rows = shared.audit.beside.lock().unwrap_or_else(PoisonError::into_inner);
    let is_new = |row: &AuditRow, rows: &HashMap<Alike, AuditRow>| !rows.contains_key(&alike(row));
    // A flood of different ones is told apart by less and less.
    if is_new(&row, &rows) && rows.len() >= limits::MAX_AUDIT_PENDING_ROWS {
        (row.client, row.tool, row.component, row.hash, row.task) = (None, None, None, None, None);
    }
    if is_new(&row, &rows) && rows.len() >= 2 * limits::MAX_AUDIT_PENDING_ROWS {
        (row.principal, row.reason) = ("*".to_owned(), Some("many".to_owned()));
    }
    match rows.entry(alike(&row)) {
        std::collections::hash_map::Entry::Occupied(mut there) => {
            let there = there.get_mut();
            (there.until, there.count) = (at, there.count + 1);
        }
        std::collections::hash_map::Entry::Vacant(free) => drop(free.insert(row)),
    }
    shared.audit.wake.notify_one();
}

fn alike(row: &AuditRow) -> Alike {
    Alike {
        principal: row.principal.clone(),
        client: row.client.clone(),
        deed: row.deed,
        tool: row.tool.clone(),
        verdict: row.verdict,
        reason: row.reason.clone().unwrap_or_default(),
    }
}

fn row(by: &Principal, subject: Subject<'_>, verdict: Verdict, reason: Option<String>, at: u64) -> AuditRow {
    let short = |text: &str| -> String { text.chars().take(limits::MAX_TOOL_NAME_CHARS).collect() };
    AuditRow {
        at,
        until: at,
        principal: by.name().to_owned(),
        client: by.client().map(str::to_owned),
        deed: subject.deed,
        tool: subject.tool.map(short),
        component: subject.component.cloned(),
        hash: subject.hash,
        task: subject.task,
        verdict,
        reason,
        count: 1,
    }
}

/// Writes what waits, now and then, as long as the engine runs.
pub async fn run(shared: Arc<Shared>) {
    let mut running = shared.memory.running.subscribe();
    loop {
        tokio::select! {
            () = shared.audit.wake.notified() => {}
            _ = running.wait_for(|running| !running) => return,
        }
        if let Err(error) = flush(&shared).await {
            tracing::warn!(%error, "what was refused could not be written to the audit");
        }
        // The first is written at once, a flood of them once in this time.
        let pause = Duration::from_millis(limits::AUDIT_INTERVAL_MS);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = running.wait_for(|running| !running) => return,
        }
    }
}

/// Writes what waits, in one commit, and deletes as many of the oldest as are too many.
pub async fn flush(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let mut next = shared.audit.next.lock().await;
    let waiting = std::mem::take(&mut *shared.audit.beside.lock().unwrap_or_else(PoisonError::into_inner));
    if waiting.is_empty() {
        return Ok(());
    }
    let (first, last) = shared.store.read(ends)?;
    let begin = next.unwrap_or_else(|| last.map_or(0, |last| last + 1));
    let mut waiting: Vec<AuditRow> = waiting.into_values().collect();
    waiting.sort_by_key(|row| row.at);
    let mut commit = Commit::new();
    let end = begin + waiting.len() as u64;
    for (number, row) in (begin..).zip(&waiting) {
        commit.add_put(Space::Audit, beside_key(number), rows::encode(row)?);
    }
    for number in first.unwrap_or(begin)..end.saturating_sub(limits::MAX_AUDIT_REFUSALS) {
        commit.add_delete(Space::Audit, beside_key(number));
    }
    *next = Some(end);
    shared.commit(commit)?.await.map(drop)
}

fn beside_key(number: u64) -> Vec<u8> {
    let mut key = vec![BESIDE];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The first and the last number of the rows beside.
fn ends(snapshot: &Snapshot<'_>) -> Result<(Option<u64>, Option<u64>), StoreError> {
    let end = |newest_first| {
        let mut found = None;
        snapshot.scan_prefix(Space::Audit, &[BESIDE], newest_first, |key, _| {
            found = rows::trailing_number(key);
            ControlFlow::Break(())
        })?;
        Ok(found)
    };
    Ok((end(false)?, end(true)?))
}

impl TaskEngine {
    /// Notes a request of which nobody knows whose it is.
    pub fn audit_stranger(&self, why: &'static str) {
        let nobody = Principal::new("", Vec::new());
        refused(&self.shared, &nobody, Subject::new(Deed::Authenticate), why);
    }

    /// Notes an error as a refusal, and passes it on.
    pub(super) fn audited<T>(
        &self,
        by: &Principal,
        subject: Subject<'_>,
        done: Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        if let Err(error) = &done {
            refused(&self.shared, by, subject, error.word());
        }
        done
    }

    /// Notes what has changed in what components are granted since this was last called, also by earlier
    /// processes.
    pub async fn audit_grants(&self, by: &Principal, catalog: &Catalog) -> Result<(), EngineError> {
        const PREFIX: &str = "grant/";
        let known = self.shared.store.read(|snapshot| {
            let mut known = HashMap::new();
            snapshot.scan_prefix(Space::Setting, PREFIX.as_bytes(), false, |key, value| {
                let name = String::from_utf8_lossy(&key[PREFIX.len()..]).into_owned();
                known.insert(name, value.to_vec());
                ControlFlow::Continue(())
            })?;
            Ok(known)
        })?;
        let mut commit = Commit::new();
        for component in catalog.components() {
            let grant = serde_json::to_vec(&component.holdings.grant).unwrap_or_default();
            let mut hasher = blake3::Hasher::new();
            hasher.update(component.id.as_str().as_bytes()).update(&grant);
            let value = hasher.finalize().as_bytes().to_vec();
            if known.get(&component.name) == Some(&value) {
                continue;
            }
            let note = format!("component {}", component.name);
            let subject = Subject {
                component: Some(&component.id),
                hash: Some(*blake3::hash(&grant).as_bytes()),
                note: Some(&note),
                ..Subject::new(Deed::Grant)
            };
            admitted(&self.shared, &mut commit, by, subject)?;
            commit.add_put(Space::Setting, format!("{PREFIX}{}", component.name), value);
        }
        for name in known.keys().filter(|name| catalog.component(name).is_none()) {
            let note = format!("component {name} is not served any more");
            let subject = Subject { note: Some(&note), ..Subject::new(Deed::Grant) };
            admitted(&self.shared, &mut commit, by, subject)?;
            commit.add_delete(Space::Setting, format!("{PREFIX}{name}"));
        }
        if !commit.is_empty() {
            self.shared.commit(commit)?.await?;
        }
        Ok(())
    }
}

/// The oldest rows from before a moment, at most a slice of them.
pub fn older_than(snapshot: &Snapshot<'_>, before: u64) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut keys = Vec::new();
    for kind in [DONE, BESIDE] {
        snapshot.scan_prefix(Space::Audit, &[kind], false, |key, row| {
            let is_old = rows::decode::<AuditRow>(Space::Audit, key, row).is_ok_and(|row| row.until < before);
            if !is_old || keys.len() >= limits::SWEEP_AUDIT_ROWS {
                return ControlFlow::Break(());
            }
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
    }
    Ok(keys)
}
