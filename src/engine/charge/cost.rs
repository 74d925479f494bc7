//! Names of counts, and what a row costs.

use std::sync::Arc;

use crate::limits;
use crate::shares::Pool;
use crate::store::Count;
use crate::task::TaskId;

/// Bytes that a principal keeps in the store.
/// No task's id begins so.
pub const BYTES: u8 = b'b';
/// Entries of shared state that a principal wrote last.
pub const ENTRIES: u8 = b'e';

/// Tokens that a principal spent on models on a day, and what they cost.
pub const TOKENS: u8 = b'm';
pub const COST: u8 = b'n';

/// What counts by name.
pub const KINDS: [u8; 4] = [BYTES, ENTRIES, TOKENS, COST];

/// Who has how much of it, as a pool.
pub fn pool_of(kind: u8) -> Option<Pool> {
    match kind {
        BYTES => Some(Pool::StoredBytes),
        ENTRIES => Some(Pool::StateEntries),
        _ => None,
    }
}

/// What a principal's tasks and entries are counted in.
pub fn bytes_of(principal: Arc<str>) -> Count {
    Count::Named { kind: BYTES, name: principal }
}

pub fn entries_of(principal: Arc<str>) -> Count {
    Count::Named { kind: ENTRIES, name: principal }
}

pub fn tokens_of(day: u64, principal: &str) -> Count {
    Count::Named { kind: TOKENS, name: format!("{day}/{principal}").into() }
}

pub fn cost_of(day: u64, principal: &str) -> Count {
    Count::Named { kind: COST, name: format!("{day}/{principal}").into() }
}

/// What a task is counted with besides its first bytes.
pub fn more_of(task: TaskId) -> Count {
    Count::Task(*task.as_bytes())
}

/// What a task with so long arguments is counted with from its beginning.
pub fn first(arguments: usize) -> u64 {
    limits::TASK_CHARGE_BYTES + arguments as u64
}

/// What a row costs, whose key and value have so many bytes.
pub fn of_row(key: usize, value: usize) -> u64 {
    (key + value) as u64 + limits::ROW_CHARGE_BYTES
}

/// What an entry of shared state costs.
pub fn of_entry(namespace: &str, key: &str, value: &str) -> u64 {
    (namespace.len() + key.len() + value.len()) as u64 + limits::STATE_ENTRY_CHARGE_BYTES
}

/// A sum as a change of a count.
pub fn change(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
