//! What principals keep in the store, counted row by row: to check the counts, and to make them where they were not kept.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use crate::engine::charge::{self, BYTES, ENTRIES};
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::rows::{self, Payload};
use crate::engine::shared::Shared;
use crate::engine::state::rows as state_rows;
use crate::limits;
use crate::shares::Account;
use crate::store::{Count, Need, Snapshot, Space, StoreError, read_count};
use crate::task::TaskId;

/// The setting that says that the store's counts are kept.
const COUNTED: &str = "counted";

/// What is counted, by kind and principal, and by task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    named: BTreeMap<(u8, String), u64>,
    of_task: BTreeMap<TaskId, u64>,
}

/// Counts that do not come to what the rows do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Miscounted {
    /// Counts that were looked at.
    pub counts: u64,
    /// Each with what it comes to, and what it should.
    pub wrong: Vec<String>,
}

impl TaskEngine {
    /// Whether the store's counts come to what its rows do. Reads all of its tasks, and of shared state.
    pub async fn check_counts(&self) -> Result<Miscounted, EngineError> {
        Ok(self.shared.store.read_long(compare).await?)
    }

    /// Counts again, where nothing runs. What is counted with too little for what it has is counted with that.
    pub async fn count_again(&self) -> Result<(), EngineError> {
        count(&self.shared).await
    }

    /// The same where the store was written by a build that kept no counts.
    pub(in crate::engine) async fn count_once(&self) -> Result<(), EngineError> {
        let key = COUNTED.as_bytes();
        if self.shared.store.read(move |snapshot| snapshot.contains(Space::Setting, key)).await? {
            return Ok(());
        }
        count(&self.shared).await
    }
}

/// Takes in the counts of a store that is being opened.
pub fn load(account: &Account, snapshot: &Snapshot<'_>) -> Result<(), StoreError> {
    for ((kind, principal), sum) in of_principals(snapshot)? {
        if let Some(pool) = charge::pool_of(kind) {
            account.set(pool, &principal, sum);
        }
    }
    Ok(())
}

fn compare(snapshot: &Snapshot<'_>) -> Result<Miscounted, StoreError> {
    match snapshot.contains(Space::Setting, COUNTED.as_bytes())? {
        true => compare_all(snapshot),
        // The next start counts.
        false => Ok(Miscounted::default()),
    }
}

/// What the counts and the rows say otherwise, and tasks that have more than they are counted with.
#[cfg(test)]
pub(in crate::engine) fn contradictions(snapshot: &Snapshot<'_>) -> Result<Vec<String>, StoreError> {
    let mut found = compare_all(snapshot)?.wrong;
    for (id, change) in missing(snapshot)?.into_iter().filter(|(_, change)| *change > 0) {
        found.push(format!("{id} has {change} bytes more than it is counted with"));
    }
    Ok(found)
}

fn compare_all(snapshot: &Snapshot<'_>) -> Result<Miscounted, StoreError> {
    let (counted, rows) = (of_counts(snapshot)?, of_rows(snapshot)?);
    let mut found = Miscounted { counts: counted.named.len() as u64, wrong: Vec::new() };
    for (name, is, should) in counted.differences(&rows) {
        let what = if name.0 == ENTRIES { "entries of shared state" } else { "bytes" };
        found.wrong.push(format!("{} is counted with {is} {what} and has {should}", name.1));
    }
    for (id, more) in &counted.of_task {
        if !rows.of_task.contains_key(id) {
            found.wrong.push(format!("the task {id} is counted with {more} bytes and is not there"));
        }
    }
    Ok(found)
}

/// Makes the counts what they should be, where nothing else writes: first the tasks' own, then, in one commit with the
/// row that says so, those of principals.
async fn count(shared: &Shared) -> Result<(), EngineError> {
    let more = shared.store.read_long(missing).await?;
    for part in more.chunks(limits::SWEEP_SCAN_TASKS) {
        let mut commit = Commit::new().with_need(Need::Relief);
        for (id, change) in part {
            commit.add_count(charge::more_of(*id), *change);
        }
        shared.commit(commit)?.await?;
    }
    let differences = shared.store.read_long(|snapshot| {
        let (counted, rows) = (of_counts(snapshot)?, of_rows(snapshot)?);
        Ok(counted.differences(&rows))
    });
    let mut commit = Commit::new().with_need(Need::Relief).put(Space::Setting, COUNTED, rows::encode(&())?);
    for ((kind, name), is, should) in differences.await? {
        let change = charge::change(should) - charge::change(is);
        commit.add_count(Count::Named { kind, name: name.into() }, change);
    }
    shared.commit(commit)?.await?;
    Ok(())
}

impl Counts {
    /// What is counted otherwise in these: the name, what it comes to here, and there.
    fn differences(&self, other: &Self) -> Vec<((u8, String), u64, u64)> {
        let only_there = other.named.keys().filter(|name| !self.named.contains_key(*name));
        let of = |counts: &Self, name: &(u8, String)| counts.named.get(name).copied().unwrap_or(0);
        let all = self
            .named
            .keys()
            .chain(only_there)
            .map(move |name| (name.clone(), of(self, name), of(other, name)));
        all.filter(|(_, is, should)| is != should).collect()
    }

    fn add(&mut self, kind: u8, name: &str, more: u64) {
        match self.named.get_mut(&(kind, name.to_owned())) {
            Some(sum) => *sum += more,
            None => drop(self.named.insert((kind, name.to_owned()), more)),
        }
    }
}

/// The counts of principals, as their rows have them.
fn of_principals(snapshot: &Snapshot<'_>) -> Result<BTreeMap<(u8, String), u64>, StoreError> {
    let (mut named, mut fault) = (BTreeMap::new(), None);
    for kind in [BYTES, ENTRIES] {
        snapshot.scan_prefix(Space::Count, &[kind], false, |key, row| {
            match (read_count(key, row), std::str::from_utf8(&key[1..])) {
                (Ok(sum), Ok(name)) => drop(named.insert((kind, name.to_owned()), sum)),
                (Err(error), _) => fault = Some(error),
                (_, Err(error)) => fault = Some(StoreError::damaged_row(Space::Count, key, error)),
            }
            if fault.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    fault.map_or(Ok(named), Err)
}

fn of_counts(snapshot: &Snapshot<'_>) -> Result<Counts, StoreError> {
    let (mut of_task, mut fault) = (BTreeMap::new(), None);
    snapshot.scan_prefix(Space::Count, &[], false, |key, row| {
        if let Ok(id) = key.try_into()
            && !charge::KINDS.contains(&key[0])
        {
            match read_count(key, row) {
                Ok(more) => drop(of_task.insert(TaskId::from_bytes(id), more)),
                Err(error) => fault = Some(error),
            }
        }
        if fault.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    fault.map_or(Ok(()), Err)?;
    Ok(Counts { named: of_principals(snapshot)?, of_task })
}

/// What the rows of tasks and of shared state come to, with what each task is counted with besides its first bytes.
fn of_rows(snapshot: &Snapshot<'_>) -> Result<Counts, StoreError> {
    let mut counts = Counts::default();
    for id in tasks(snapshot)? {
        let Some((task, arguments)) = rows::read_task_row(snapshot, id)? else { continue };
        let more = charge::more(snapshot, id)?;
        counts.add(BYTES, &task.principal, charge::first(charge::length(snapshot, &arguments)?) + more);
        counts.of_task.insert(id, more);
    }
    let mut fault = None;
    snapshot.scan_prefix(Space::State, &state_rows::all_entries_prefix(), false, |key, row| {
        match (state_rows::read_entry_key(key), state_rows::decode_entry(key, row)) {
            (Some((namespace, name)), Ok(row)) => {
                if let Some(principal) = row.counts_for() {
                    counts.add(BYTES, principal, row.cost(namespace, name));
                    counts.add(ENTRIES, principal, 1);
                }
            }
            (_, Err(error)) => fault = Some(error),
            (None, _) => fault = Some(StoreError::damaged_row(Space::State, key, "the key is no entry's")),
        }
        if fault.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    fault.map_or(Ok(counts), Err)
}

fn tasks(snapshot: &Snapshot<'_>) -> Result<Vec<TaskId>, StoreError> {
    let mut ids = Vec::new();
    snapshot.scan_prefix(Space::Task, &[], false, |key, _| {
        ids.extend(rows::trailing_id(key));
        ControlFlow::Continue(())
    })?;
    Ok(ids)
}

/// By how much the counts of tasks differ from what these have: of tasks that are counted with too little, and of those
/// that are gone.
fn missing(snapshot: &Snapshot<'_>) -> Result<Vec<(TaskId, i64)>, StoreError> {
    let (mut found, blobs) = (Vec::new(), blobs(snapshot)?);
    let mut gone = of_counts(snapshot)?.of_task;
    for id in tasks(snapshot)? {
        let Some((_, arguments)) = rows::read_task_row(snapshot, id)? else { continue };
        let more = gone.remove(&id).unwrap_or(0);
        let measured = charge::of_task(snapshot, id, &arguments)?;
        let has = measured.sum() + blobs.get(&id).copied().unwrap_or(0);
        let needed = has.saturating_sub(charge::first(measured.arguments));
        if needed > more {
            found.push((id, charge::change(needed) - charge::change(more)));
        }
    }
    found.extend(gone.into_iter().map(|(id, more)| (id, -charge::change(more))));
    Ok(found)
}

/// Bytes of the blobs that each task refers to, its arguments aside.
fn blobs(snapshot: &Snapshot<'_>) -> Result<HashMap<TaskId, u64>, StoreError> {
    let mut references = Vec::new();
    snapshot.scan_prefix(Space::BlobRef, &[], false, |key, _| {
        if let Some((digest, referrer)) = key.split_first_chunk::<32>()
            && let Ok(id) = <[u8; 16]>::try_from(referrer)
        {
            references.push((*digest, TaskId::from_bytes(id)));
        }
        ControlFlow::Continue(())
    })?;
    let (mut found, mut last) = (HashMap::new(), None);
    for (digest, id) in references {
        let bytes = match last {
            Some((known, bytes)) if known == digest => bytes,
            _ => snapshot
                .get(Space::Blob, &digest)?
                .map_or(0, |value| charge::of_row(digest.len(), value.len())),
        };
        last = Some((digest, bytes));
        let of_arguments =
            matches!(rows::read_task_row(snapshot, id)?, Some((_, Payload::Blob(own))) if own == digest);
        *found.entry(id).or_default() += if of_arguments { 0 } else { bytes };
    }
    Ok(found)
}
