//! The audit.

use super::PRINCIPALS_PART;

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
