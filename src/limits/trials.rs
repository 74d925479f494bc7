//! Trying components, and taking a task home.

/// Interruptions of one check: with more records they are spread evenly over them. Each runs the tool once more.
pub const MAX_CHECK_INTERRUPTIONS: u64 = 400;
/// One run of a check, seconds of the machine; its sleeps take none.
pub const MAX_CHECK_RUN_SECONDS: u64 = 600;
/// So long a check looks whether a wait ends by itself, milliseconds: what is on disk already ends it at once.
pub const CHECK_PATIENCE_MS: u64 = 250;
/// Sleeps of one run of a check: a tool that polls without end never ends by itself.
pub const MAX_CHECK_SLEEPS: u64 = 100_000;
/// A file of answers, bytes: it holds what models and servers say.
pub const MAX_ANSWERS_BYTES: u64 = 32 * 1024 * 1024;
/// Entries and bytes of a folder that is bound in a check: each run gets a copy.
pub const MAX_CHECK_FILES: usize = 10_000;
pub const MAX_CHECK_FILES_BYTES: u64 = 256 * 1024 * 1024;
/// What went wrong that a check says in words; its JSON has all.
pub const MAX_PROBLEMS_SHOWN: usize = 8;
/// Of a bound more than this part is near it, percent.
pub const NEAR_BOUND_PERCENT: u64 = 50;
/// Records that a probe remembers, for a comparison of journals.
pub const MAX_PROBED_RECORDS: usize = 200_000;
/// Capabilities that a guest was refused and a check names, and bytes of each line.
pub const MAX_PROBED_REFUSALS: usize = 256;
pub const MAX_PROBED_REFUSAL_BYTES: usize = 400;
/// What a probe keeps of a replayed log, bytes.
pub const MAX_PROBED_LOG_BYTES: usize = 4 * 1024 * 1024;
/// Head of an exported task, bytes: its definition is the most of it.
pub const MAX_PACKED_HEAD_BYTES: u64 = 2 * 1024 * 1024;
/// The task itself, bytes: its arguments are the most of it.
pub const MAX_PACKED_TASK_BYTES: u64 = 6 * 1024 * 1024;
/// Its environment, bytes.
pub const MAX_PACKED_ENVIRONMENT_BYTES: u64 = 2 * super::MAX_ENVIRONMENT_BYTES as u64;
/// Its journal, and all its operations together, bytes each: what a task may have by default.
pub const MAX_PACKED_RECORDS_BYTES: u64 = 256 * 1024 * 1024;
/// One operation, bytes: an answer with its headers.
pub const MAX_PACKED_OP_BYTES: u64 = 32 * 1024 * 1024;
/// Operations of one task.
pub const MAX_PACKED_OPS: usize = 200_000;
/// Of them so many are put into a scratch store before any is waited for; each may be as large as above.
pub const MAX_UNPACKED_AT_ONCE: usize = 8;
/// Its checkpoint, bytes.
pub const MAX_PACKED_CHECKPOINT_BYTES: u64 = 17 * 1024 * 1024;
/// One replay of an exported task, seconds of the machine.
pub const MAX_REPLAY_SECONDS: u64 = 900;
/// One replay of an open task with another component, seconds of the machine.
pub const MAX_TRIAL_SECONDS: u64 = 60;
/// Such replays at once: each has a guest of its own in memory, besides those that are served.
pub const MAX_TRIALS_AT_ONCE: usize = 2;
/// Journal and operations of a task that is replayed so, bytes: they are in memory twice.
pub const MAX_TRIED_BYTES: u64 = 64 * 1024 * 1024;
/// Page cache of the scratch store of one such replay, bytes.
pub const TRIAL_CACHE_BYTES: usize = 4 * 1024 * 1024;
/// Tasks that one request tries, or moves; the next request goes on behind them.
pub const MAX_TRIALS_A_REQUEST: usize = 32;
/// After so many seconds a request tries no further one.
pub const TRIAL_REQUEST_SECONDS: u64 = 10;
/// A move of one task is tried so often where it changes meanwhile.
pub const MAX_MOVE_TRIES: usize = 3;
/// At the end of a replay requests that are under way are held against what left: so long at most, seconds.
pub const MAX_COMPARED_SECONDS: u64 = 2;
/// Tasks that are tried while a person is asked to approve a component; the rest by `tool update --try`.
pub const MAX_TRIALS_AT_APPROVAL: usize = 64;
/// Kinds of differences, and tasks of each, that a trial names in words; its JSON has all.
pub const MAX_TRIAL_GROUPS_SHOWN: usize = 16;
pub const MAX_TRIED_TASKS_SHOWN: usize = 5;
/// An export that a server hands out, bytes; a larger one is made from its data folder while it is stopped.
pub const MAX_SERVED_EXPORT_BYTES: usize = 128 * 1024 * 1024;
/// A piece of it, bytes.
pub const MAX_EXPORT_PIECE_BYTES: usize = 4 * 1024 * 1024;
