use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::STRANGERS;
use super::pool::Pool;

/// Nothing was taken: a bound is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub pool: Pool,
    pub whose: Whose,
    /// The bound, bytes where the pool is of bytes.
    pub bound: u64,
    /// When it is worth another try.
    pub retry_after: Duration,
}

/// Whose bound it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    Process,
    /// This principal's share, or a machine's where the pool is of connections.
    Principal(Arc<str>),
}

/// Who can do something about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The caller holds all of its share: 429 over HTTP.
    Share,
    /// There is no more of it for any caller: 503 over HTTP.
    Process,
}

impl Refusal {
    pub fn kind(&self) -> RefusalKind {
        match self.whose {
            Whose::Process => RefusalKind::Process,
            Whose::Principal(_) => RefusalKind::Share,
        }
    }

    /// In a word, for the audit.
    pub fn word(&self) -> &'static str {
        match self.kind() {
            RefusalKind::Share => "share_used_up",
            RefusalKind::Process => "server_is_full",
        }
    }

    /// For a header `Retry-After` and for `retry_after_seconds`: whole seconds, at least one.
    pub fn retry_after_seconds(&self) -> u64 {
        let whole = self.retry_after.as_secs();
        (whole + u64::from(self.retry_after.subsec_nanos() > 0)).max(1)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1024 * 1024;
        let (pool, after) = (self.pool, self.retry_after_seconds());
        let bound = if pool.is_in_bytes() { self.bound.div_ceil(MIB) } else { self.bound };
        let unit = pool.unit();
        match &self.whose {
            Whose::Process => {
                write!(f, "this server has at most {bound} {unit}, for all its callers together")?
            }
            Whose::Principal(name) if **name == *STRANGERS => {
                write!(f, "callers without a valid token have at most {bound} {unit}")?;
            }
            Whose::Principal(name) => write!(f, "the share of {name} is {bound} {unit}")?,
        }
        write!(f, " ({}): {}; try again after {after} s", pool.name(), pool.advice())
    }
}

impl std::error::Error for Refusal {}
