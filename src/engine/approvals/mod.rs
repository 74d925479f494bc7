//! Which components a person has approved, as what they were then. A component that comes with anything changed is not
//! served before it is approved again; its tasks that run keep what they have.
//! Read first: `person.rs`; then `expiry.rs`, which ends approvals that were given until a time.

pub mod expiry;
mod person;
mod rows;

use std::collections::BTreeMap;

pub use person::{ApprovedView, Approving, UnapprovedView};

use crate::authority::Principal;
use crate::catalog::{Admission, FirstSight, Flag, Lock, SeenAt, Statement, Terms, admit};
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::store::{Need, Space};
use rows::{ApprovalRow, Change, SINCE, put, read_all};

/// What is approved, when a start begins to look at components.
#[derive(Debug)]
pub struct Approvals {
    rows: BTreeMap<String, ApprovalRow>,
    lock: Lock,
    seen: SeenAt,
    pins: Vec<Pin>,
}

/// What a start approves, and why.
#[derive(Debug)]
struct Pin {
    name: String,
    statement: Statement,
    terms: Terms,
    /// `None` where a lock file says so.
    first_sight: Option<FirstSight>,
}

impl Pin {
    fn why(&self) -> &'static str {
        match self.first_sight {
            Some(FirstSight::AsksForNothing) => "it asks for nothing",
            Some(FirstSight::GrantedBefore) => "it was granted before approvals counted",
            None => "the lock file says so",
        }
    }
}

impl Approvals {
    /// How a component stands. One that is pinned counts as approved once [`TaskEngine::pin_components`] has it.
    pub fn admit(&mut self, name: &str, statement: &Statement, flags: &[Flag]) -> Admission {
        let row = self.rows.get(name);
        let locked = self.lock.component(name);
        let known = (row.map(ApprovalRow::as_approved), locked);
        let admission = admit(statement, known, flags, self.seen);
        let mut pin = |terms: Terms, first_sight| {
            let (name, statement) = (name.to_owned(), statement.clone());
            self.pins.push(Pin { name, statement, terms, first_sight });
        };
        match &admission {
            Admission::Pinned(why, _) => pin(Terms::default(), Some(*why)),
            // Kept, so that a start without that file knows what its tasks were given.
            Admission::Approved(approval) if locked.is_some() => {
                let terms = approval.terms();
                if !row.is_some_and(|row| row.is_locked_as(statement, &terms)) {
                    pin(terms, None);
                }
            }
            _ => {}
        }
        admission
    }

    /// Those that [`Self::admit`] has pinned since they ask for nothing.
    pub fn pinned_at_first_sight(&self) -> Vec<(String, Statement)> {
        let first = self.pins.iter().filter(|pin| pin.first_sight == Some(FirstSight::AsksForNothing));
        first.map(|pin| (pin.name.clone(), pin.statement.clone())).collect()
    }

    /// One that was pinned by [`Self::admit`] is not, after all.
    pub fn withdraw(&mut self, name: &str) {
        self.pins.retain(|pin| pin.name != name);
    }
}

impl TaskEngine {
    /// With what a lock file says besides, if there is one.
    pub async fn approvals(&self, lock: Lock) -> Result<Approvals, EngineError> {
        let (rows, has_begun) = self.shared.store.read(read_all).await?;
        let seen = SeenAt { date: self.shared.date(), is_first: !has_begun };
        Ok(Approvals { rows, lock, seen, pins: Vec::new() })
    }

    /// What is approved under a name, or was last.
    pub async fn approved_statement(&self, name: &str) -> Result<Option<Statement>, EngineError> {
        let row = self.setting(&rows::key(name)).await?;
        Ok(row.and_then(|row| ApprovalRow::decode(name, &row)).map(|row| row.statement))
    }

    /// Keeps what a start has pinned, with a row of the audit for each.
    pub async fn pin_components(&self, by: &Principal, approvals: Approvals) -> Result<(), EngineError> {
        // A start needs it, also on a full disk.
        let mut commit = Commit::new().with_need(Need::End);
        if approvals.seen.is_first {
            commit.add_put(Space::Setting, SINCE, self.shared.date().to_be_bytes());
        }
        for pin in approvals.pins {
            let (why, is_locked) = (pin.why(), pin.first_sight.is_none());
            let Pin { name, statement, terms, .. } = pin;
            let (name, statement) = (&*name, &statement);
            let pinned = Change { name, statement, terms, ended: None, is_locked, why };
            put(&self.shared, &mut commit, by, pinned)?;
        }
        if !commit.is_empty() {
            self.shared.commit(commit)?.await?;
        }
        Ok(())
    }
}
