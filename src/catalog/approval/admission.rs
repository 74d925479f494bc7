//! How a component stands when it comes: whether what it is now is what was approved.

use serde::{Deserialize, Serialize};

use super::bindings::Bindings;
use super::flags::Flag;
use super::lock::Locked;
use super::statement::Statement;
use super::terms::{Approval, Terms, is_over};
use crate::authority::Grant;
use crate::clock::UnixNanos;

/// How a component stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    /// It is what was approved.
    Approved(Approval),
    /// It is served and counts as approved from now on.
    Pinned(FirstSight, Approval),
    /// It is not served before a person approves it.
    Waits(Reasons),
}

/// Why a component waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasons {
    pub since: Since,
    /// For the person, one line a reason. They quote what the component says of itself: not for models.
    pub lines: Vec<String>,
    pub kept: Kept,
}

/// What of an earlier approval counts while a component waits. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// What its tasks may do still, as far as they were given it.
    pub grant: Grant,
    pub until: Option<UnixNanos>,
    /// What the next approval binds where the person says nothing else.
    pub bindings: Bindings,
}

impl Reasons {
    /// In a few words of ours alone, for models as well.
    pub fn summary(&self) -> &'static str {
        self.since.words()
    }
}

/// What a component has waited for a person since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    NeverApproved,
    /// Another of its name was approved: this one is not the same.
    Changed,
    Revoked,
    /// It was approved until a time that is over.
    Expired,
    /// The lock file has something else of it, or has it no more.
    NotAsLocked,
}

impl Since {
    pub fn words(self) -> &'static str {
        match self {
            Self::NeverApproved => "it was never approved",
            Self::Changed => "it has changed since it was approved",
            Self::Revoked => "its approval was revoked",
            Self::Expired => "its approval has expired",
            Self::NotAsLocked => "it is not what the lock file says",
        }
    }
}

/// What was approved, and whether that counts still.
#[derive(Clone, Copy, Debug)]
pub struct Approved<'a> {
    pub statement: &'a Statement,
    pub terms: &'a Terms,
    /// The date at which it was approved.
    pub at: UnixNanos,
    /// `Revoked` or `Expired`, once it is that: no clock brings it back.
    pub ended: Option<Since>,
    /// A lock file said so, and no person here: it counts as long as that does.
    pub is_locked: bool,
    /// The principal that approved it.
    pub by: &'a str,
}

/// Why a component that was never approved is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstSight {
    /// It can do nothing but compute, and nothing it says stands out.
    AsksForNothing,
    /// The operator had granted it something when approvals began to count in this store.
    GrantedBefore,
}

/// The start at which a component comes.
#[derive(Clone, Copy, Debug)]
pub struct SeenAt {
    pub date: UnixNanos,
    /// Approvals did not count in this store before.
    pub is_first: bool,
}

/// `approved` is what was approved under its name, if anything was, and `locked` what the lock file has of it.
pub fn admit(
    now: &Statement,
    (approved, locked): (Option<Approved<'_>>, Option<&Locked>),
    flags: &[Flag],
    seen: SeenAt,
) -> Admission {
    if let Some(locked) = locked {
        return as_locked(now, (approved, locked), flags, seen.date);
    }
    let Some(approved) = approved else { return at_first_sight(now, flags, seen.is_first) };
    if approved.is_locked && approved.ended.is_none() {
        let lines = vec!["the lock file has nothing of it any more".to_owned()];
        return waits((Since::NotAsLocked, approved.kept(now)), lines, flags);
    }
    if let Some(ended) = approved.as_of(seen.date) {
        return waits((ended, Kept::default()), now.changes_since(approved.statement), flags);
    }
    let kept = approved.kept(now);
    if approved.statement != now {
        return waits((Since::Changed, kept), now.changes_since(approved.statement), flags);
    }
    match Approval::new(now.clone(), approved.terms.clone()) {
        Ok(approval) => Admission::Approved(Approval { by: Some(approved.by.to_owned()), ..approval }),
        // No approval is written so: the row is damaged.
        Err(beyond) => waits((Since::Changed, kept), vec![format!("it is not offered {beyond}")], flags),
    }
}

/// The lock file is the last word on what it names, but for what was revoked here.
fn as_locked(
    now: &Statement,
    (approved, locked): (Option<Approved<'_>>, &Locked),
    flags: &[Flag],
    date: UnixNanos,
) -> Admission {
    let was_seen_to_end = |approved: &Approved<'_>| {
        let later = |at: UnixNanos| approved.terms.expires_at.is_none_or(|then| at > then);
        approved.ended == Some(Since::Expired) && !locked.expires.is_none_or(later)
    };
    let ended = match approved {
        Some(approved) if approved.ended == Some(Since::Revoked) => Some(Since::Revoked),
        Some(approved) if was_seen_to_end(&approved) => Some(Since::Expired),
        _ => locked.expires.is_some_and(|at| date >= at).then_some(Since::Expired),
    };
    if let Some(ended) = ended {
        return waits((ended, Kept::default()), Vec::new(), flags);
    }
    match locked.fit(now) {
        Ok(approval) => Admission::Approved(approval),
        Err(lines) => {
            let kept = approved.filter(|approved| approved.as_of(date).is_none());
            let kept = kept.map_or_else(|| Kept::of_operator(now), |approved| approved.kept(now));
            waits((Since::NotAsLocked, kept), lines, flags)
        }
    }
}

fn at_first_sight(now: &Statement, flags: &[Flag], is_first: bool) -> Admission {
    let pinned = match (is_first && !now.granted.is_empty(), now.asks_for_nothing() && flags.is_empty()) {
        (true, _) => Some(FirstSight::GrantedBefore),
        (_, true) => Some(FirstSight::AsksForNothing),
        _ => None,
    };
    let approval = pinned.and_then(|why| Some((why, Approval::new(now.clone(), Terms::default()).ok()?)));
    match approval {
        Some((why, approval)) => Admission::Pinned(why, approval),
        None => waits((Since::NeverApproved, Kept::of_operator(now)), wants(now), flags),
    }
}

impl Approved<'_> {
    /// What has ended it by this date.
    fn as_of(&self, date: UnixNanos) -> Option<Since> {
        let is_over = is_over(self.at, self.terms.expires_at, date);
        self.ended.or_else(|| is_over.then_some(Since::Expired))
    }

    /// What its tasks hold when the component is another one now: what was approved, where that alone gave it; else what
    /// the operator's own word is by now.
    fn kept(&self, now: &Statement) -> Kept {
        if !self.statement.granted.is_empty() || !now.granted.is_empty() {
            return Kept { until: self.terms.expires_at, ..Kept::of_operator(now) };
        }
        let bindings = self.terms.bindings.where_asked_alike(&self.statement.requested, &now.requested);
        let approval = Approval::new(self.statement.clone(), self.terms.clone());
        let grant = approval.map(|approval| approval.grant).unwrap_or_default();
        Kept { grant, until: self.terms.expires_at, bindings }
    }
}

impl Kept {
    fn of_operator(now: &Statement) -> Self {
        Self { grant: now.granted.clone(), ..Self::default() }
    }
}

fn waits((since, kept): (Since, Kept), mut lines: Vec<String>, flags: &[Flag]) -> Admission {
    lines.extend(flags.iter().map(|flag| format!("to look at: {flag}")));
    Admission::Waits(Reasons { since, lines, kept })
}

fn wants(now: &Statement) -> Vec<String> {
    let granted = now.granted.words().into_iter().map(|power| format!("it is granted {power}"));
    let requested = now.requested.beyond(&now.granted).words();
    let requested = requested.into_iter().map(|power| format!("it requests {power}"));
    granted.chain(requested).chain(now.wanted.iter().map(|bound| format!("it asks for {bound}"))).collect()
}
