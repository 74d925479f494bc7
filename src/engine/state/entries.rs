//! Reading, listing and writing entries.

use std::ops::{Bound, ControlFlow};

use crate::authority::Principal;
use crate::clock::UnixNanos;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::commit::Commit;
use crate::engine::cursor::{open_cursor, seal_cursor};
use crate::engine::error::EngineError;
use crate::engine::error::StateError;
use crate::engine::handle::TaskEngine;
use crate::engine::shared::Shared;
use crate::engine::state::rows;
use crate::engine::state::types::StateEntry;
use crate::engine::state::types::StatePage;
use crate::engine::state::types::StateQuery;
use crate::engine::state::types::StateWrite;
use crate::engine::state::write_set::Writer;
use crate::limits;
use crate::store::{Need, Snapshot, Space, StoreError};

impl TaskEngine {
    /// As it is on disk; `None` where there is none.
    pub async fn state_get(
        &self,
        principal: &Principal,
        namespace: &str,
        key: &str,
    ) -> Result<Option<StateEntry>, EngineError> {
        check(namespace, key)?;
        may(principal, namespace, key, false)?;
        Ok(read(&self.shared, namespace, key).await?)
    }

    /// All of them or none, each of another key: their new versions, once they are on disk. Deleting what is not
    /// there changes nothing and gives 0.
    pub async fn state_write(
        &self,
        principal: &Principal,
        namespace: &str,
        writes: Vec<StateWrite>,
    ) -> Result<Vec<u64>, EngineError> {
        let subject = Subject::new(AuditAction::WriteState).hash(hash_of(namespace, &writes));
        let done = self.write_state(principal, namespace, &writes, subject).await;
        // A lost race is no refusal.
        if matches!(done, Err(EngineError::State(StateError::Conflict { .. }))) {
            return done;
        }
        self.shared.audit.record_error(principal, subject, done)
    }

    async fn write_state(
        &self,
        principal: &Principal,
        namespace: &str,
        writes: &[StateWrite],
        subject: Subject<'_>,
    ) -> Result<Vec<u64>, EngineError> {
        check_writes(namespace, writes)?;
        for write in writes {
            may(principal, namespace, &write.key, true)?;
        }
        loop {
            let (answer, ack) = {
                let mut guard = self.shared.memory.state.begin_write();
                let mut commit = Commit::new();
                if writes.iter().all(|write| write.value.is_none()) {
                    commit.add_need(Need::Relief);
                }
                let by = Writer::of(principal.name());
                let decided = guard.decide(&self.shared, namespace, writes, by)?;
                if let Ok(decided) = &decided {
                    decided.check_room(&self.shared, by)?;
                }
                if decided.is_ok() {
                    self.shared.audit.record_admitted(&mut commit, principal, subject)?;
                }
                let answer = decided.map(|decided| guard.write(&mut commit, decided));
                // Also a verdict is only given once what it rests on is on disk.
                (answer, self.shared.commit(commit)?)
            };
            match ack.await {
                // A commit before this one was refused, whose entries this one had counted on.
                Err(StoreError::Refused(_)) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(answer?),
            }
        }
    }

    pub async fn state_list(
        &self,
        principal: &Principal,
        namespace: &str,
        query: &StateQuery,
    ) -> Result<StatePage, EngineError> {
        check_query(namespace, &query.prefix)?;
        may(principal, namespace, &all_from(&query.prefix), false)?;
        let name = ["state", principal.name(), namespace, &query.prefix];
        let cursor = query.cursor.as_deref().map(|cursor| open_cursor(&name, cursor)).transpose()?;
        let mut page = list(&self.shared, namespace, StateQuery { cursor, ..query.clone() }).await?;
        page.next_cursor = page.next_cursor.map(|place| seal_cursor(&name, &place));
        Ok(page)
    }

    /// Namespaces that hold something and of which this principal may read all.
    pub async fn state_namespaces(&self, principal: &Principal) -> Result<Vec<String>, EngineError> {
        let principal = principal.clone();
        let read = move |snapshot: &Snapshot<'_>| {
            let mut found = Vec::new();
            snapshot.scan_prefix(Space::State, &rows::namespaces_prefix(), false, |key, _| {
                let name = rows::namespace_of(key);
                found.extend(name.filter(|name| principal.may_state(name, "*", false)).map(str::to_owned));
                ControlFlow::Continue(())
            })?;
            Ok(found)
        };
        Ok(self.shared.store.read(read).await?)
    }
}

/// The entry's version at this moment; 0 where there is none.
pub fn version(
    snapshot: &Snapshot<'_>,
    namespace: &str,
    key: &str,
    now: UnixNanos,
) -> Result<u64, StoreError> {
    Ok(rows::read_entry(snapshot, namespace, key)?.map_or(0, |row| row.version_at(now)))
}

/// What a namespace holds, as the bounds count it.
#[cfg(test)]
pub fn held(shared: &Shared, namespace: &str) -> Result<rows::NamespaceRow, StoreError> {
    let key = rows::namespace_key(namespace);
    let row =
        shared.store.read_blocking(|snapshot| crate::engine::rows::read_row(snapshot, Space::State, &key))?;
    Ok(row.unwrap_or_default())
}

/// BLAKE3 of all that is to be written.
pub fn hash_of(namespace: &str, writes: &[StateWrite]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    };
    add(namespace.as_bytes());
    for write in writes {
        add(write.key.as_bytes());
        add(write.value.as_deref().unwrap_or_default().as_bytes());
    }
    *hasher.finalize().as_bytes()
}

pub async fn read(shared: &Shared, namespace: &str, key: &str) -> Result<Option<StateEntry>, StoreError> {
    let now = shared.date();
    let (namespace, own_key) = (namespace.to_owned(), key.to_owned());
    let read = move |snapshot: &Snapshot<'_>| rows::read_entry(snapshot, &namespace, &own_key);
    let row = shared.store.read(read).await?;
    Ok(row.and_then(|row| row.into_entry(key, now)))
}

pub async fn list(shared: &Shared, namespace: &str, query: StateQuery) -> Result<StatePage, StoreError> {
    let (namespace, now) = (namespace.to_owned(), shared.date());
    shared.store.read(move |snapshot| page(snapshot, &namespace, &query, now)).await
}

fn page(
    snapshot: &Snapshot<'_>,
    namespace: &str,
    query: &StateQuery,
    now: UnixNanos,
) -> Result<StatePage, StoreError> {
    let limit = if query.limit == 0 { limits::MAX_PAGE_ROWS } else { query.limit.min(limits::MAX_PAGE_ROWS) };
    let prefix = rows::entry_key(namespace, &query.prefix);
    let after = query.cursor.as_deref().map(|cursor| rows::entry_key(namespace, cursor));
    let from = match &after {
        Some(after) if *after > prefix => Bound::Excluded(&after[..]),
        _ => Bound::Included(&prefix[..]),
    };
    let begins_at = rows::entries_prefix(namespace).len();
    let (mut entries, mut bytes, mut fault) = (Vec::<StateEntry>::new(), 0, None);
    let (mut next_cursor, mut seen) = (None, 0);
    snapshot.scan(Space::State, (from, Bound::Unbounded), false, |row_key, row| {
        if !row_key.starts_with(&prefix) {
            return ControlFlow::Break(());
        }
        let key = String::from_utf8_lossy(&row_key[begins_at..]).into_owned();
        seen += 1;
        if entries.len() == limit || bytes > limits::MAX_STATE_PAGE_BYTES || seen > limits::MAX_PAGE_SCAN_ROWS
        {
            next_cursor = Some(entries.last().map_or_else(|| key.clone(), |entry| entry.key.clone()));
            return ControlFlow::Break(());
        }
        match rows::decode_entry(row_key, row) {
            Ok(row) => {
                let entry = row.into_entry(&key, now);
                bytes += entry.as_ref().map_or(0, |entry| entry.key.len() + entry.value.len());
                entries.extend(entry);
                ControlFlow::Continue(())
            }
            Err(error) => {
                fault = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    fault.map_or(Ok(StatePage { entries, next_cursor }), Err)
}

pub fn check(namespace: &str, key: &str) -> Result<(), StateError> {
    rows::check_namespace(namespace)?;
    rows::check_key(key)
}

pub fn check_query(namespace: &str, prefix: &str) -> Result<(), StateError> {
    rows::check_namespace(namespace)?;
    let (limit, longest) = (limits::MAX_STATE_KEY_BYTES, prefix.len());
    if longest > limit {
        let text = format!("a prefix has at most {limit} bytes, this one {longest}");
        return Err(StateError::Invalid(text));
    }
    Ok(())
}

/// What can be said of writes without looking at what is there.
pub fn check_writes(namespace: &str, writes: &[StateWrite]) -> Result<(), StateError> {
    rows::check_namespace(namespace)?;
    let limit = limits::MAX_STATE_PUT_KEYS;
    if writes.is_empty() || writes.len() > limit {
        let text = format!("1 to {limit} entries are written together, not {}", writes.len());
        return Err(StateError::Limit(text));
    }
    for (number, write) in writes.iter().enumerate() {
        rows::check_key(&write.key)?;
        if writes[..number].iter().any(|other| other.key == write.key) {
            let text = format!("'{}' is written twice at once", write.key.escape_debug());
            return Err(StateError::Invalid(text));
        }
        let value = write.value.as_deref().unwrap_or("null");
        let limit = limits::MAX_STATE_VALUE_BYTES;
        if value.len() > limit {
            let text = format!("a value is at most {limit} bytes of JSON, this one has {}", value.len());
            return Err(StateError::Limit(text));
        }
        if let Err(error) = serde_json::from_str::<serde_json::Value>(value) {
            return Err(StateError::Invalid(format!("the value is no JSON: {error}")));
        }
        let limit = limits::MAX_STATE_TTL_SECONDS;
        if write.ttl_seconds.is_some_and(|seconds| seconds == 0 || seconds > limit) {
            return Err(StateError::Invalid(format!("a time to live is 1 to {limit} seconds")));
        }
    }
    Ok(())
}

/// Stands for every key that begins so, when a pattern is asked: its `*` is text that only a star takes in.
pub fn all_from(prefix: &str) -> String {
    format!("{prefix}*")
}

pub fn may(principal: &Principal, namespace: &str, key: &str, write: bool) -> Result<(), StateError> {
    if principal.may_state(namespace, key, write) { Ok(()) } else { Err(not_allowed(namespace, write)) }
}

pub fn not_allowed(namespace: &str, write: bool) -> StateError {
    StateError::NotGranted { namespace: namespace.to_owned(), write }
}
