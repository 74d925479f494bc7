//! How a component stands when it comes: whether what it is now is what was approved.

use serde::{Deserialize, Serialize};

use super::flags::Flag;
use super::statement::Statement;

/// How a component stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is what was approved.
    Approved,
    /// It is served and counts as approved from now on.
    Pinned(FirstSight),
    /// It is not served before a person approves it.
    Waits(Reasons),
}

/// Why a component waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasons {
    pub since: Since,
    /// For the person, one line a reason. They quote what the component says of itself: not for models.
    pub lines: Vec<String>,
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
}

impl Since {
    pub fn words(self) -> &'static str {
        match self {
            Self::NeverApproved => "it was never approved",
            Self::Changed => "it has changed since it was approved",
            Self::Revoked => "its approval was revoked",
        }
    }
}

/// What was approved, and whether that counts still.
#[derive(Clone, Copy, Debug)]
pub struct Approved<'a> {
    pub statement: &'a Statement,
    pub is_revoked: bool,
}

/// Why a component that was never approved is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstSight {
    /// It can do nothing but compute, and nothing it says stands out.
    AsksForNothing,
    /// The operator had granted it something when approvals began to count in this store.
    GrantedBefore,
}

/// `approved` is what was approved under its name, if anything was; `is_first` says that approvals did not count in this
/// store before.
pub fn admit(now: &Statement, approved: Option<Approved<'_>>, flags: &[Flag], is_first: bool) -> Admission {
    match approved {
        Some(Approved { statement, is_revoked: true }) => {
            waits(Since::Revoked, now.changes_since(statement), flags)
        }
        Some(Approved { statement, .. }) if statement == now => Admission::Approved,
        Some(Approved { statement, .. }) => waits(Since::Changed, now.changes_since(statement), flags),
        None if is_first && !now.granted.is_empty() => Admission::Pinned(FirstSight::GrantedBefore),
        None if now.asks_for_nothing() && flags.is_empty() => Admission::Pinned(FirstSight::AsksForNothing),
        None => waits(Since::NeverApproved, wants(now), flags),
    }
}

fn waits(since: Since, mut lines: Vec<String>, flags: &[Flag]) -> Admission {
    lines.extend(flags.iter().map(|flag| format!("to look at: {flag}")));
    Admission::Waits(Reasons { since, lines })
}

fn wants(now: &Statement) -> Vec<String> {
    let granted = now.granted.words().into_iter().map(|power| format!("it is granted {power}"));
    let requested = now.requested.beyond(&now.granted).words();
    let requested = requested.into_iter().map(|power| format!("it requests {power}"));
    granted.chain(requested).chain(now.wanted.iter().map(|bound| format!("it asks for {bound}"))).collect()
}
