//! Shared state as a guest has it: reads are records of its journal, a write stands in one commit with its record.

use serde::{Deserialize, Serialize};

use super::entries::{all_from, check, check_query, check_writes, list, not_allowed, read};
use super::types::{StateEntry, StatePage, StateQuery, StateWrite};
use super::write_set::Writer;
use crate::authority::{Capability, Lost};
use crate::engine::change::draft::Parts;
use crate::engine::commit::Commit;
use crate::engine::error::StateError;
use crate::engine::journal::records::Next;
use crate::engine::memory::entry::{EntryState, Live};
use crate::engine::record::error::RecorderError;
use crate::engine::record::output::call_hash;
use crate::engine::record::recorder::Recorder;
use crate::engine::trace::StepKind;
use crate::store::{Ack, StoreError};
use crate::task::{Task, WakeOn};

/// The engine's second kind of records, after outputs.
pub const KIND_STATE: u8 = 201;

#[derive(Serialize, Deserialize)]
struct StateRecord {
    /// The call, for people.
    about: String,
    answer: Answer,
}

#[derive(Clone, Serialize, Deserialize)]
enum Answer {
    Entry(Option<StateEntry>),
    Page(StatePage),
    Versions(Result<Vec<u64>, StateError>),
    /// A read by a task that lost the power for it.
    Refused(StateError),
}

/// What came of a try to write.
enum Tried {
    Replayed(Result<Vec<u64>, StateError>),
    Queued(Ack, Result<Vec<u64>, StateError>),
    /// Nothing was queued, and nothing has changed.
    /// The store takes it after a moment.
    NotYet(StoreError),
}

/// A record of [`KIND_STATE`] for people.
pub fn describe(payload: &[u8]) -> Option<String> {
    let StateRecord { about, answer } = postcard::from_bytes(payload).ok()?;
    Some(match answer {
        Answer::Entry(entry) => format!("{about}: version {}", entry.map_or(0, |entry| entry.version)),
        Answer::Page(page) => format!("{about}: {} entries", page.entries.len()),
        Answer::Versions(Ok(versions)) => {
            let versions: Vec<String> = versions.iter().map(u64::to_string).collect();
            format!("{about}: version {}", versions.join(", "))
        }
        Answer::Versions(Err(error)) | Answer::Refused(error) => format!("{about}: {error}"),
    })
}

impl Recorder {
    /// The entry as it is on disk now; replay sees it again. The inner error is the guest's, and depends on its
    /// arguments and its task alone.
    pub async fn state_get(
        &self,
        namespace: &str,
        key: &str,
    ) -> Result<Result<Option<StateEntry>, StateError>, RecorderError> {
        if let Err(error) = check(namespace, key).and_then(|()| self.owner_may(namespace, key, false)) {
            return Ok(Err(error));
        }
        self.flush_if_full().await?;
        let hash = call_hash("state.get", &[namespace.as_bytes(), key.as_bytes()]);
        let about = format!("get {namespace}/{key}");
        let may = || self.check_power(Capability::StateRead { namespace, key });
        let entry = async || Ok(Answer::Entry(read(self.shared(), namespace, key).await?));
        let answer = self.state_read(hash, about, may, entry).await?;
        match answer {
            Answer::Entry(entry) => Ok(Ok(entry)),
            Answer::Refused(error) => Ok(Err(error)),
            _ => Err(unreadable()),
        }
    }

    pub async fn state_list(
        &self,
        namespace: &str,
        query: &StateQuery,
    ) -> Result<Result<StatePage, StateError>, RecorderError> {
        let StateQuery { prefix, limit, cursor } = query;
        let longest = cursor.as_ref().filter(|cursor| cursor.len() > prefix.len()).unwrap_or(prefix);
        let checked = check_query(namespace, longest);
        let all = all_from(prefix);
        if let Err(error) = checked.and_then(|()| self.owner_may(namespace, &all, false)) {
            return Ok(Err(error));
        }
        self.flush_if_full().await?;
        let cursor = cursor.as_deref().unwrap_or_default();
        let parts = [namespace.as_bytes(), prefix.as_bytes(), &limit.to_le_bytes(), cursor.as_bytes()];
        let hash = call_hash("state.list", &parts);
        let page = async || Ok(Answer::Page(list(self.shared(), namespace, query.clone()).await?));
        let may = || self.check_power(Capability::StateRead { namespace, key: &all });
        let answer = self.state_read(hash, format!("list {namespace}/{prefix}"), may, page).await?;
        match answer {
            Answer::Page(page) => Ok(Ok(page)),
            Answer::Refused(error) => Ok(Err(error)),
            _ => Err(unreadable()),
        }
    }

    /// All of them or none; on disk when it returns, together with the record that says so.
    pub async fn state_write(
        &self,
        namespace: &str,
        writes: &[StateWrite],
    ) -> Result<Result<Vec<u64>, StateError>, RecorderError> {
        let may = |write: &StateWrite| self.owner_may(namespace, &write.key, true);
        let checked = check_writes(namespace, writes);
        if let Err(error) = checked.and_then(|()| writes.iter().try_for_each(may)) {
            return Ok(Err(error));
        }
        let (hash, about) = (hash_of(namespace, writes), about(namespace, writes));
        let (ack, answer) = loop {
            match self.try_state_write(namespace, writes, hash, &about)? {
                Tried::Replayed(answer) => return Ok(answer),
                Tried::Queued(ack, answer) => break (ack, answer),
                Tried::NotYet(why) => self.shared().pause(&why).await,
            }
        };
        crate::crash_point!("state_enqueued");
        // Also a lost race: the winner's write is on disk before the loser reads again.
        self.settled(ack.await).await?;
        crate::crash_point!("state_written");
        Ok(answer)
    }

    /// Decides, records and hands over under one guard: the order of verdicts is that of commits.
    fn try_state_write(
        &self,
        namespace: &str,
        writes: &[StateWrite],
        hash: u64,
        about: &str,
    ) -> Result<Tried, RecorderError> {
        let (shared, uri) = (self.shared(), self.task_id().uri());
        let by = Writer { name: &uri, principal: &self.entry().principal };
        let mut state = self.lock_live()?;
        let EntryState { live: Some(live), task: Some(task), .. } = &mut *state else {
            return Err(unreadable());
        };
        match live.next(Some((StepKind::State, about)), (KIND_STATE, hash), about)? {
            Next::Replayed(payload) => return versions(&payload).map(Tried::Replayed),
            Next::Live => {}
        }
        self.check_journal(live)?;
        let mut guard = shared.memory.state.begin_write();
        let decided = match self.may_write(task, namespace, writes) {
            Ok(()) => guard.decide(shared, namespace, writes, by).map_err(fault)?,
            Err(error) => Err(error),
        };
        let decided = decided.and_then(|decided| {
            let has_room = decided.check_room(shared, by).map(|()| decided);
            has_room.map_err(|refused| StateError::Limit(refused.to_string()))
        });
        let answer = decided.as_ref().map(|decided| decided.versions.clone()).map_err(Clone::clone);
        let record = StateRecord { about: about.to_owned(), answer: Answer::Versions(answer.clone()) };
        let record = encode(&record)?;
        let mut commit = Commit::new();
        if let Ok(decided) = decided {
            guard.write(&mut commit, decided);
        }
        let parts = Parts { is_marked: true, ..Parts::ALL };
        let record = |live: &mut Live| {
            live.append(KIND_STATE, hash, &record);
            Ok(())
        };
        match self.commit_recorded(&mut state, &[], parts, record, commit)? {
            Ok(ack) => Ok(Tried::Queued(ack, answer)),
            Err(why) if why.passes() => Ok(Tried::NotYet(why)),
            Err(error) => Err(fault(error)),
        }
    }

    /// Under the task's lock: a write is queued before a revocation is answered, or refused.
    fn may_write(&self, task: &Task, namespace: &str, writes: &[StateWrite]) -> Result<(), StateError> {
        let powers = self.powers_of(task);
        let may = |write: &StateWrite| powers.check(Capability::StateWrite { namespace, key: &write.key });
        writes.iter().try_for_each(may).map_err(|lost| {
            self.audit_lost(task, lost);
            StateError::Lost(lost.to_string())
        })
    }

    /// Whether this entry may be waited for.
    pub fn may_watch_state(&self, namespace: &str, key: &str) -> Result<(), StateError> {
        check(namespace, key)?;
        self.owner_may(namespace, key, false)
    }

    /// The task begins to wait for these things: to be called before it looks whether one of them is there.
    pub fn waits_for(&self, on: &[WakeOn]) {
        if on.iter().any(|on| matches!(on, WakeOn::State { .. })) {
            self.shared().memory.state.watchers.set(self.task_id(), on);
        }
    }

    async fn state_read<R: Future<Output = Result<Answer, StoreError>>>(
        &self,
        hash: u64,
        about: String,
        may: impl FnOnce() -> Result<(), Lost>,
        read: impl FnOnce() -> R,
    ) -> Result<Answer, RecorderError> {
        if let Next::Replayed(payload) =
            self.next_step(Some((StepKind::State, &about)), (KIND_STATE, hash), &about)?
        {
            return decode(&payload);
        }
        let answer = match may() {
            Ok(()) => read().await.map_err(fault)?,
            Err(lost) => Answer::Refused(StateError::Lost(lost.to_string())),
        };
        let record = StateRecord { about, answer };
        self.record(KIND_STATE, hash, &encode(&record)?)?;
        Ok(record.answer)
    }

    /// What the task's owner may do bounds what is done on its behalf.
    fn owner_may(&self, namespace: &str, key: &str, write: bool) -> Result<(), StateError> {
        let state = self.entry().lock();
        let allowed = state.task.as_ref().is_some_and(|task| task.may_state(namespace, key, write));
        if allowed { Ok(()) } else { Err(not_allowed(namespace, write)) }
    }
}

fn hash_of(namespace: &str, writes: &[StateWrite]) -> u64 {
    let number = |number: &Option<u64>| number.map_or_else(Vec::new, |number| number.to_le_bytes().to_vec());
    let numbers: Vec<_> =
        writes.iter().map(|write| (number(&write.if_version), number(&write.ttl_seconds))).collect();
    let mut parts: Vec<&[u8]> = vec![namespace.as_bytes()];
    for (write, (if_version, ttl_seconds)) in writes.iter().zip(&numbers) {
        parts.push(write.key.as_bytes());
        match &write.value {
            Some(value) => parts.extend([&b"put"[..], value.as_bytes()]),
            None => parts.push(b"delete"),
        }
        parts.extend([&if_version[..], &ttl_seconds[..]]);
    }
    call_hash("state.write", &parts)
}

fn about(namespace: &str, writes: &[StateWrite]) -> String {
    let verb = if writes.iter().all(|write| write.value.is_none()) { "delete" } else { "put" };
    let keys: Vec<&str> = writes.iter().map(|write| write.key.as_str()).collect();
    format!("{verb} {namespace}/{}", keys.join(", "))
}

fn versions(payload: &[u8]) -> Result<Result<Vec<u64>, StateError>, RecorderError> {
    match decode(payload)? {
        Answer::Versions(answer) => Ok(answer),
        _ => Err(unreadable()),
    }
}

fn encode(record: &StateRecord) -> Result<Vec<u8>, RecorderError> {
    postcard::to_stdvec(record).map_err(|error| RecorderError::Fault(error.to_string()))
}

fn decode(payload: &[u8]) -> Result<Answer, RecorderError> {
    postcard::from_bytes::<StateRecord>(payload).map(|record| record.answer).map_err(|_| unreadable())
}

fn unreadable() -> RecorderError {
    RecorderError::Fault("the journal's record of shared state is unreadable".to_owned())
}

fn fault(error: StoreError) -> RecorderError {
    RecorderError::Fault(error.to_string())
}
