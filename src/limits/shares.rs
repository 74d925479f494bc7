//! What the process has, and one principal of it.

/// Of most things, one principal with tokens has at most one part in so many.
pub const PRINCIPALS_PART: u64 = 8;
/// Of each thing, one part in so many is kept for the owner's own programs and commands.
pub const OWNERS_PART: u64 = 8;
/// Of the bytes that all may keep in the store, one principal has one part in so many: those of a month are many more
/// than those of a moment, and most stores have few principals.
pub const STORED_SHARE_PART: u64 = 4;
/// Entries of shared state in all namespaces, and with the others' reserve and share.
pub const MAX_SHARED_STATE_ENTRIES: u64 = 1_000_000;
/// What a task is counted with in the store from its beginning, besides what it was called with: its small rows, and as
/// much again for what it adds, so that most tasks are counted once.
pub const TASK_CHARGE_BYTES: u64 = 4 * 1024;
/// How much of that its first rows take.
pub const TASK_ROWS_BYTES: u64 = 1024;
/// What a row costs in the store besides its key and its value.
pub const ROW_CHARGE_BYTES: u64 = 16;
/// A task that grows past what it is counted with is counted with so much more at once, bytes.
pub const CHARGE_STEP_BYTES: u64 = 16 * 1024;
/// A task that ends gives back what it was counted with and does not have, where that is so much.
pub const CHARGE_RETURN_BYTES: u64 = 8 * 1024;
/// What an entry of shared state costs in the store besides its namespace, its key and its value.
pub const STATE_ENTRY_CHARGE_BYTES: u64 = 128;
/// Principals that hold nothing of a thing and are remembered all the same, for each thing.
pub const MAX_IDLE_PRINCIPALS: usize = 256;
/// Memory that callers cause, bytes, where nothing is known of the machine: of requests, answers, guests and open tasks.
pub const DEFAULT_SHARED_MEMORY_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// Of that memory, open tasks have at most one part in so many.
pub const TASKS_PART_OF_MEMORY: u64 = 2;
/// Of that memory, requests, and answers, have at most one part in so many each.
pub const MESSAGES_PART_OF_MEMORY: u64 = 4;
/// Requests over HTTP that are not answered, listeners aside.
pub const MAX_REQUESTS_IN_FLIGHT: u64 = 65_536;
/// Samples that wait for their answers, of all tasks.
pub const MAX_WAITING_SAMPLES: u64 = 100_000;
/// Questions that are open, of all tasks.
pub const MAX_SERVER_QUESTIONS: u64 = 1_000_000;
/// Requests that one principal sends with tokens, a second, where the operator does not say otherwise.
pub const DEFAULT_REQUESTS_PER_SECOND: u32 = 200;
/// Before it is known whose requests they bring, one machine, or one user of this one who is not the owner, has at most
/// one part in so many of the connections: it may be a proxy that brings all others.
pub const PEERS_CONNECTIONS_PART: u64 = 2;
/// Connections of the HTTP server at once, where the process may have so many descriptors.
pub const MAX_CONNECTIONS: usize = 16_384;
