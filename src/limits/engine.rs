//! The engine: waits, families of tasks, questions, feeds, the trace.

/// How often a change looks for its task, whose end or reopening is on its way, before its caller is to look again.
pub const MAX_LOOKS: usize = 4;

/// How long what the engine itself has to write waits where the store is busy, milliseconds.
pub const BUSY_RETRY_MS: u64 = 20;

/// Pieces that one operation's outcome may come in. They are numbered for good: the number stands in keys of the store.
pub const MAX_PIECES: u64 = 1 << 24;
/// Such pieces that are read from disk at a time, and bytes of them.
pub const MAX_PIECES_READ: usize = 64;
pub const MAX_PIECES_READ_BYTES: usize = 64 * 1024;
/// Instances that live at once. Each takes about seven of the kernel's 65,530 maps per process.
pub const MAX_LIVE_INSTANCES: usize = 512;
/// Memory that an instance takes when it begins, and by which it takes more, bytes.
pub const GUEST_MEMORY_STEP_BYTES: u64 = 1024 * 1024;
/// The longest time between two tasks of a tool that has a rate; a month. Seconds.
pub const MAX_RATE_PERIOD_SECONDS: u64 = 31 * 86_400;
/// What an open task takes of memory whatever it waits for, bytes: its status, its places in queues, short arguments.
pub const OPEN_TASK_BYTES: u64 = 2 * 1024;
/// What an open task takes of memory that waits and of which memory has only what it waits for, bytes: with its timer, and
/// room to spare.
pub const RESTING_TASK_BYTES: u64 = 512;
/// A task that waits and has no instance leaves memory but for that so long after nothing has to do with it any more, and
/// within as much again. Milliseconds.
pub const REST_AFTER_MS: u64 = 250;
/// When a resting task that is due is looked at again, where its principal has no memory for it now. Milliseconds.
pub const WAKE_RETRY_MS: u64 = 1_000;
/// The same, where its rows could not be read. Milliseconds.
pub const UNREADABLE_RETRY_MS: u64 = 10_000;
/// Tasks that are looked at as they are due before others have their turn on the thread.
pub const DUE_SLICE_TASKS: usize = 64;
/// Tasks that leave memory at once: others wait meanwhile.
pub const REST_SLICE_TASKS: usize = 1_024;
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
/// A client does well to ask for a task again after so long at the least, also where it runs. Milliseconds.
pub const POLL_LEAST_MS: u64 = 1_000;
/// And after so long at the most where the task waits for a time alone: it can be cancelled before. Milliseconds.
pub const POLL_TIMER_MOST_MS: u64 = 60_000;
/// Of the time that is left, or that has gone by, one part in so many goes by from one look to the next.
pub const POLL_PART: u64 = 10;
/// Between two looks at a task that waits for a person, or for a message: when it has just begun to wait. Milliseconds.
pub const POLL_PERSON_LEAST_MS: u64 = 5_000;
/// The same once it has waited for long. Milliseconds.
pub const POLL_PERSON_MOST_MS: u64 = 30_000;
/// Between two looks at a task that waits for what programs do, models and other tasks, for long. Milliseconds.
pub const POLL_PROGRAM_MOST_MS: u64 = 5_000;
/// For each place in the queue of instances the looks of a task are so much further apart. Milliseconds.
pub const POLL_PLACE_MS: u64 = 100;
/// But no further than this. Milliseconds.
pub const POLL_QUEUED_MOST_MS: u64 = 10_000;
/// What was read of tasks and has not changed is kept, so that a poll of it reads nothing: so many bytes, of which one
/// that waits takes about one and a half thousand.
pub const MAX_KNOWN_BYTES: usize = 32 * 1024 * 1024;
/// One task with more is read each time. Bytes.
pub const MAX_KNOWN_TASK_BYTES: usize = 64 * 1024;
/// Tasks of which is remembered when they may be asked for again, for callers whose requests are counted; a poll of one
/// more counts as any request does.
pub const MAX_POLL_TIMES: usize = 100_000;
/// A poll may come sooner than its task said by one part in so many of the time.
pub const POLL_TOLERANCE_PART: u32 = 10;
/// Tasks that changed while others were being read and are remembered one by one; beyond, what is being read is not kept.
pub const MAX_NOTED_CHANGES: usize = 4_096;
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

/// Reports that one task keeps for streams that are resumed, bytes. Beyond, a stream gets the newest alone.
pub const MAX_KEPT_REPORT_BYTES: u64 = 16 * 1024 * 1024;
/// Reports that a stream reads at once.
pub const MAX_REPORTS_READ: usize = 64;

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
/// A server whose tools are all there by then listens with them; one that still compiles listens all the same.
/// Milliseconds.
pub const START_GRACE_MS: u64 = 150;
