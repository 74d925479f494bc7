//! Every bound of Longhaul, unit last, with its reason. A bound that is not here does not exist.

/// Bytes of one argument object; a model does not write more, and it is held in memory several times.
pub const MAX_ARGUMENTS_BYTES: usize = 4 * 1024 * 1024;
/// Payloads above this are stored once, by digest, apart from the row that names them.
pub const MAX_INLINE_PAYLOAD_BYTES: usize = 16 * 1024;
/// Characters of an idempotency key; a digest or a UUID fits many times.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 256;
/// Bytes of a `traceparent`: version 00 has 55, and later ones may say more.
pub const MAX_TRACEPARENT_BYTES: usize = 128;
/// Bytes of a `tracestate`: what W3C wants everybody to pass on at least.
pub const MAX_TRACESTATE_BYTES: usize = 512;
/// Bytes of a `baggage`: what W3C wants everybody to pass on at least.
pub const MAX_BAGGAGE_BYTES: usize = 8192;
/// Bytes of a principal's name.
pub const MAX_PRINCIPAL_BYTES: usize = 128;
/// Tokens that are valid at once; all are held in memory.
pub const MAX_TOKENS: usize = 10_000;
/// Globs of tools, and of state, that one token names; each call is compared with all of them.
pub const MAX_TOKEN_GLOBS: usize = 256;
/// Bytes of what a client calls itself, as far as it is kept.
pub const MAX_CLIENT_NAME_BYTES: usize = 128;

/// Rows of refusals that one principal has written one by one; further kinds are folded.
pub const AUDIT_SINGLE_ROWS: u32 = 12;
/// The same of the owner, whose own programs they are.
pub const AUDIT_SINGLE_ROWS_OF_OWNER: u32 = 1_000;
/// One more may be written so after this long. Seconds.
pub const AUDIT_SINGLE_ROW_SECONDS: u64 = 15;
/// What is folded is written this long after it began. Seconds.
pub const AUDIT_FOLD_SECONDS: u64 = 60;
/// Kinds that are kept apart when they are folded: by action and reason.
pub const MAX_AUDIT_FOLDED_KINDS: usize = 8;
/// Principals whose refusals wait to be written; those of more are one.
pub const MAX_AUDIT_PENDING_PRINCIPALS: usize = 1_024;
/// Rows of what was refused or repeated that are kept, about 20 MB; the oldest go of whom there are most. What was done has
/// a retention only.
pub const MAX_AUDIT_REFUSALS: u64 = 100_000;
/// Those of one principal, or of all callers without a token.
pub const MAX_AUDIT_REFUSALS_OF_ONE: u64 = MAX_AUDIT_REFUSALS / PRINCIPALS_PART;
/// The kernel says at once whose a connection is; one that has not by now is not waited for. Milliseconds.
pub const PEER_LOOKUP_MS: u64 = 1_000;
/// Refusals are written at most this often. Milliseconds.
pub const AUDIT_INTERVAL_MS: u64 = 1_000;
/// Rows of the audit that one page looks at.
pub const MAX_AUDIT_PAGE_ROWS: usize = 1_000;
/// Seconds that a row of the audit is kept, unless the operator says otherwise: a quarter of a year.
pub const DEFAULT_AUDIT_RETENTION_SECONDS: u64 = 90 * 86_400;
/// Rows of the audit that one commit of a sweep deletes.
pub const SWEEP_AUDIT_ROWS: usize = 1_000;

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

/// Memory of one instance, MiB, unless the manifest or the operator says otherwise.
pub const DEFAULT_MEMORY_MIB: u64 = 256;
/// Awake time of one task, seconds: what it may compute, over all its attempts, without replay.
pub const DEFAULT_RUN_SECONDS: u64 = 300;
/// Total time of one task, seconds: with all its waits.
pub const DEFAULT_TOTAL_SECONDS: u64 = 7 * 86_400;
/// Journal of one task, MiB. Replay reads all of it.
pub const DEFAULT_JOURNAL_MIB: u64 = 256;
/// Result of one task, KiB.
pub const DEFAULT_RESULT_KIB: u64 = 1024;
/// Questions that one task may ask.
pub const DEFAULT_QUESTIONS: u32 = 10;
/// Samples that one task may request.
pub const DEFAULT_SAMPLES: u32 = 20;
/// Tokens that all samples of one task may cost.
pub const DEFAULT_SAMPLE_TOKENS: u64 = 20_000;

/// What a manifest may ask for at most; beyond, loading it fails. 4 GiB is all a 32-bit memory has.
pub const MAX_MEMORY_MIB: u64 = 4096;
/// A day of computing; longer work is several tasks. Seconds.
pub const MAX_RUN_SECONDS: u64 = 86_400;
/// Ten years: nanoseconds since a task's creation fit 64 bits many times over. Seconds.
pub const MAX_TOTAL_SECONDS: u64 = 3_653 * 86_400;
/// Replay reads all of a journal: at 16 GiB that alone takes minutes. MiB.
pub const MAX_JOURNAL_MIB: u64 = 16_384;
/// A result is held in memory and sent in one message. KiB.
pub const MAX_RESULT_KIB: u64 = 65_536;
/// More of one task are not answered.
pub const MAX_QUESTIONS: u64 = 10_000;
/// Samples cost their user money.
pub const MAX_SAMPLES: u64 = 100_000;
pub const MAX_SAMPLE_TOKENS: u64 = 1_000_000_000;
/// Tries of one task; with the longest backoff they span months.
pub const MAX_RETRY_ATTEMPTS: u64 = 1_000;
/// First wait before a retry, seconds; no later one is longer either.
pub const MAX_BACKOFF_SECONDS: u64 = 3_600;
/// Replay may take this many times the awake time that was spent before, and never less than the floor.
pub const REPLAY_BUDGET_FACTOR: u64 = 3;
/// Floor of the replay budget, seconds: compiling, loading and a slow disk are in it.
pub const REPLAY_BUDGET_FLOOR_SECONDS: u64 = 30;

/// How often a change looks for its task, whose end or reopening is on its way, before its caller is to look again.
pub const MAX_LOOKS: usize = 4;

/// How long what the engine itself has to write waits where the store is busy, milliseconds.
pub const BUSY_RETRY_MS: u64 = 20;

/// Instances that live at once. Each takes about seven of the kernel's 65,530 maps per process.
pub const MAX_LIVE_INSTANCES: usize = 512;
/// Memory that an instance takes when it begins, and by which it takes more, bytes.
pub const GUEST_MEMORY_STEP_BYTES: u64 = 1024 * 1024;
/// The longest time between two tasks of a tool that has a rate; a month. Seconds.
pub const MAX_RATE_PERIOD_SECONDS: u64 = 31 * 86_400;
/// What an open task takes of memory whatever it waits for, bytes: its status, its places in queues, short arguments.
pub const OPEN_TASK_BYTES: u64 = 2 * 1024;
/// Arguments that stay in memory while their task waits for its first instance, bytes; longer ones are read again then.
pub const MAX_KEPT_ARGUMENTS_BYTES: usize = 1024;
/// What an attempt reads before it begins and is not counted, bytes: as long as it is no more, its first step of memory
/// has room for it.
pub const UNCOUNTED_PAST_BYTES: u64 = 64 * 1024;
/// Copies of a task's arguments that there are while its instance is called: their text, their values, what is passed.
pub const ARGUMENTS_COPIES: u64 = 3;
/// Tasks that may be open (not finished) at once; beyond, a submission is refused with that word.
pub const MAX_OPEN_TASKS: usize = 1_000_000;
/// A task that waits for a timer alone that is due later than this leaves memory at once. Milliseconds.
pub const SUSPEND_GRACE_MS: u64 = 5_000;
/// What that grace may be set to; an hour in memory for nothing is much. Milliseconds.
pub const MAX_SUSPEND_GRACE_MS: u64 = 3_600_000;
/// A task that waits for a person, a message or a child leaves memory after this: answers of programs come
/// sooner, those of people later. Milliseconds.
pub const EVENT_GRACE_MS: u64 = 500;
/// A wait for time alone that is over sooner takes no instance out of memory, even where others need room. Milliseconds.
pub const LEAST_EVICTED_WAIT_MS: u64 = 250;
/// Messages that one task may be sent in all; a conversation, not a stream of data.
pub const MAX_TASK_MESSAGES: u64 = 1_000;
/// Name of a message, bytes of UTF-8.
pub const MAX_MESSAGE_NAME_BYTES: usize = 128;
/// Payload of one message, bytes of JSON; larger things are outputs or shared state.
pub const MAX_MESSAGE_PAYLOAD_BYTES: usize = 64 * 1024;
/// Generations of tasks that call tasks. Circles of tools that call each other end here.
pub const MAX_CALL_DEPTH: u32 = 8;
/// Children of one task that are open at once: more is a queue, which the tool can keep itself.
pub const MAX_OPEN_CHILDREN: usize = 256;
/// Tasks under one root, in all its life: what a tree that only grows may cost.
pub const MAX_TREE_TASKS: u64 = 10_000;
/// Tools that one call may name besides the first, and how often each may be tried again.
pub const MAX_ALTERNATIVES: usize = 16;
pub const MAX_CHILD_RETRIES: u32 = 100;
/// Names that one receive may list.
pub const MAX_RECEIVED_NAMES: usize = 64;
/// Key of a question, bytes: a word for people and programs to name it by.
pub const MAX_QUESTION_KEY_BYTES: usize = 64;
/// Message of a question, bytes; a person reads it before they answer.
pub const MAX_QUESTION_BYTES: usize = 16 * 1024;
/// Fields of one form; people do not fill in more.
pub const MAX_FORM_FIELDS: usize = 64;
/// Request of one sample, bytes of JSON; pictures are in it.
pub const MAX_SAMPLE_REQUEST_BYTES: usize = 2 * 1024 * 1024;
/// One answer, bytes of JSON.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// Questions of one task that are open at once; all are in its document.
pub const MAX_OPEN_QUESTIONS: usize = 32;
/// Open questions that a task's document shows, those of the tasks below it after its own: enough for a person.
pub const MAX_SHOWN_QUESTIONS: usize = 64;
/// Answered questions that a task's document shows, the newest.
pub const MAX_SHOWN_ANSWERS: usize = 100;
/// Time to answer a question unless it says otherwise; people look once a day. Seconds.
pub const DEFAULT_QUESTION_SECONDS: u64 = 86_400;
/// A sample that no client takes up ends after this, and one that a client works on is looked at
/// again so often. Seconds.
pub const AT_HAND_SECONDS: u64 = 60;
/// Times that one question is put to one client whose answers do not fit.
pub const MAX_OFFERS: u32 = 3;
/// How long the state of a call's rounds holds; a week, as the total time of a task. Seconds.
pub const REQUEST_STATE_SECONDS: u64 = 7 * 86_400;
/// One answer of the configured endpoint: models think for minutes. Seconds.
pub const SAMPLE_SECONDS: u64 = 600;
/// Samples that the configured endpoint is asked for at once.
pub const MAX_ENDPOINT_SAMPLES: usize = 16;
/// What a token of an answer is taken for where the count is not known; texts in English have about four bytes.
pub const BYTES_PER_TOKEN: u64 = 4;
/// Name of a namespace of shared state, bytes. It stands in URIs, grants and commands.
pub const MAX_STATE_NAMESPACE_BYTES: usize = 64;
/// Key of an entry of shared state, bytes of UTF-8.
pub const MAX_STATE_KEY_BYTES: usize = 512;
/// Value of an entry, bytes of JSON. Each read of a guest is kept in its journal; larger things are outputs.
pub const MAX_STATE_VALUE_BYTES: usize = 64 * 1024;
/// Entries that are written together: with values of the bound above they still fit one batch.
pub const MAX_STATE_PUT_KEYS: usize = 64;
/// Entries of one namespace.
pub const MAX_STATE_ENTRIES: u64 = 100_000;
/// Keys and values of one namespace, bytes.
pub const MAX_STATE_NAMESPACE_HELD_BYTES: u64 = 256 * 1024 * 1024;
/// Deleted entries of one namespace of which the versions are kept one by one; of others only the highest is.
pub const MAX_STATE_TOMBSTONES: u64 = 10_000;
/// Namespaces; one that holds nothing gives way to a new one.
pub const MAX_STATE_NAMESPACES: usize = 1_024;
/// Bytes of entries after which a page of a list ends: a guest keeps each page in its journal.
pub const MAX_STATE_PAGE_BYTES: usize = 256 * 1024;
/// Seconds that an entry may be set to live; ten years. Longer is for ever.
pub const MAX_STATE_TTL_SECONDS: u64 = 3_653 * 86_400;
/// Expired entries that one commit sweeps.
pub const STATE_EXPIRY_SLICE: usize = 256;
/// Seconds after which expired entries are looked for at the latest: the wall clock may have been set.
pub const STATE_EXPIRY_LOOK_SECONDS: u64 = 60;
/// Time that a cancelled guest has to clean up, if it imports `cancellation`. Milliseconds.
pub const CANCEL_GRACE_MS: u64 = 5_000;
/// A sleep, a deadline or a wait that a suspend of the machine has made due ends so long after at the latest: tokio's
/// timers do not count a suspend, so each longer one looks at its clock so often. Milliseconds.
pub const SUSPEND_LOOK_MS: u64 = 2_000;
/// What a busy guest has recorded or printed is committed at the latest after this. Milliseconds.
pub const FLUSH_INTERVAL_MS: u64 = 50;
/// Journal bytes that wait for a commit before a record has to wait for one. Bounds memory per task.
pub const MAX_PENDING_JOURNAL_BYTES: usize = 1024 * 1024;
/// Of the memory that a task's records lay in, what is kept for those that follow, bytes.
pub const KEPT_JOURNAL_BUFFER_BYTES: usize = 1024;

/// What is kept of a task's steps and their times, KiB, keys included; the oldest is folded to its numbers.
pub const DEFAULT_TRACE_KIB: u64 = 64;
pub const MIN_TRACE_KIB: u64 = 16;
pub const MAX_TRACE_KIB: u64 = 1024;
/// It is folded in blocks of this, KiB.
pub const TRACE_BLOCK_KIB: u64 = 8;
/// A row of a trace is written again, longer, by each commit until it has so many bytes.
pub const TRACE_ROW_BYTES: usize = 256;
/// What a step is called in a trace, bytes: its place, its tool, its key.
pub const MAX_TRACE_LABEL_BYTES: usize = 96;
/// Labels of one block that later steps name by number; with more, each is written out.
pub const MAX_TRACE_LABELS: usize = 64;
/// Steps under way that a trace follows; of more, the oldest leave no entry.
pub const MAX_TRACE_OPEN_STEPS: usize = 256;
/// A wait that was shorter is no step: guests that poll do it by the thousand. Microseconds.
pub const MIN_TRACED_WAIT_MICROS: u64 = 1_000;

/// Log of one task, bytes (stdout, stderr and log lines); the rest is dropped and counted.
pub const MAX_LOG_BYTES: u64 = 4 * 1024 * 1024;
/// Functions that the refusal of a component names, and bytes of each name.
pub const MAX_NAMED_FUNCTIONS: usize = 8;
pub const MAX_FUNCTION_NAME_SHOWN_BYTES: usize = 200;
/// Levels of components and modules within a component of which some parts are put aside.
pub const MAX_NESTED_COMPONENTS: usize = 32;
/// Tools that are named as a component's toolchain, and bytes of each name with its version.
pub const MAX_TOOLCHAINS: usize = 16;
pub const MAX_TOOLCHAIN_NAME_BYTES: usize = 80;
/// Items of all fixed-length lists of one type together: each is a value of its own in memory.
pub const MAX_FIXED_LIST_ITEMS: u64 = 64 * 1024;
/// Hosts of which stderr tells that a component was refused them, in one process; and bytes of a host that is shown.
pub const MAX_TOLD_HOSTS: usize = 1024;
pub const MAX_SHOWN_HOST_BYTES: usize = 300;
/// Refused hosts that the log of one instance names.
pub const MAX_REFUSED_HOST_LINES: usize = 16;
/// Compiling a component that takes longer is said on stderr, milliseconds.
pub const SLOW_COMPILE_MS: u64 = 1_000;
/// What an error quotes of its task's log where the guest trapped: lines, bytes of one, bytes of all together. A
/// language's runtime prints the reason first and its stack behind it: an exception with a cause is two of each.
pub const TRAP_LOG_LINES: usize = 40;
pub const TRAP_LOG_LINE_BYTES: usize = 800;
pub const TRAP_LOG_BYTES: usize = 4 * 1024;
/// The end of its log that each live instance keeps in memory for that, bytes: a message that repeats what it could
/// not parse is one line of many KiB, and its beginning says what it is. It grows with what is written.
pub const TRAP_LOG_KEPT_BYTES: usize = 32 * 1024;
/// A backtrace in the error of a trap, bytes.
pub const MAX_BACKTRACE_BYTES: usize = 4 * 1024;
/// One log line or status message, bytes.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024;
/// Named outputs of one task.
pub const MAX_OUTPUTS: usize = 1_024;
/// Name of an output, bytes of UTF-8.
pub const MAX_OUTPUT_NAME_BYTES: usize = 256;
/// All outputs of one task together, bytes.
pub const MAX_OUTPUT_BYTES: u64 = 64 * 1024 * 1024;
/// One checkpoint, bytes.
pub const MAX_CHECKPOINT_BYTES: usize = 16 * 1024 * 1024;
/// Tickets of one task that are open at once.
pub const MAX_OPEN_TICKETS: usize = 1_024;
/// Progress reports that wait for a commit; beyond, the oldest are dropped (the last one counts).
pub const MAX_PENDING_PROGRESS: usize = 256;

/// Reports that one task keeps for streams that are resumed, bytes. Beyond, a stream gets the newest alone.
pub const MAX_KEPT_REPORT_BYTES: u64 = 16 * 1024 * 1024;
/// Reports that a stream reads at once.
pub const MAX_REPORTS_READ: usize = 64;

/// Batches that wait for the writer; beyond, a commit is refused as busy.
pub const MAX_QUEUED_BATCHES: usize = 65_536;
/// Batches that share one fsync.
pub const MAX_GROUP_BATCHES: usize = 4_096;
/// A commit with fewer answers wakes whom they concern from the writer's own thread.
pub const MIN_SPREAD_ANSWERS: usize = 32;
/// Answers that one task of the runtime gives: as many as fit a worker's own queue, and several workers share them.
pub const ANSWERS_PER_TASK: usize = 128;
/// Bytes that share one fsync; a commit of more is one big row, and latency grows with it.
pub const MAX_GROUP_BYTES: usize = 1024 * 1024;
/// A batch up to this is copied into the queue's own buffer, which costs less than memory that one thread takes and
/// another gives back; a longer one is handed over as it is, since others wait for the copy. Bytes.
pub const MAX_COPIED_FRAME_BYTES: usize = 16 * 1024;
/// Bytes of the unfolded end of the log; start-up reads this much at most (twice, while folding).
pub const MAX_UNFOLDED_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of it that are left unfolded when the store is idle: so much is read in no time, and a slow trickle of
/// tasks need not pay for folding each row as it comes.
pub const MAX_IDLE_UNFOLDED_BYTES: usize = 64 * 1024;
/// Rows that one commit folds along the way, so that folding shows in no p99.
pub const FOLD_SLICE_ROWS: usize = 256;
/// Bytes that one commit folds along the way, about; rows may be large.
pub const FOLD_SLICE_BYTES: usize = 512 * 1024;
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

/// Change subscribers at once.
pub const MAX_SUBSCRIBERS: usize = 100_000;
/// Clients that listen at once, each with a few subscribers of the feed.
pub const MAX_LISTENERS: u64 = 20_000;
/// Resources that one subscriber watches.
pub const MAX_WATCHED_PER_SUBSCRIBER: usize = 1_024;
/// Events that a follower of one task may lag behind; beyond, the oldest are dropped and it is notified.
pub const MAX_FOLLOW_QUEUE: usize = 1_024;
/// Rows of one page of a list.
pub const MAX_PAGE_ROWS: usize = 100;
/// Tasks that `resources/list` shows, the open ones first: some hosts make a tool of each resource, and models take
/// about 128 tools.
pub const MAX_LISTED_TASKS: usize = 20;
/// Those of them that have ended.
pub const MAX_LISTED_ENDED_TASKS: usize = 5;
/// A cursor, bytes: the longest key of shared state, in base64, with what binds it to its list.
pub const MAX_CURSOR_BYTES: usize = 1_024;
/// Rows that one page may look at to find them, where a filter is given, and that `resources/list` looks at.
pub const MAX_PAGE_SCAN_ROWS: usize = 10_000;
/// Seconds that `task_wait` may wait; hosts give up at 60.
pub const MAX_TASK_WAIT_SECONDS: u64 = 50;
/// Seconds that `task_wait` waits unless its caller says otherwise. Of the clients that were tried, some give a request up after
/// 5 seconds, some after 10, most after 30 or 60, and cancel the work with it: this is below what most of them wait, and
/// the others set less.
pub const DEFAULT_TASK_WAIT_SECONDS: u64 = 20;
/// Seconds that an inline reply waits before it turns into a link; for the same reason.
pub const DEFAULT_INLINE_WAIT_SECONDS: u64 = 20;
/// Bytes of JSON of what a task asks that stand within its link; behind them, questions are without their schemas.
pub const MAX_LINK_ASKS_BYTES: usize = 32 * 1024;
/// Choices of a field that the example of an answer lists.
pub const MAX_SHOWN_CHOICES: usize = 8;
/// Bytes of the name by which clients have `task_wait`.
pub const MAX_CALL_HINT_BYTES: usize = 128;
/// Bytes that `task_output` returns at once.
pub const MAX_OUTPUT_READ_BYTES: usize = 1024 * 1024;

/// One component file, bytes. Python and JavaScript components are 12 to 18 MB.
pub const MAX_COMPONENT_BYTES: usize = 64 * 1024 * 1024;
/// Functions of one component, all its modules together. Interpreters that were compiled to WASM have tens of
/// thousands; a file of the size above could hold millions, and each costs the compiler some work.
pub const MAX_COMPONENT_FUNCTIONS: usize = 100_000;
/// Body of one function, bytes. What the compiler does with it grows faster than it; the loop of an
/// interpreter has some hundred thousand.
pub const MAX_FUNCTION_BYTES: usize = 1024 * 1024;
/// Who waits for a component to be compiled waits this long at most, seconds. The biggest take tens of
/// seconds on a slow machine.
pub const MAX_COMPILE_SECONDS: u64 = 300;
/// Places of a changed schema, and texts to look at, that a person is shown before they approve a component.
pub const MAX_DIFFERENCES_SHOWN: usize = 16;
/// Characters of a description that a person is shown of a change.
pub const MAX_SHOWN_DESCRIPTION_CHARS: usize = 400;
/// Tools of one component.
pub const MAX_TOOLS_PER_COMPONENT: usize = 256;
/// Name of a tool, characters.
pub const MAX_TOOL_NAME_CHARS: usize = 64;
/// Description or schema of a tool, bytes.
pub const MAX_DEFINITION_BYTES: usize = 256 * 1024;
/// Regular expressions of one schema; each may take up to `MAX_PATTERN_BYTES` when compiled.
pub const MAX_SCHEMA_PATTERNS: usize = 128;
/// One compiled regular expression, bytes.
pub const MAX_PATTERN_BYTES: usize = 256 * 1024;
/// Steps that a regular expression with look-around may go back; others match in linear time.
pub const MAX_PATTERN_BACKTRACKS: usize = 100_000;
/// Subschemas that apply to one value by way of each other (`$ref`, `allOf` ...): they nest the host's stack,
/// and multiply by the depth of the value.
pub const MAX_SCHEMA_CHAIN: usize = 32;
/// Subschemas of one schema once every `$ref` stands for what it names: what checking may cost.
pub const MAX_SCHEMA_NODES: u64 = 20_000;
/// Nulls that only some branch of a schema rejects and that are tried one by one: with more, all of them go.
pub const MAX_NULLS_TRIED: usize = 32;
/// Violations that one answer names; a model corrects a few at a time.
pub const MAX_VIOLATIONS: usize = 3;
/// Alternatives that a violation names: values of an enumeration, cases of a variant.
pub const MAX_SHOWN_ALTERNATIVES: usize = 20;
/// Characters of one violation; it may quote a pattern or a whole enumeration.
pub const MAX_VIOLATION_CHARS: usize = 400;
/// JSON values in arguments of which every violation is looked for; in larger ones the first is reported alone,
/// since a million wrong items would make a million errors.
pub const MAX_NODES_FOR_ALL_VIOLATIONS: usize = 1_000;
/// Core instances of one store. Python components have tens; hostile ones want all.
pub const MAX_CORE_INSTANCES: usize = 256;
/// Tables and memories of one store, which the pool holds for each instance that may live. What toolchains make,
/// Python's and JavaScript's too, has two and one; this is room for a few components that were composed.
pub const MAX_TABLES: usize = 8;
pub const MAX_MEMORIES: usize = 4;
/// Elements of one table.
pub const MAX_TABLE_ELEMENTS: usize = 100_000;
/// Handles that a guest holds at once.
pub const MAX_HANDLES: usize = 4_096;
/// Bytes that one host call may move into the host.
pub const MAX_HOSTCALL_BYTES: usize = 16 * 1024 * 1024;
/// The same for a tool that returns `list<u8>`, which the host holds as tens of bytes for each one: as much as its
/// `result_kib` needs, and no more than this. Lists of up to 8 MB fit.
pub const MAX_LISTED_RESULT_BYTES: usize = 256 * 1024 * 1024;
/// HTTP exchanges of one guest: answers that it holds or waits for. Each may hold two bodies in memory.
pub const MAX_OPEN_EXCHANGES: usize = 64;
/// Body of one request that a guest sends, bytes; it is held in memory until it is complete.
pub const MAX_SENT_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Writes that make up one such body: each costs bookkeeping of the host's, however short it is.
pub const MAX_SENT_BODY_CHUNKS: usize = 65_536;
/// Body of one answer that a guest gets, bytes; it is kept in the store until the task is swept.
pub const MAX_ANSWER_BODY_BYTES: usize = 8 * 1024 * 1024;
/// All headers of one answer, bytes; servers rarely send more than 8 KiB.
pub const MAX_ANSWER_HEADER_BYTES: usize = 64 * 1024;
/// Why a certificate is not trusted, characters; it tells the names in the certificate, which another wrote.
pub const MAX_CERTIFICATE_WORDS_CHARS: usize = 300;
/// Name lookup and connection (TLS included) of one exchange, each, unless the guest wants less. Milliseconds.
pub const HTTP_CONNECT_MS: u64 = 10_000;
/// Wait for an answer's head, and then between two pieces of its body, unless the guest wants less: models
/// think for minutes. Milliseconds.
pub const HTTP_ANSWER_MS: u64 = 600_000;
/// What replay knows to be ready is ready but for a lookup and a change of threads. Seconds.
pub const MAX_FORCED_WAIT_SECONDS: u64 = 60;
/// Bytes that one call to random may ask for.
pub const MAX_RANDOM_BYTES: u64 = 1024 * 1024;
/// Bookkeeping of one instance (functions, globals, handles), bytes: about 32 for each function whose address
/// is taken, of which Python's interpreter has tens of thousands.
pub const MAX_INSTANCE_BYTES: usize = 4 * 1024 * 1024;
/// Loaded components that are kept in memory; Python's takes about 50 MB.
pub const MAX_LOADED_COMPONENTS: usize = 64;
/// Time that a component has to tell its own tool definitions, milliseconds: it only returns a list.
pub const MAX_INSPECTION_MS: u64 = 5_000;
/// Memory for that, MiB: Python's and JavaScript's interpreters start within it.
pub const INSPECTION_MEMORY_MIB: u64 = 256;
/// Guest stack, bytes.
pub const MAX_WASM_STACK_BYTES: usize = 1024 * 1024;
/// A spinning guest gives way after one tick, and its limits are checked: so long may a neighbour's call wait
/// behind it. Milliseconds.
pub const EPOCH_TICK_MS: u64 = 2;
/// Nesting of a JSON value that becomes a component value, or the other way.
pub const MAX_JSON_DEPTH: usize = 64;

/// Seconds that a call may choose for its inline reply; a day. For longer, 0 is without end.
pub const MAX_INLINE_WAIT_SECONDS: u64 = 86_400;
/// Bytes that one `resources/read` returns; what is larger is read in parts by `task_output`.
pub const MAX_RESOURCE_READ_BYTES: usize = 16 * 1024 * 1024;
/// Tools of one page of `tools/list`. Many hosts never ask for a second page.
pub const MAX_TOOLS_PAGE: usize = 1_000;
/// Subscriptions of one connection that wait for their acknowledgment to be sent.
pub const MAX_ARMED_SUBSCRIPTIONS: usize = 16;
/// A subscriber is notified of changed lists at most this often. Milliseconds.
pub const LIST_CHANGE_INTERVAL_MS: u64 = 1_000;
/// Messages that one call's stream holds for a client that does not read them; then the call waits.
pub const MAX_CALL_STREAM_MESSAGES: usize = 16;
/// One message that the client takes: a resource of the bound above, as base64 within JSON.
pub const MAX_CLIENT_EVENT_BYTES: usize = 64 * 1024 * 1024;
/// A client that waits for a server to come up tries again after this. Milliseconds.
pub const CLIENT_RETRY_MS: u64 = 50;
/// Replies to questions that are remembered of one client, so that it is asked rightly by what follows; beyond, the
/// oldest are forgotten. No task shows more questions at once.
pub const MAX_NOTED_REPLIES: usize = 256;
/// A client that comes back to the stream of a call and has heard its question may be about to answer it. After this
/// it hears it again, under the same id: its answer may have been lost with the server. Milliseconds.
pub const QUESTION_REMINDER_MS: u64 = 3_000;
/// Messages that belong to no request and wait for a session's reader; beyond, the oldest are dropped.
pub const MAX_SESSION_MESSAGES: usize = 16;
/// Messages of one session's client that rmcp has not taken yet; then the client waits.
pub const MAX_SESSION_INBOX: usize = 8;
/// Legacy sessions in memory at once: each has one task and one channel.
pub const MAX_SESSIONS: usize = 20_000;
/// A legacy session without an open stream or a request leaves memory after this. Seconds.
pub const SESSION_IDLE_SECONDS: u64 = 3_600;
/// A legacy session that has asked for nothing for so long, and waits for no answer, needs no service of rmcp's:
/// its stream is served without one. A service holds some 30 KiB, and making a new one takes no millisecond.
/// Milliseconds.
pub const SESSION_QUIET_MS: u64 = 500;
/// A legacy session's client may come back so long after its last request. Seconds: a week.
pub const SESSION_KEPT_SECONDS: u64 = 7 * 86_400;
/// A session's row says at most so late that it was used. Seconds.
pub const SESSION_NOTE_SECONDS: u64 = 3_600;
/// Requests of one session whose streams are in memory at once; beyond, the oldest is forgotten, and can be made
/// again from its row if it made a task.
pub const MAX_SESSION_STREAMS: usize = 256;
/// Calls of one session whose streams can be resumed; beyond, a sweep forgets the oldest.
pub const MAX_KEPT_CALLS_PER_SESSION: usize = 1_024;
/// A call's stream can be resumed so long after its task ended. Seconds: a day.
pub const CALL_KEPT_SECONDS: u64 = 86_400;
/// What a client takes for a session's id: ours have 32 bytes.
pub const MAX_SESSION_ID_BYTES: usize = 64;
/// Id of a request that an event id repeats, bytes: it travels in a header.
pub const MAX_ID_IN_EVENT_BYTES: usize = 64;
/// A listener to whom nothing is sent gets a comment after this, so that what is in between keeps the connection.
/// Seconds.
pub const LISTEN_COMMENT_SECONDS: u64 = 15;
/// The head of a response that is not there after this is sent ahead of it, so that nothing in between gives the
/// call up. What is there in this time is answered with a status of its own. Milliseconds.
pub const EARLY_HEAD_MS: u64 = 1_000;
/// Behind an early head, a comment goes out so often until there is something to tell. Seconds.
pub const WAIT_COMMENT_SECONDS: u64 = 15;
/// A browser asks again so long after a preflight. Seconds.
pub const PREFLIGHT_SECONDS: u64 = 600;
/// How long a client waits before it reconnects. Stock clients try twice, and a restart has to fit in between.
/// Milliseconds.
pub const SSE_RETRY_MS: u64 = 5_000;
/// A change's time is taken before its commit: what changed so long before an event may not have been sent with
/// it. Milliseconds.
pub const UPDATE_MARGIN_MS: u64 = 2_000;
/// A stream that could not be watched for, because there are too many subscribers, looks so often. Milliseconds.
pub const UNWATCHED_LOOK_MS: u64 = 1_000;
/// What clients may keep of `server/discover` and the templates: they change with the version only. Milliseconds.
pub const DISCOVER_TTL_MS: u64 = 3_600_000;
/// What clients may keep of `tools/list` without asking again. Milliseconds.
pub const TOOLS_TTL_MS: u64 = 10_000;
/// How often a client should ask for a task's status: each asks for one row, and who wants it sooner listens.
/// Milliseconds.
pub const TASK_POLL_INTERVAL_MS: u64 = 1_000;
/// What clients may keep of a completed task's result, which never changes. Milliseconds.
pub const RESULT_TTL_MS: u64 = 86_400_000;

/// Other MCP servers that a configuration names; each may be a process.
pub const MAX_REMOTE_SERVERS: usize = 64;
/// Tools that one of them offers; the rest is not taken.
pub const MAX_REMOTE_TOOLS: usize = 1_000;
/// One call to another MCP server, seconds, unless the operator says otherwise.
pub const DEFAULT_REMOTE_SECONDS: u64 = 600;
/// Withdrawing such a call takes at most this, and so does the commit that it waits for. Seconds.
pub const WITHDRAW_SECONDS: u64 = 5;
/// Tries of such a call in all, where it may be tried again.
pub const DEFAULT_REMOTE_ATTEMPTS: u32 = 3;
/// A server that has not answered the handshake by then is not there. Seconds.
pub const REMOTE_CONNECT_SECONDS: u64 = 10;
/// What a server offers is asked for again before a call once it is so old. Seconds.
pub const REMOTE_LIST_SECONDS: u64 = 60;

/// What one HTTP connection reads or writes ahead, bytes; hyper begins with 8 KiB of each and never gives back what
/// it took. A request's head fits into it.
pub const MAX_CONNECTION_BUFFER_BYTES: usize = 64 * 1024;
/// The head of one HTTP request, from its first line to the empty one, bytes. hyper takes 100 headers in it.
pub const MAX_REQUEST_HEAD_BYTES: usize = 64 * 1024;
/// One HTTP request body, bytes.
pub const MAX_REQUEST_BYTES: usize = 8 * 1024 * 1024;
/// What a request takes of memory, by the bytes of its body: its text, its values, its row, and the batch that writes it.
pub const REQUEST_COPIES: u64 = 4;
/// Memory that one principal has for requests, and for answers, at least, bytes: one that is as large as it may be fits.
pub const MIN_MESSAGES_SHARE_BYTES: u64 = 32 * 1024 * 1024;
/// Keys and values of one message in JSON. Each may take hundreds of bytes of memory where its text has a few.
pub const MAX_MESSAGE_VALUES: usize = 100_000;
/// Descriptors that are kept for all else than connections over HTTP: files, sockets, pipes, requests of tools.
pub const RESERVED_DESCRIPTORS: usize = 64;
/// Where there are too many, one part in so many is closed at once: those that have been idle longest.
pub const CLOSED_CONNECTIONS_PART: usize = 16;
/// From the first byte of a request, or a new connection, to the end of the request's head. Seconds.
pub const REQUEST_HEAD_SECONDS: u64 = 10;
/// A connection that was used and is idle is closed after this. Seconds.
pub const IDLE_CONNECTION_SECONDS: u64 = 120;
/// A request's body has this long, and as long again for each so many bytes of it. Seconds.
pub const REQUEST_BODY_SECONDS: u64 = 20;
/// Bytes of a body that must arrive in a second, on the average and beyond `REQUEST_BODY_SECONDS`.
pub const MIN_BODY_BYTES_PER_SECOND: u64 = 4 * 1024;
/// An answer of which fewer than `MIN_READ_BYTES` are read in this time is not read. Seconds.
pub const UNREAD_ANSWER_SECONDS: u64 = 30;
/// See `UNREAD_ANSWER_SECONDS`.
pub const MIN_READ_BYTES: u64 = 64 * 1024;
/// How often a connection is looked at, if it is not due before. Seconds.
pub const CONNECTION_LOOK_SECONDS: u64 = 5;
/// So many seconds' worth of requests may come at once.
pub const REQUEST_BURST_SECONDS: u64 = 2;
/// Requests without a valid token that one machine is answered in a second; it may send twice as many at once.
pub const STRANGERS_REQUESTS_PER_SECOND: u32 = 20;
/// Machines whose requests without a valid token are counted; those that were quiet are forgotten then.
pub const MAX_COUNTED_STRANGERS: usize = 10_000;
/// One manifest or configuration file, bytes.
pub const MAX_CONFIG_BYTES: u64 = 1024 * 1024;
/// Connections on the socket in the data folder at once: hosts of one user, and their commands.
pub const MAX_SOCKET_CLIENTS: usize = 1_024;
/// Connections that wait to be accepted there; hosts that start together come together.
pub const SOCKET_BACKLOG: u32 = 128;
/// A server that was started in the background ends when it has had neither a client nor an open task for this
/// long: a host that starts again finds it, one that is gone for good leaves nothing behind. Seconds.
pub const BACKGROUND_IDLE_SECONDS: u64 = 60;
/// What that may be set to; a day. Seconds.
pub const MAX_BACKGROUND_IDLE_SECONDS: u64 = 86_400;
/// Its first client, which has started it, comes within this. Seconds.
pub const FIRST_CLIENT_SECONDS: u64 = 15;
/// It looks at least this long after whether its last tasks have ended. Milliseconds.
pub const IDLE_CHECK_MS: u64 = 200;
/// Log of a server in the background, bytes; at the next start the file is put aside when it is larger.
pub const MAX_SERVER_LOG_BYTES: u64 = 4 * 1024 * 1024;
/// Requests of one host that a bridge holds without an answer. Each may hold its text, to be sent again.
pub const MAX_BRIDGED_REQUESTS: usize = 1_024;
/// A request is held to be sent again if it is no longer than this, bytes.
pub const MAX_RESENT_BYTES: usize = 64 * 1024;
/// Questions to one host that a bridge remembers, open ones and answered ones each.
pub const MAX_BRIDGED_QUESTIONS: usize = 64;
/// Lines of a host that wait for its server.
pub const MAX_BRIDGED_LINES: usize = 16;
/// Servers that a bridge sees end within a minute before it gives up: one that dies at each start is no help.
pub const MAX_BRIDGE_RESTARTS: usize = 5;
/// Tasks whose end an interactive client has not shown; each is followed over a connection of its own.
pub const MAX_REMEMBERED_TASKS: usize = 256;
/// What followers have sent a client and it has not read; beyond, they wait.
pub const MAX_CLIENT_EVENTS: usize = 256;
/// One `subscriptions/listen` that is read for its tasks, bytes: as many as one may watch fit.
pub const MAX_LISTEN_LINE_BYTES: usize = 256 * 1024;
/// Nesting within which the id of a message that cannot be read is looked for.
pub const MAX_SCANNED_DEPTH: usize = 64 * 1024;
/// Id that is found in such a message, bytes.
pub const MAX_SCANNED_ID_BYTES: usize = 1_024;
/// Messages without an id that cannot be read and are answered, between one request that can and the next: a side
/// that answers errors with more of them is not answered for ever.
pub const MAX_UNNAMED_REFUSALS: usize = 64;
/// Requests of one client over pipes that have no answer yet.
pub const MAX_PIPED_REQUESTS: usize = 1_024;
/// How often it is looked whether the reader of a pipe is gone, once its writer has ended: no event tells. Milliseconds.
pub const READER_LOOK_MS: u64 = 50;
/// Calls that wait have this long to be answered when the server stops or their reader is gone. Milliseconds.
pub const ANSWER_GRACE_MS: u64 = 500;
/// A client over pipes has this long to take its answers when the server stops: within what the server itself has.
/// Milliseconds.
pub const STOP_GRACE_MS: u64 = 2_000;
/// Seconds that a graceful shutdown waits for running guests to reach a commit.
pub const SHUTDOWN_GRACE_SECONDS: u64 = 5;

const _: () = {
    assert!(MAX_INLINE_PAYLOAD_BYTES < MAX_GROUP_BYTES);
    assert!(MAX_ARGUMENTS_BYTES < MAX_REQUEST_BYTES, "a call carries its arguments and an envelope");
    assert!(
        MAX_REQUEST_BYTES as u64 * REQUEST_COPIES <= MIN_MESSAGES_SHARE_BYTES,
        "one request fits a share"
    );
    assert!(
        (MAX_RESOURCE_READ_BYTES as u64).div_ceil(3) * 4 + (1 << 20) <= MIN_MESSAGES_SHARE_BYTES,
        "one answer fits a share"
    );
    assert!(MAX_GROUP_BYTES < MAX_UNFOLDED_BYTES);
    assert!(MAX_LOGGED_VALUE_BYTES < MAX_BATCH_LOG_BYTES);
    assert!(MAX_BATCH_LOG_BYTES <= MAX_UNFOLDED_BYTES / 4, "two layers and one batch must fit");
    assert!(2 * (MAX_BATCH_LOG_BYTES + MAX_BATCH_DIRECT_BYTES) <= MAX_QUEUED_BYTES);
    assert!(MAX_COMPONENT_BYTES < MAX_BATCH_DIRECT_BYTES);
    assert!(MAX_GROUP_BYTES + MAX_BATCH_LOG_BYTES < MAX_BACKUP_RECORD_BYTES);
    assert!(LOG_TRIM_ROWS > 1, "each commit adds a row");
    assert!(DEFAULT_INLINE_WAIT_SECONDS <= MAX_INLINE_WAIT_SECONDS);
    assert!(DEFAULT_MEMORY_MIB <= MAX_MEMORY_MIB);
    assert!(MIN_TRACE_KIB / TRACE_BLOCK_KIB > 1, "the block that is written and one before it");
    assert!(MIN_TRACE_KIB <= DEFAULT_TRACE_KIB && DEFAULT_TRACE_KIB <= MAX_TRACE_KIB);
    assert!(MAX_TRACE_LABEL_BYTES < 256, "its length is one byte");
    assert!(STOP_GRACE_MS < SHUTDOWN_GRACE_SECONDS * 1_000);
    assert!(DEFAULT_TASK_WAIT_SECONDS <= MAX_TASK_WAIT_SECONDS);
    assert!(MAX_OPEN_CHILDREN < MAX_OPEN_TICKETS, "each child has a ticket");
    assert!(FLUSH_INTERVAL_MS < SUSPEND_GRACE_MS);
    assert!(
        3 * MAX_LISTENERS as usize + MAX_SESSIONS <= MAX_SUBSCRIBERS,
        "each listener has up to three subscribers, each session one"
    );
    assert!(
        SESSION_NOTE_SECONDS < SESSION_KEPT_SECONDS,
        "a session that is used is noted before it is deleted"
    );
    assert!(
        MAX_STATE_PUT_KEYS * (MAX_STATE_VALUE_BYTES + MAX_STATE_KEY_BYTES)
            // Records, and reports for streams.
            + 2 * MAX_PENDING_JOURNAL_BYTES
            < MAX_BATCH_LOG_BYTES,
        "what is written together fits one batch, beside the step that writes it"
    );
};
