//! Messages to a task: committed before the send is answered, delivered once, in order.
//!
//! A row stays after its delivery, marked: a retry from the start gets all of them again, and one that keeps its
//! journal's beginning gets again what it got behind it. Keys: `task | 0 | seq BE` is a message, `task | 1 |
//! hash of the sender and its key` the seq that a repeated send gets.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::authority::Principal;
use crate::clock::UnixNanos;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::change::commit::commit_event;
use crate::engine::change::lease;
use crate::engine::change::plan::Event;
use crate::engine::change::value::RowWrite;
use crate::engine::charge;
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::memory::entry::{Entry, EntryState};
use crate::engine::record::error::RecorderError;
use crate::engine::record::ops::{OpChange, OpHandle};
use crate::engine::record::recorder::Recorder;
use crate::engine::rows;
use crate::engine::rows::Payload;
use crate::engine::shared::Shared;
use crate::limits;
use crate::shares::Pool;
use crate::store::{Ack, Snapshot, Space, StoreError};
use crate::task::TaskId;

/// A message on its way to a task.
pub struct Outgoing {
    pub name: String,
    pub payload: Value,
    /// The sender's name for "the same message": repeated, it gets the same number.
    pub key: Option<String>,
}

/// A message as the guest gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// From 1, in the order of arrival.
    pub seq: u64,
    pub name: String,
    /// A JSON document as text.
    pub payload: String,
    /// The principal, or the task's URI, that sent it.
    pub sender: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::engine) struct MessageRow {
    name: String,
    payload: Payload,
    sender: String,
    sent_at: UnixNanos,
    taken: Option<Taken>,
}

/// Which receive has got it: the task's retry, and the number of the record that the guest had reached.
#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    retry: u32,
    at: u64,
}

/// What became of a message.
pub(in crate::engine) struct Sent {
    pub seq: u64,
    /// It was not sent before.
    pub is_new: bool,
}

impl Sent {
    fn before(seq: u64) -> Self {
        Self { seq, is_new: false }
    }
}

/// Sends a message. It is on disk when this returns; `None` where the task has ended.
pub(in crate::engine) async fn send(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    sender: &str,
    by: &Principal,
    message: &Outgoing,
) -> Result<Option<Sent>, EngineError> {
    loop {
        let Some((sent, ack)) = enqueue(shared, entry, sender, by, message)? else { return Ok(None) };
        if lease::has_arrived(shared, entry, ack).await? {
            return Ok(Some(sent));
        }
    }
}

/// The same message, where it is on disk.
pub(in crate::engine) async fn sent_before(
    shared: &Shared,
    task: TaskId,
    sender: &str,
    message: &Outgoing,
) -> Result<Option<Sent>, StoreError> {
    let Some(key) = sent_key_of(task, sender, message) else { return Ok(None) };
    let there = shared.store.read(move |snapshot| snapshot.get(Space::Message, &key)).await?;
    Ok(there.as_deref().and_then(rows::trailing_number).map(Sent::before))
}

/// Hands a message over, or says that it was handed over before; `None` where the task has ended.
fn enqueue(
    shared: &Arc<Shared>,
    entry: &Entry,
    sender: &str,
    by: &Principal,
    message: &Outgoing,
) -> Result<Option<(Sent, Ack)>, EngineError> {
    let payload = message.payload.to_string();
    check(message, &payload)?;
    let id = entry.id;
    let key = sent_key_of(id, sender, message);
    let mut state = entry.lock();
    let before = match &key {
        Some(key) => number_of(shared, id, &mut state, key)?,
        None => None,
    };
    if let Some(seq) = before {
        return Ok(Some((Sent::before(seq), shared.commit(Commit::new())?)));
    }
    if state.status.state.is_terminal() {
        return Ok(None);
    }
    if state.status.messages >= limits::MAX_TASK_MESSAGES {
        let bound = limits::MAX_TASK_MESSAGES;
        return Err(EngineError::BadMessage(format!(
            "the task was sent {bound} messages, which is the bound"
        )));
    }
    shared.shares.admit(Pool::StoredBytes, &entry.principal, charge::of_row(payload.len(), 0))?;
    let seq = state.status.messages + 1;
    let mut more = Commit::new();
    let row = MessageRow {
        name: message.name.clone(),
        payload: rows::put_payload(&mut more, id, payload.as_bytes()),
        sender: sender.to_owned(),
        sent_at: shared.clock.wall(),
        taken: None,
    };
    more.add_put(Space::Message, message_key(id, seq), rows::encode(&row)?);
    if let Some(key) = &key {
        more.add_put(Space::Message, key, seq.to_be_bytes());
    }
    let subject = Subject::of_task(AuditAction::Send, id).owned_by(&entry.principal);
    let subject = subject.hash(*blake3::hash(payload.as_bytes()).as_bytes());
    shared.audit.record_admitted(&mut more, by, subject)?;
    let ack = commit_event(shared, entry, &mut state, Event::Messaged, more)?;
    state.sending.extend(key.map(|key| (key, seq)));
    Ok(Some((Sent { seq, is_new: true }, ack)))
}

/// The number of the message with this key, which is on disk or on its way there.
fn number_of(
    shared: &Shared,
    task: TaskId,
    state: &mut EntryState,
    key: &[u8],
) -> Result<Option<u64>, StoreError> {
    let sending = &mut state.sending;
    let there = shared.store.read_held(task, |snapshot| {
        let mut on_its_way = Vec::new();
        for (key, seq) in std::mem::take(sending) {
            if snapshot.get(Space::Message, &key)?.is_none() {
                on_its_way.push((key, seq));
            }
        }
        *sending = on_its_way;
        snapshot.get(Space::Message, key)
    })?;
    let on_its_way = state.sending.iter().find(|(there, _)| there == key).map(|(_, seq)| *seq);
    Ok(there.as_deref().and_then(rows::trailing_number).or(on_its_way))
}

fn check(message: &Outgoing, payload: &str) -> Result<(), EngineError> {
    let refused = |why: String| Err(EngineError::BadMessage(why));
    let limit = limits::MAX_MESSAGE_NAME_BYTES;
    if message.name.is_empty() || message.name.len() > limit {
        return refused(format!("its name has {} bytes; 1 to {limit} are taken", message.name.len()));
    }
    let limit = limits::MAX_MESSAGE_PAYLOAD_BYTES;
    if payload.len() > limit {
        return refused(format!("its payload is {} bytes of JSON; at most {limit} are taken", payload.len()));
    }
    let limit = limits::MAX_IDEMPOTENCY_KEY_BYTES;
    match &message.key {
        Some(key) if key.is_empty() || key.len() > limit => {
            refused(format!("its key has {} bytes; 1 to {limit} are taken", key.len()))
        }
        _ => Ok(()),
    }
}

impl Recorder {
    /// Takes the first message with one of these names (any, if there are none) as the outcome of `op`; `None`
    /// where there is none yet. On disk when it returns.
    pub async fn take_message(
        &self,
        op: OpHandle,
        hash: u64,
        names: &[String],
    ) -> Result<Option<Message>, RecorderError> {
        let fault = |error: StoreError| RecorderError::Fault(error.to_string());
        let id = self.task_id();
        let names = names.to_vec();
        let read = move |snapshot: &Snapshot<'_>| {
            let Some((seq, row)) = first(snapshot, id, &names)? else { return Ok(None) };
            let payload = rows::read_payload(snapshot, &row.payload)?;
            Ok(Some((seq, row, String::from_utf8_lossy(&payload).into_owned())))
        };
        let found = self.shared().store.read(read).await;
        let Some((seq, row, payload)) = found.map_err(fault)? else { return Ok(None) };
        let message = Message { seq, name: row.name.clone(), payload, sender: row.sender.clone() };
        let outcome = rows::encode(&message).map_err(fault)?;
        let payload = self.large_payload(&outcome)?;
        // Under one lock, so within one commit: a message that is taken is the outcome of the one who took it.
        self.with(|state, live| {
            let taken = Some(Taken { retry: state.retry(), at: op.at() });
            let row = rows::encode(&MessageRow { taken, ..row }).map_err(fault)?;
            live.writes.push((Space::Message, message_key(id, seq), row));
            let done = OpChange::Done { payload, outcome: outcome.into() };
            live.put_op((id, state.epoch()), op, hash, done)
        })?;
        self.mark_dirty();
        self.barrier().await?;
        Ok(Some(message))
    }
}

/// The outcome of a receive, as [`Recorder::take_message`] keeps it.
pub fn decode(outcome: &[u8]) -> Result<Message, RecorderError> {
    rows::decode(Space::Op, b"message", outcome).map_err(|error| RecorderError::Fault(error.to_string()))
}

/// The first message with one of these names that this retry of the task was not given yet.
pub(in crate::engine) fn first(
    snapshot: &Snapshot<'_>,
    task: TaskId,
    names: &[String],
) -> Result<Option<(u64, MessageRow)>, StoreError> {
    let retry = rows::read_status(snapshot, task)?.map_or(0, |status| status.retry);
    let fits = |row: &MessageRow| {
        row.taken.as_ref().is_none_or(|taken| taken.retry != retry)
            && (names.is_empty() || names.contains(&row.name))
    };
    find(snapshot, task, fits)
}

/// A retry keeps the records before `step`: what was taken behind them is there again.
pub(in crate::engine) fn give_back(
    snapshot: &Snapshot<'_>,
    task: TaskId,
    retry: u32,
    step: u64,
    writes: &mut Vec<RowWrite>,
) -> Result<(), StoreError> {
    let mut fault = None;
    snapshot.scan_prefix(Space::Message, &prefix(task), false, |key, row| {
        match rows::decode::<MessageRow>(Space::Message, key, row) {
            Ok(mut row)
                if row.taken.as_ref().is_some_and(|taken| taken.retry == retry && taken.at >= step) =>
            {
                row.taken = None;
                match rows::encode(&row) {
                    Ok(row) => writes.push(RowWrite::Put(Space::Message, key.to_vec(), row)),
                    Err(error) => fault = Some(error),
                }
            }
            Ok(_) => {}
            Err(error) => fault = Some(error),
        }
        if fault.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    fault.map_or(Ok(()), Err)
}

fn find(
    snapshot: &Snapshot<'_>,
    task: TaskId,
    fits: impl Fn(&MessageRow) -> bool,
) -> Result<Option<(u64, MessageRow)>, StoreError> {
    let mut found = Ok(None);
    snapshot.scan_prefix(Space::Message, &prefix(task), false, |key, row| {
        found = match rows::decode::<MessageRow>(Space::Message, key, row) {
            Ok(row) if fits(&row) => Ok(rows::trailing_number(key).map(|seq| (seq, row))),
            Ok(_) => return ControlFlow::Continue(()),
            Err(error) => Err(error),
        };
        ControlFlow::Break(())
    })?;
    found
}

fn prefix(task: TaskId) -> Vec<u8> {
    let mut key = task.as_bytes().to_vec();
    key.push(0);
    key
}

fn message_key(task: TaskId, seq: u64) -> Vec<u8> {
    let mut key = prefix(task);
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

fn sent_key_of(task: TaskId, sender: &str, message: &Outgoing) -> Option<Vec<u8>> {
    message.key.as_deref().map(|key| sent_key(task, sender, key))
}

fn sent_key(task: TaskId, sender: &str, key: &str) -> Vec<u8> {
    let mut row = task.as_bytes().to_vec();
    row.push(1);
    row.extend_from_slice(&rows::idempotency_key("message", sender, "", key));
    row
}
