//! What a call may choose in its `_meta`.

pub const REPLY_META: &str = "longhaul/reply";
pub const WAIT_META: &str = "longhaul/inline-wait-seconds";
pub const KEY_META: &str = "longhaul/idempotency-key";
/// Says in a word why an operation of Longhaul's own was not done.
pub const ERROR_META: &str = "longhaul/error";
/// Says when a refused call is worth another try, in seconds.
pub const RETRY_AFTER_META: &str = "longhaul/retry-after-seconds";
/// What only a person may do bears this. Models cannot set `_meta`.
pub const PERSON_META: &str = "longhaul/by-person";
