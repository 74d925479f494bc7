//! Every bound of Longhaul, unit last, with its reason, by what it bounds. A bound that is not here does not exist.

mod audit;
mod callers;
mod components;
mod engine;
mod files;
mod guests;
mod http;
mod launch;
mod mcp;
mod models;
mod registry;
mod secrets;
mod shares;
mod store;
mod tasks;
mod trials;
mod workers;

pub use audit::*;
pub use callers::*;
pub use components::*;
pub use engine::*;
pub use files::*;
pub use guests::*;
pub use http::*;
pub use launch::*;
pub use mcp::*;
pub use models::*;
pub use registry::*;
pub use secrets::*;
pub use shares::*;
pub use store::*;
pub use tasks::*;
pub use trials::*;
pub use workers::*;

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
    assert!(MAX_RESULT_KIB * 1024 < MAX_WORKER_FRAME_BYTES as u64, "a result fits a message of a worker");
    assert!(MAX_OPEN_EXCHANGES * 5 < MAX_WORKER_CALLS);
    assert!(MAX_RECORDED_READ_BYTES <= MAX_FILE_CALL_BYTES);
    assert!(MAX_FILE_CALL_BYTES + 4 * MAX_FILE_PATH_BYTES < MAX_FOLDER_FRAME_BYTES, "a call fits a message");
    assert!(MAX_LISTED_ENTRIES * 300 < MAX_FOLDER_FRAME_BYTES, "a list of the longest names fits a message");
    assert!(MAX_LISTED_ENTRIES * 300 < MAX_OPEN_LISTS_BYTES, "a list of the longest names may be open");
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
