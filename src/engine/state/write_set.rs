//! Order of writes. A verdict is made under one lock, together with the place of its commit in the writer's queue,
//! and looks through the rows that are on their way. So it holds when its turn comes: a compare-and-set never waits
//! for the disk to decide. Guards on every row that was looked at make the store check the same again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::rows;
use super::rows::{EntryRow, NamespaceRow};
use super::types::StateWrite;
use crate::clock::UnixNanos;
use crate::engine::charge;
use crate::engine::commit::Commit;
use crate::engine::effect::Effect;
use crate::engine::error::StateError;
use crate::engine::memory::state_writer::{Pending, Row, WriteGuard};
use crate::engine::rows::{decode, encode};
use crate::engine::shared::Shared;
use crate::limits;
use crate::shares::{Pool, Refusal};
use crate::store::{Guard, Snapshot, Space, StoreError};

/// A verdict that nothing rests on yet.
pub struct Decided {
    pub versions: Vec<u64>,
    write_set: WriteSet,
}

/// Who writes, and for whom what is written counts.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    /// As entries say it.
    pub name: &'a str,
    pub principal: &'a str,
}

impl<'a> Writer<'a> {
    /// A principal itself.
    pub fn of(name: &'a str) -> Self {
        Self { name, principal: name }
    }
}

/// By how much the counts of one principal change.
#[derive(Clone, Copy, Default)]
struct Counted {
    bytes: i64,
    entries: i64,
}

impl Decided {
    /// Whether the writer's principal may keep so much more.
    pub fn check_room(&self, shared: &Shared, by: Writer<'_>) -> Result<(), Refusal> {
        let Some(counted) = self.write_set.counted.get(by.principal) else { return Ok(()) };
        for (pool, change) in [(Pool::StoredBytes, counted.bytes), (Pool::StateEntries, counted.entries)] {
            if let Ok(more @ 1..) = u64::try_from(change) {
                shared.shares.admit(pool, by.principal, more)?;
            }
        }
        Ok(())
    }
}

impl WriteGuard<'_> {
    pub fn decide(
        &self,
        shared: &Shared,
        namespace: &str,
        writes: &[StateWrite],
        by: Writer<'_>,
    ) -> Result<Result<Decided, StateError>, StoreError> {
        let at = At { wall: shared.clock.wall(), date: shared.date() };
        shared.store.read_at_once(|snapshot| {
            let mut builder = WriteBuilder::new(&self.pending, snapshot);
            let mut versions = Vec::with_capacity(writes.len());
            for write in writes {
                match builder.write(namespace, write, by, at)? {
                    Ok(version) => versions.push(version),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok(Decided { versions, write_set: builder.finish() }))
        })
    }

    /// Adds a verdict to a commit. Later ones rest on it: the commit must be handed over, and before the guard goes.
    pub fn write(&mut self, commit: &mut Commit, decided: Decided) -> Vec<u64> {
        self.add(commit, decided.write_set);
        decided.versions
    }

    /// Expired entries become deleted ones, of the same version; those that were written since stay. As `write`.
    pub fn expire(
        &mut self,
        shared: &Shared,
        commit: &mut Commit,
        due: &[(UnixNanos, String, String)],
    ) -> Result<(), StoreError> {
        let write_set = shared.store.read_at_once(|snapshot| {
            let mut builder = WriteBuilder::new(&self.pending, snapshot);
            for (at, namespace, key) in due {
                builder.expire(*at, namespace, key)?;
            }
            Ok(builder.finish())
        })?;
        self.add(commit, write_set);
        Ok(())
    }

    /// Entries that were written at a date that is still to come, since the wall clock was set back while no process
    /// ran, live as long from this start on as they were to live at all. As `write`.
    pub fn live_from(
        &mut self,
        shared: &Shared,
        commit: &mut Commit,
        early: &[(UnixNanos, String, String)],
    ) -> Result<(), StoreError> {
        let date = shared.opened.logical;
        let write_set = shared.store.read_at_once(|snapshot| {
            let mut builder = WriteBuilder::new(&self.pending, snapshot);
            for (at, namespace, key) in early {
                builder.live_from(date, *at, namespace, key)?;
            }
            Ok(builder.finish())
        })?;
        self.add(commit, write_set);
        Ok(())
    }

    fn add(&mut self, commit: &mut Commit, write_set: WriteSet) {
        self.pending.last += 1;
        let number = self.pending.last;
        let mut keys = Vec::new();
        for prefix in write_set.cleared {
            commit.add_delete_prefix(Space::State, prefix);
        }
        for (key, ReadRow { before, after }) in write_set.rows {
            let key_of_guard = key.clone();
            commit.add_guard(match &before {
                Some(value) => Guard::Is { space: Space::State, key: key_of_guard, value: value.clone() },
                None => Guard::Absent { space: Space::State, key: key_of_guard },
            });
            if before != after {
                put(commit, &key, after.clone());
                self.pending.rows.insert(key.clone(), (number, after));
                keys.push(key);
            }
        }
        for (principal, Counted { bytes, entries }) in write_set.counted {
            let principal: Arc<str> = principal.into();
            commit.add_count(charge::bytes_of(principal.clone()), bytes);
            commit.add_count(charge::entries_of(principal), entries);
        }
        for (key, is_there) in write_set.expiries {
            put(commit, &key, is_there.then(|| Arc::from([])));
        }
        self.pending.keys.insert(number, keys);
        let changed = write_set.changed.into_iter().collect();
        commit.add_effect(Effect::StateWritten { number, changed, expires: write_set.expires });
    }
}

/// The moment of a write.
#[derive(Clone, Copy)]
struct At {
    wall: UnixNanos,
    /// What times to live go by.
    date: UnixNanos,
}

fn put(commit: &mut Commit, key: &[u8], value: Row) {
    match value {
        Some(value) => commit.add_put(Space::State, key, value),
        None => commit.add_delete(Space::State, key),
    }
}

/// What one commit would come to, on top of what is on its way.
struct WriteBuilder<'a, 's> {
    pending: &'a Pending,
    snapshot: &'a Snapshot<'s>,
    write_set: WriteSet,
}

#[derive(Default)]
struct WriteSet {
    /// Every row that was looked at.
    rows: BTreeMap<Vec<u8>, ReadRow>,
    expiries: BTreeMap<Vec<u8>, bool>,
    /// Prefixes of rows that go.
    cleared: Vec<Vec<u8>>,
    changed: BTreeSet<(String, String)>,
    counted: BTreeMap<String, Counted>,
    expires: bool,
}

struct ReadRow {
    before: Row,
    after: Row,
}

impl<'a, 's> WriteBuilder<'a, 's> {
    fn new(pending: &'a Pending, snapshot: &'a Snapshot<'s>) -> Self {
        Self { pending, snapshot, write_set: WriteSet::default() }
    }

    fn finish(self) -> WriteSet {
        self.write_set
    }

    fn write(
        &mut self,
        namespace: &str,
        write: &StateWrite,
        by: Writer<'_>,
        at: At,
    ) -> Result<Result<u64, StateError>, StoreError> {
        let StateWrite { key, value, if_version, ttl_seconds } = write;
        let before = self.read_entry(namespace, key)?;
        let present = before.as_ref().map_or(0, |row| row.version_at(at.date));
        if if_version.is_some_and(|wanted| wanted != present) {
            return Ok(Err(StateError::Conflict { key: key.clone(), version: present }));
        }
        if value.is_none() && present == 0 {
            return Ok(Ok(0));
        }
        let namespace_row: Option<NamespaceRow> = self.read(&rows::namespace_key(namespace))?;
        if namespace_row.is_none()
            && let Err(error) = self.make_room()?
        {
            return Ok(Err(error));
        }
        let namespace_row = namespace_row.unwrap_or_default();
        let version = before.as_ref().map_or(namespace_row.floor, |row| row.version) + 1;
        let lives = ttl_seconds.map(|seconds| seconds.saturating_mul(1_000_000_000));
        let after = EntryRow {
            version,
            value: value.clone(),
            // Of one that expires, so that the two say how long it lives.
            updated_at: if lives.is_some() { at.date } else { at.wall },
            by: by.name.to_owned(),
            of: (by.name != by.principal).then(|| by.principal.to_owned()),
            expires_at: lives.map(|nanos| at.date.saturating_add(nanos)),
        };
        let held = self.replace(namespace, key, before.as_ref(), after)?;
        if value.is_some()
            && let Some(error) = beyond(namespace, &held, &namespace_row)
        {
            return Ok(Err(error));
        }
        Ok(Ok(version))
    }

    fn expire(&mut self, at: UnixNanos, namespace: &str, key: &str) -> Result<(), StoreError> {
        let before = self.read_entry(namespace, key)?;
        match before {
            Some(row) if row.expires_at == Some(at) && row.value.is_some() => {
                let after = EntryRow { value: None, expires_at: None, ..row.clone() };
                self.replace(namespace, key, Some(&row), after)?;
            }
            _ => {
                self.write_set.expiries.insert(rows::expiry_key(at, namespace, key), false);
            }
        }
        Ok(())
    }

    fn live_from(
        &mut self,
        date: UnixNanos,
        at: UnixNanos,
        namespace: &str,
        key: &str,
    ) -> Result<(), StoreError> {
        let before = self.read_entry(namespace, key)?;
        if let Some(row) = before.filter(|row| row.expires_at == Some(at) && row.updated_at > date) {
            let expires_at = Some(date.saturating_add(at.saturating_sub(row.updated_at)));
            let after = EntryRow { updated_at: date, expires_at, ..row.clone() };
            self.replace(namespace, key, Some(&row), after)?;
        }
        Ok(())
    }

    /// The row and what counts it; what the namespace holds then.
    fn replace(
        &mut self,
        namespace: &str,
        key: &str,
        before: Option<&EntryRow>,
        after: EntryRow,
    ) -> Result<NamespaceRow, StoreError> {
        let namespace_key = rows::namespace_key(namespace);
        let mut held: NamespaceRow = self.read(&namespace_key)?.unwrap_or_default();
        if let Some(before) = before {
            self.count(namespace, key, before, -1);
            held.remove(key, before);
            if let Some(at) = before.expires_at {
                self.write_set.expiries.insert(rows::expiry_key(at, namespace, key), false);
            }
        }
        self.count(namespace, key, &after, 1);
        if let Some(at) = after.expires_at {
            self.write_set.expiries.insert(rows::expiry_key(at, namespace, key), true);
            self.write_set.expires = true;
        }
        let entry_key = rows::entry_key(namespace, key);
        if after.value.is_none() && held.tombstones >= limits::MAX_STATE_TOMBSTONES {
            held.floor = held.floor.max(after.version);
            self.write_row(entry_key, None);
        } else {
            held.add(key, &after);
            self.write_row(entry_key, Some(rows::encode_entry(&after)?));
        }
        self.write_row(namespace_key, Some(encode(&held)?));
        self.write_set.changed.insert((namespace.to_owned(), key.to_owned()));
        Ok(held)
    }

    /// A new namespace may take the place of one that holds nothing any more.
    fn make_room(&mut self) -> Result<Result<(), StateError>, StoreError> {
        let (mut names, mut empty) = (BTreeSet::new(), None);
        self.snapshot.scan_prefix(Space::State, &rows::namespaces_prefix(), false, |key, row| {
            names.insert(key.to_vec());
            let is_empty = decode::<NamespaceRow>(Space::State, key, row).is_ok_and(|row| row.entries == 0);
            if empty.is_none() && is_empty && !self.pending.rows.contains_key(key) {
                empty = Some(key.to_vec());
            }
            ControlFlow::Continue(())
        })?;
        let on_its_way = self.pending.rows.iter().filter(|(key, (_, row))| {
            row.is_some() && rows::namespace_of(key).is_some() && !names.contains(*key)
        });
        if names.len() + on_its_way.count() < limits::MAX_STATE_NAMESPACES {
            return Ok(Ok(()));
        }
        let Some(key) = empty else {
            return Ok(Err(StateError::Limit(format!(
                "there are {} namespaces, which is the bound: delete all entries of one",
                limits::MAX_STATE_NAMESPACES
            ))));
        };
        let _: Option<NamespaceRow> = self.read(&key)?;
        if let Some(name) = rows::namespace_of(&key) {
            self.write_set.cleared.push(rows::entries_prefix(name));
        }
        self.write_row(key, None);
        Ok(Ok(()))
    }

    /// For whom it counts has so much more of it, or less.
    fn count(&mut self, namespace: &str, key: &str, row: &EntryRow, times: i64) {
        let Some(principal) = row.counts_for() else { return };
        let counted = self.write_set.counted.entry(principal.to_owned()).or_default();
        counted.bytes += times * charge::change(row.cost(namespace, key));
        counted.entries += times;
    }

    fn read_entry(&mut self, namespace: &str, key: &str) -> Result<Option<EntryRow>, StoreError> {
        let key = rows::entry_key(namespace, key);
        self.read_bytes(&key)?.map(|row| rows::decode_entry(&key, &row)).transpose()
    }

    fn read<T: DeserializeOwned>(&mut self, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.read_bytes(key)?.map(|row| decode(Space::State, key, &row)).transpose()
    }

    fn read_bytes(&mut self, key: &[u8]) -> Result<Row, StoreError> {
        Ok(match self.write_set.rows.get(key) {
            Some(row_read) => row_read.after.clone(),
            None => {
                let row = match self.pending.rows.get(key) {
                    Some((_, row)) => row.clone(),
                    None => self.snapshot.get(Space::State, key)?,
                };
                self.write_set.rows.insert(key.to_vec(), ReadRow { before: row.clone(), after: row.clone() });
                row
            }
        })
    }

    /// Of a row that was read.
    fn write_row(&mut self, key: Vec<u8>, row: Option<Vec<u8>>) {
        if let Some(row_read) = self.write_set.rows.get_mut(&key) {
            row_read.after = row.map(Arc::from);
        }
    }
}

/// Whether it holds too much, and more than before.
fn beyond(namespace: &str, held: &NamespaceRow, before: &NamespaceRow) -> Option<StateError> {
    let limit = |what: String| {
        Some(StateError::Limit(format!("the namespace '{namespace}' would hold {what}: delete some entries")))
    };
    if held.entries > limits::MAX_STATE_ENTRIES && held.entries > before.entries {
        return limit(format!("more than {} entries", limits::MAX_STATE_ENTRIES));
    }
    if held.bytes > limits::MAX_STATE_NAMESPACE_HELD_BYTES && held.bytes > before.bytes {
        return limit(format!("more than {} bytes", limits::MAX_STATE_NAMESPACE_HELD_BYTES));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_grows_to_its_bounds_and_what_is_beyond_may_shrink() {
        let of = |entries, bytes| NamespaceRow { entries, bytes, ..NamespaceRow::default() };
        let (most, large) = (limits::MAX_STATE_ENTRIES, limits::MAX_STATE_NAMESPACE_HELD_BYTES);
        for (before, held, refused) in [
            (of(most - 1, 0), of(most, large), false),
            (of(most, 0), of(most + 1, 1), true),
            (of(most, large), of(most, large + 1), true),
            // A version of Longhaul with other bounds may have let more in.
            (of(most + 2, large + 2), of(most + 1, large + 1), false),
        ] {
            assert_eq!(beyond("n", &held, &before).is_some(), refused, "{held:?}");
        }
    }
}
