//! What was refused or repeated and is not written yet: alike ones are one row, and a principal that has many kinds of
//! them has them folded. Each principal has its own, so that a flood of one costs the others no detail.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use super::row::{AuditAction, AuditRow, Verdict};
use crate::authority::LOCAL;
use crate::limits;

/// By principal; requests without a known caller have the empty name.
#[derive(Default)]
pub(super) struct Pending {
    shares: HashMap<String, Share>,
}

struct Share {
    /// Each as it was, written with the next commit.
    single: HashMap<Alike, AuditRow>,
    /// By kind, written now and then.
    folded: HashMap<Alike, AuditRow>,
    /// Since when the folded ones wait.
    folded_since: Option<Duration>,
    /// Rows that may be written as they are, and how many it is at most.
    allowance: u32,
    full: u32,
    refilled_at: Duration,
}

/// What makes two rows one.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Alike {
    client: Option<String>,
    action: AuditAction,
    tool: Option<String>,
    verdict: Verdict,
    reason: String,
}

/// Which of what is pending is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// What is due at this time.
    Due(Duration),
    All,
}

impl Pending {
    /// `now` is of the clock that cannot be set.
    pub fn add(&mut self, mut row: AuditRow, now: Duration) {
        if !self.shares.contains_key(&row.principal)
            && self.shares.len() >= limits::MAX_AUDIT_PENDING_PRINCIPALS
        {
            row.principal = "*".to_owned();
        }
        let share =
            self.shares.entry(row.principal.clone()).or_insert_with(|| Share::new(&row.principal, now));
        share.add(row, now);
    }

    /// What is to be written, the oldest first.
    pub fn take(&mut self, which: Which) -> Vec<AuditRow> {
        let mut taken = Vec::new();
        for share in self.shares.values_mut() {
            taken.extend(share.single.drain().map(|(_, row)| row));
            if share.is_folded_due(which) {
                share.folded_since = None;
                taken.extend(share.folded.drain().map(|(_, row)| row));
            }
        }
        if let Which::Due(now) = which {
            self.shares.retain(|_, share| !share.is_idle(now));
        }
        taken.sort_by_key(|row| row.until);
        taken
    }

    /// What could not be written waits again; with what has come meanwhile it is one row where both are alike.
    pub fn put_back(&mut self, rows: Vec<AuditRow>, now: Duration) {
        for row in rows {
            let share =
                self.shares.entry(row.principal.clone()).or_insert_with(|| Share::new(&row.principal, now));
            merge(&mut share.single, row);
        }
    }

    /// When what is folded is to be written next.
    pub fn next_due(&self) -> Option<Duration> {
        self.shares.values().filter_map(|share| share.folded_since.map(|since| since + fold_time())).min()
    }
}

impl Share {
    fn new(principal: &str, now: Duration) -> Self {
        // What the owner's own programs are refused, the owner wants to know in full.
        let full =
            if principal == LOCAL { limits::AUDIT_SINGLE_ROWS_OF_OWNER } else { limits::AUDIT_SINGLE_ROWS };
        Self {
            single: HashMap::new(),
            folded: HashMap::new(),
            folded_since: None,
            allowance: full,
            full,
            refilled_at: now,
        }
    }

    fn add(&mut self, mut row: AuditRow, now: Duration) {
        self.refill(now);
        if self.single.contains_key(&alike(&row)) {
            return merge(&mut self.single, row);
        }
        if self.allowance > 0 && self.single.len() < self.full as usize {
            self.allowance -= 1;
            return merge(&mut self.single, row);
        }
        (row.client, row.tool, row.component, row.hash, row.task) = (None, None, None, None, None);
        if !self.folded.contains_key(&alike(&row)) && self.folded.len() >= limits::MAX_AUDIT_FOLDED_KINDS {
            row.reason = Some("many".to_owned());
        }
        self.folded_since.get_or_insert(now);
        merge(&mut self.folded, row);
    }

    fn refill(&mut self, now: Duration) {
        let every = Duration::from_secs(limits::AUDIT_SINGLE_ROW_SECONDS);
        while self.allowance < self.full && now.saturating_sub(self.refilled_at) >= every {
            self.allowance += 1;
            self.refilled_at += every;
        }
        if self.allowance == self.full {
            self.refilled_at = now;
        }
    }

    fn is_folded_due(&self, which: Which) -> bool {
        match which {
            Which::All => true,
            Which::Due(now) => self.folded_since.is_some_and(|since| now >= since + fold_time()),
        }
    }

    /// Whether it is as if it had never been.
    fn is_idle(&mut self, now: Duration) -> bool {
        self.refill(now);
        self.single.is_empty() && self.folded.is_empty() && self.allowance == self.full
    }
}

fn fold_time() -> Duration {
    Duration::from_secs(limits::AUDIT_FOLD_SECONDS)
}

fn merge(rows: &mut HashMap<Alike, AuditRow>, row: AuditRow) {
    match rows.entry(alike(&row)) {
        Entry::Occupied(mut there) => {
            let there = there.get_mut();
            (there.at, there.until) = (there.at.min(row.at), there.until.max(row.until));
            there.count += row.count;
        }
        Entry::Vacant(free) => drop(free.insert(row)),
    }
}

fn alike(row: &AuditRow) -> Alike {
    Alike {
        client: row.client.clone(),
        action: row.action,
        tool: row.tool.clone(),
        verdict: row.verdict,
        reason: row.reason.clone().unwrap_or_default(),
    }
}
