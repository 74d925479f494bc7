//! The store, and how long it keeps what has ended.

/// Batches that wait for the writer; beyond, a commit is refused as busy.
pub const MAX_QUEUED_BATCHES: usize = 65_536;
/// Batches that share one fsync.
pub const MAX_GROUP_BATCHES: usize = 4_096;
/// How long a batch that is in no hurry waits for one to share its commit with. Milliseconds.
pub const PATIENT_BATCH_MS: u64 = 10;
/// After a commit that so many batches waited for, the writer waits for the half of them to come again: what comes
/// meanwhile shares a sync that the first of them would else have for itself. A single client never waits for others.
pub const MIN_GATHERED_ANSWERS: usize = 4;
/// It waits no longer than this, microseconds: about what a guest computes from one step to the next.
pub const GATHER_MICROS: u64 = 100;
/// How much later than asked for the system may wake the writer, nanoseconds: else half as much again as it gathers for.
pub const WRITER_TIMER_SLACK_NANOS: u64 = 1_000;
/// A commit with fewer answers wakes whom they concern from the writer's own thread: most of them are guests, to whose
/// threads a task of the runtime is as foreign.
pub const MIN_SPREAD_ANSWERS: usize = 256;
/// Answers that one task of the runtime gives: as many as fit a worker's own queue, and several workers share them.
pub const ANSWERS_PER_TASK: usize = 128;
/// Bytes that share one fsync; a commit of more is one big row, and latency grows with it.
pub const MAX_GROUP_BYTES: usize = 1024 * 1024;
/// A batch up to this is copied into the queue's own buffer, which costs less than memory that one thread takes and
/// another gives back; a longer one is handed over as it is, since others wait for the copy. Bytes.
pub const MAX_COPIED_FRAME_BYTES: usize = 16 * 1024;
/// Bytes of the unfolded end of the log; start-up reads this much at most (twice, while folding).
pub const MAX_UNFOLDED_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of the ring in a store's file that commits are written to: as much as may be unfolded, twice over, since a
/// short row takes a sector.
pub const RING_BYTES: u64 = 64 * 1024 * 1024;
/// On a small disk the ring is this part of it.
pub const RING_PART_OF_DISK: u64 = 64;
/// And no less than this, bytes: room for the largest usual group.
pub const MIN_RING_BYTES: u64 = 2 * 1024 * 1024;
/// A file that says that its ring has more is damaged, bytes.
pub const MAX_RING_BYTES: u64 = 1024 * 1024 * 1024;
/// A commit at a place of the ring that was never written to takes the disk's blocks up to the next multiple of this,
/// bytes: so most commits find theirs, and need no sync of the file system's own books.
pub const RING_FILL_BYTES: u64 = 256 * 1024;
/// So much of the ring is searched at a start after a crash for commits behind one that is broken, bytes: that takes a
/// thousandth of a second. `doctor --check` searches all of it, and so does a reader.
pub const MAX_SEARCHED_RING_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of it that are left unfolded when the store is idle: so much is read in no time, and a slow trickle of
/// tasks need not pay for folding each row as it comes.
pub const MAX_IDLE_UNFOLDED_BYTES: usize = 64 * 1024;
/// Rows that one commit folds along the way, so that folding shows in no p99.
pub const FOLD_SLICE_ROWS: usize = 256;
/// Bytes that one commit folds along the way, about; rows may be large.
pub const FOLD_SLICE_BYTES: usize = 512 * 1024;
/// Slices that are folded between two commits, where that takes a transaction of its own: its two syncs and its pages
/// cost the same however many rows it folds.
pub const BETWEEN_FOLD_SLICES: usize = 4;
/// While batches wait, this part of what is to be folded may be overdue.
pub const OVERDUE_FOLD_PART: usize = 64;
/// Slices that a commit folds when nothing waits for it.
pub const IDLE_FOLD_SLICES: usize = 16;
/// Folded log rows that one commit removes, and so many times `IDLE_FOLD_SLICES` when nothing waits. More than one, or the log would never get shorter.
pub const LOG_TRIM_ROWS: usize = 64;
/// Values above this go straight into their base table instead of through the log: a large value is written
/// once, and would otherwise be read again at each start. Bytes.
pub const MAX_LOGGED_VALUE_BYTES: usize = 256 * 1024;
/// What one batch may put into the log, bytes. It is one row, and held in memory until it is folded.
pub const MAX_BATCH_LOG_BYTES: usize = 8 * 1024 * 1024;
/// What one batch may write past the log, bytes: a component, or all outputs of a task, twice over.
pub const MAX_BATCH_DIRECT_BYTES: usize = 128 * 1024 * 1024;
/// Bytes that wait for the writer; beyond, a commit is refused as busy. Room for two of the largest batches.
pub const MAX_QUEUED_BYTES: usize = 288 * 1024 * 1024;
/// Bytes of a key: ids and names, some of them chosen by clients, never documents.
pub const MAX_KEY_BYTES: usize = 4 * 1024;
/// Neighbouring rows that are stored as one, bytes. With the key they fit two pages of the file: large
/// enough that a journal is folded in few writes, small enough to be rewritten when one row changes.
pub const MAX_RUN_BYTES: usize = 8_000;
/// Dead space that start-up compacts, bytes, if it is also three quarters of the file; less is not worth the
/// wait, since new rows will fill it.
pub const MIN_COMPACT_BYTES: u64 = 64 * 1024 * 1024;
/// A file up to this is searched after a crash for commits that the disk has lost, bytes: that takes a few hundredths of a
/// second. `doctor --check` searches any.
pub const MAX_SEARCHED_BYTES: u64 = 64 * 1024 * 1024;
/// Links that the path of a data folder may lead over: as many as Linux follows.
pub const MAX_LINKS_TO_DATA: usize = 40;
/// redb's page cache, bytes.
pub const STORE_CACHE_BYTES: usize = 64 * 1024 * 1024;
/// What one record of a backup may have, bytes: the largest value of a row, and its key.
pub const MAX_BACKUP_RECORD_BYTES: usize = MAX_BATCH_DIRECT_BYTES + 1024 * 1024;
/// Rows that a restored store writes in one commit, bytes.
pub const RESTORE_COMMIT_BYTES: usize = 32 * 1024 * 1024;
/// The openings of a restored store are counted from so much further on, and up to twice that: no start of the store
/// that it was taken from comes there, and of two that are restored each has numbers of its own.
pub const RESTORED_BOOT_GAP: u64 = 1 << 20;
/// Backups that a server makes at once.
pub const MAX_BACKUPS: usize = 2;
/// Those that wait for their turn, or are made.
pub const MAX_WAITING_BACKUPS: usize = 16;
/// What is read of a backup at once on its way, bytes.
pub const BACKUP_BUFFER_BYTES: usize = 256 * 1024;
/// A backup whose reader takes nothing for so long is given up: until it ends, the store's file cannot use freed pages
/// again. Its reader gives up a server that gives nothing for as long. Seconds.
pub const BACKUP_STALL_SECONDS: u64 = 60;
/// What the store's reserve holds of its disk, bytes, unless that is a large part of it: some ten thousand cancels.
pub const MAX_RESERVE_BYTES: u64 = 16 * 1024 * 1024;
/// The reserve is at most this part of its disk.
pub const RESERVE_PART_OF_DISK: u64 = 16;
/// An operator may set less, but no less than this, MiB.
pub const LEAST_RESERVE_MIB: u32 = 4;
/// With less than this free, besides the reserve, new work is refused, bytes: what runs and ends has its room.
pub const MAX_WATERMARK_BYTES: u64 = 64 * 1024 * 1024;
/// That is at most this part of the disk.
pub const WATERMARK_PART_OF_DISK: u64 = 8;
/// What is given up of the reserve at once, bytes: what is free for all may be gone before it is written to.
pub const RESERVE_SLICE_BYTES: u64 = 1024 * 1024;
/// A quarter of what is left, where that is less; and never less than this, bytes.
pub const MIN_RESERVE_SLICE_BYTES: u64 = 64 * 1024;
/// The disk of the store is looked at this often while it is written to. Milliseconds.
pub const DISK_LOOK_MS: u64 = 100;
/// Where there is no room, it is looked at again this soon. Milliseconds.
pub const FULL_DISK_LOOK_MS: u64 = 10;
/// What waits for room on the disk looks for it this often, milliseconds.
pub const NO_SPACE_RETRY_MS: u64 = 500;
/// When a caller that was refused for want of room is to ask again. Seconds.
pub const NO_SPACE_RETRY_SECONDS: u64 = 10;
/// After this long without a commit one quick-repair commit makes the next start fast. Milliseconds.
pub const IDLE_QUICK_REPAIR_MS: u64 = 100;

/// Seconds that an ended task is kept, with its result, outputs and log, unless the operator says otherwise.
pub const DEFAULT_RETENTION_SECONDS: u64 = 30 * 86_400;
/// Days that it may be set to: a century. Longer is for ever, which is written 0.
pub const MAX_RETENTION_DAYS: u64 = 36_525;
/// The first sweep comes so long after a start, whose first callers are served before. Milliseconds.
pub const SWEEP_DELAY_MS: u64 = 200;
/// Seconds between two sweeps.
pub const SWEEP_INTERVAL_SECONDS: u64 = 600;
/// The last date that is read from a wall clock, nanoseconds since 1970: in the year 2454. What is counted on from it, a
/// hundred years at most, is a date too.
pub const LAST_WALL_NANOS: u64 = u64::MAX - 100 * 365 * 86_400 * 1_000_000_000;
/// A wall clock that goes further at once, measured by the clock that cannot be set, was set.
pub const MAX_CLOCK_STEP_SECONDS: u64 = 3_600;
/// So long a clock that was set ahead while a process runs must stay so before the sweep goes by it. Seconds.
pub const SET_CLOCK_BELIEVED_SECONDS: u64 = 86_400;
/// Ended tasks that a sweep looks up at once, and rows of tasks that it reads in one snapshot.
pub const SWEEP_SLICE_TASKS: usize = 64;
pub const SWEEP_SCAN_TASKS: usize = 1_000;
