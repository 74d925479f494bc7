//! Keys of the engine's rows in the store, and small rows that are no type of `task`.

pub(super) mod open;
mod status;
pub(super) mod tree;

pub use status::{decode_status, encode_status};

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::authority::StatePattern;
use crate::limits;
use crate::store::{Batch, Snapshot, Space, StoreError, codec};
use crate::task::{ComponentId, Status, Task, TaskId, TaskLimits, ToolResult, Variable};

/// Version of every row that this module writes; a change of shape gets a new one next to the old.
pub const ROW_VERSION: u8 = 1;

/// A payload inside its row, or, where it is large, in a blob of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Payload {
    Inline(Vec<u8>),
    Blob([u8; 32]),
}

impl Payload {
    /// How long it may be, without a look at a blob.
    pub fn most_bytes(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Blob(_) => limits::MAX_ARGUMENTS_BYTES as u64,
        }
    }
}

/// What an idempotency key stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdempotencyRow {
    pub task: TaskId,
    pub arguments: [u8; 32],
    pub created_at: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComponentRow {
    pub name: String,
    pub bytes: u64,
    pub installed_at: u64,
}

/// A task as stored: its arguments may be a blob.
#[derive(Serialize, Deserialize)]
struct TaskRow {
    task: Task,
    arguments: Payload,
}

/// The same of one that sees an environment.
#[derive(Serialize, Deserialize)]
struct EnvironmentTaskRow {
    row: TaskRow,
    environment: Vec<Variable>,
}

/// Version of the row of a task that sees an environment.
const ENVIRONMENT_ROW_VERSION: u8 = 2;

/// The same of one with a bound of money that is not everybody's.
#[derive(Serialize, Deserialize)]
struct BoundedTaskRow {
    row: EnvironmentTaskRow,
    model_cost_cents: u64,
}

/// Version of the row of such a task.
const BOUNDED_ROW_VERSION: u8 = 3;

/// `id | epoch BE`, the prefix of one journal.
pub fn journal_prefix(task: TaskId, epoch: u32) -> Vec<u8> {
    let mut key = task.as_bytes().to_vec();
    key.extend_from_slice(&epoch.to_be_bytes());
    key
}

/// `id | epoch BE | first record BE`
pub fn journal_key(task: TaskId, epoch: u32, first: u64) -> [u8; 28] {
    let mut key = [0; 28];
    key[..16].copy_from_slice(task.as_bytes());
    key[16..20].copy_from_slice(&epoch.to_be_bytes());
    key[20..].copy_from_slice(&first.to_be_bytes());
    key
}

/// `id | number of the output BE`, the prefix of its pieces.
pub fn output_prefix(task: TaskId, number: usize) -> [u8; 20] {
    let mut key = [0; 20];
    key[..16].copy_from_slice(task.as_bytes());
    // MAX_OUTPUTS fits by far.
    key[16..].copy_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
    key
}

/// `id | number of the output BE | offset BE`
pub fn output_key(task: TaskId, number: usize, offset: u64) -> [u8; 28] {
    let mut key = [0; 28];
    key[..20].copy_from_slice(&output_prefix(task, number));
    key[20..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// `id | offset BE`
pub fn log_key(task: TaskId, offset: u64) -> Vec<u8> {
    let mut key = task.as_bytes().to_vec();
    key.extend_from_slice(&offset.to_be_bytes());
    key
}

/// `id | retry BE | number BE`
pub fn report_key(task: TaskId, retry: u32, number: u64) -> Vec<u8> {
    let mut key = task.as_bytes().to_vec();
    key.extend_from_slice(&retry.to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// `principal | 0 | id`: the tasks of one principal, oldest first.
pub fn by_principal_key(principal: &str, task: TaskId) -> Vec<u8> {
    let mut key = by_principal_prefix(principal);
    key.extend_from_slice(task.as_bytes());
    key
}

pub fn by_principal_prefix(principal: &str) -> Vec<u8> {
    let mut key = principal.as_bytes().to_vec();
    key.push(0);
    key
}

/// The id at the end of a key.
pub fn trailing_id(key: &[u8]) -> Option<TaskId> {
    key.last_chunk::<16>().map(|bytes| TaskId::from_bytes(*bytes))
}

/// The number (eight bytes BE) at the end of a key.
pub fn trailing_number(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

pub fn idempotency_key(domain: &str, principal: &str, tool: &str, key: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in [domain, principal, tool, key] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

pub fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, StoreError> {
    codec::encode(ROW_VERSION, row)
}

pub fn decode<T: for<'a> Deserialize<'a>>(space: Space, key: &[u8], row: &[u8]) -> Result<T, StoreError> {
    codec::decode(ROW_VERSION, space, key, row)
}

pub fn read_status(snapshot: &Snapshot<'_>, task: TaskId) -> Result<Option<Status>, StoreError> {
    let row = snapshot.get(Space::Status, task.as_bytes())?;
    row.map(|row| decode_status(task, &row)).transpose()
}

pub fn read_row<T: for<'a> Deserialize<'a>>(
    snapshot: &Snapshot<'_>,
    space: Space,
    key: &[u8],
) -> Result<Option<T>, StoreError> {
    match snapshot.get(space, key)? {
        Some(row) => decode(space, key, &row).map(Some),
        None => Ok(None),
    }
}

/// Adds the task's row, and its arguments as a blob where they are large.
pub fn put_task(batch: &mut Batch, task: &Task) -> Result<(), StoreError> {
    let id = task.id;
    let arguments = put_payload(batch, id, task.arguments.as_bytes());
    let row = TaskRow { task: Task { arguments: String::new(), ..task.clone() }, arguments };
    let environment = task.environment.clone();
    let row = match task.limits.model_cost_cents {
        limits::DEFAULT_MODEL_COST_CENTS if environment.is_empty() => encode(&row)?,
        limits::DEFAULT_MODEL_COST_CENTS => {
            codec::encode(ENVIRONMENT_ROW_VERSION, &EnvironmentTaskRow { row, environment })?
        }
        model_cost_cents => {
            let row = EnvironmentTaskRow { row, environment };
            codec::encode(BOUNDED_ROW_VERSION, &BoundedTaskRow { row, model_cost_cents })?
        }
    };
    batch.add_put(Space::Task, id.as_bytes().as_slice(), row);
    Ok(())
}

/// The task without its arguments, and where those are.
pub fn read_task_row(snapshot: &Snapshot<'_>, id: TaskId) -> Result<Option<(Task, Payload)>, StoreError> {
    let (space, key) = (Space::Task, id.as_bytes());
    let Some(row) = snapshot.get(space, key)? else { return Ok(None) };
    let (EnvironmentTaskRow { row, environment }, cents) = match codec::version(space, key, &row)? {
        BOUNDED_ROW_VERSION => {
            let BoundedTaskRow { row, model_cost_cents } =
                codec::decode(BOUNDED_ROW_VERSION, space, key, &row)?;
            (row, model_cost_cents)
        }
        ENVIRONMENT_ROW_VERSION => {
            (codec::decode(ENVIRONMENT_ROW_VERSION, space, key, &row)?, limits::DEFAULT_MODEL_COST_CENTS)
        }
        _ => {
            let row: TaskRow = decode(space, key, &row)?;
            (EnvironmentTaskRow { row, environment: Vec::new() }, limits::DEFAULT_MODEL_COST_CENTS)
        }
    };
    let limits = TaskLimits { model_cost_cents: cents, ..row.task.limits };
    Ok(Some((Task { environment, limits, ..row.task }, row.arguments)))
}

pub fn read_task(snapshot: &Snapshot<'_>, id: TaskId) -> Result<Option<Task>, StoreError> {
    let Some((task, arguments)) = read_task_row(snapshot, id)? else { return Ok(None) };
    let arguments = read_payload(snapshot, &arguments)?;
    let arguments = String::from_utf8(arguments.to_vec())
        .map_err(|_| StoreError::damaged_row(Space::Task, id.as_bytes(), "the arguments are no UTF-8"))?;
    Ok(Some(Task { arguments, ..task }))
}

/// A payload for a row: large ones go into a blob, once per digest, that this task refers to.
pub fn put_payload(batch: &mut Batch, task: TaskId, bytes: &[u8]) -> Payload {
    if bytes.len() <= limits::MAX_INLINE_PAYLOAD_BYTES {
        return Payload::Inline(bytes.to_vec());
    }
    let digest = *blake3::hash(bytes).as_bytes();
    put_blob(batch, digest, task.as_bytes(), bytes);
    Payload::Blob(digest)
}

/// A blob and who refers to it: a task's id, or `component`.
pub fn put_blob(batch: &mut Batch, digest: [u8; 32], referrer: &[u8], bytes: impl AsRef<[u8]>) {
    batch.add_put(Space::Blob, digest.as_slice(), bytes);
    batch.add_put(Space::BlobRef, blob_reference(digest, referrer), Vec::new());
}

/// `digest | referrer`
pub fn blob_reference(digest: [u8; 32], referrer: &[u8]) -> Vec<u8> {
    let mut key = digest.to_vec();
    key.extend_from_slice(referrer);
    key
}

pub fn read_payload(snapshot: &Snapshot<'_>, payload: &Payload) -> Result<Arc<[u8]>, StoreError> {
    match payload {
        Payload::Inline(bytes) => Ok(bytes.as_slice().into()),
        Payload::Blob(digest) => read_blob(snapshot, digest),
    }
}

/// Checked against its digest.
pub fn read_blob(snapshot: &Snapshot<'_>, digest: &[u8; 32]) -> Result<Arc<[u8]>, StoreError> {
    let damaged = |why| StoreError::damaged_row(Space::Blob, digest, why);
    let bytes = snapshot.get(Space::Blob, digest)?.ok_or_else(|| damaged("the blob is not there"))?;
    if blake3::hash(&bytes).as_bytes() == digest {
        Ok(bytes)
    } else {
        Err(damaged("the blob does not fit its digest"))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenRow {
    pub hash: [u8; 32],
    pub tools: Vec<String>,
    pub state: Vec<StatePattern>,
    pub created_at: u64,
}

/// Takes all rows of a space whose keys are texts that begin so, each with what stands behind that; an error of the first
/// that cannot be read.
pub fn scan_named<T: for<'a> Deserialize<'a>>(
    snapshot: &Snapshot<'_>,
    (space, prefix): (Space, &str),
    mut take: impl FnMut(String, T),
) -> Result<(), StoreError> {
    let mut fault = None;
    snapshot.scan_prefix(space, prefix.as_bytes(), false, |key, row| match decode(space, key, row) {
        Ok(row) => {
            take(String::from_utf8_lossy(&key[prefix.len()..]).into_owned(), row);
            ControlFlow::Continue(())
        }
        Err(error) => {
            fault = Some(error);
            ControlFlow::Break(())
        }
    })?;
    fault.map_or(Ok(()), Err)
}

/// Settings that name principals whose token was revoked, until they have another.
pub const REVOKED_PREFIX: &str = "revoked/";

pub fn revoked_key(name: &str) -> String {
    format!("{REVOKED_PREFIX}{name}")
}

/// Settings that name blocked components.
pub const BLOCKED_PREFIX: &str = "blocked/";

pub fn blocked_key(name: &str) -> String {
    format!("{BLOCKED_PREFIX}{name}")
}

/// A component that is blocked, under its name or its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRow {
    pub at: u64,
    /// Its versions that were known then.
    pub components: Vec<ComponentId>,
}

/// The row that a sweep finds an ended task by.
pub fn ended_key(at: u64, id: TaskId) -> Vec<u8> {
    let mut key = at.to_be_bytes().to_vec();
    key.extend_from_slice(id.as_bytes());
    key
}

pub fn read_result(snapshot: &Snapshot<'_>, id: TaskId) -> Result<ToolResult, StoreError> {
    let missing = || StoreError::damaged_row(Space::Result, id.as_bytes(), "the row is missing");
    find_result(snapshot, id)?.ok_or_else(missing)
}

/// The same, `None` where it is not there, or not any more.
pub fn find_result(snapshot: &Snapshot<'_>, id: TaskId) -> Result<Option<ToolResult>, StoreError> {
    let (space, key) = (Space::Result, id.as_bytes());
    let Some(payload) = read_row::<Payload>(snapshot, space, key)? else { return Ok(None) };
    let bytes = read_payload(snapshot, &payload)?;
    codec::decode(ROW_VERSION, space, key, &bytes).map(Some)
}
