//! The tokens that are valid now: all of them are held in memory, so that every request can ask again.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use tokio::sync::watch;

use crate::authority::{LOCAL, Principal, Standing};
use crate::engine::rows;
use crate::engine::rows::TokenRow;
use crate::store::{Snapshot, Space, StoreError};

/// The tokens that are valid now.
#[derive(Default)]
pub struct Tokens {
    pub by_hash: RwLock<HashMap<[u8; 32], Held>>,
    /// Names whose token was revoked, as long as there is no new one.
    revoked: RwLock<HashSet<String>>,
    /// Every principal but `local` is known by a token: one without has had it revoked.
    pub are_needed: AtomicBool,
}

pub struct Held {
    pub principal: Principal,
    pub created_at: u64,
    pub revoked: watch::Sender<bool>,
}

impl Tokens {
    /// Takes in the rows of a store that is being opened.
    pub fn load(&self, snapshot: &Snapshot<'_>) -> Result<(), StoreError> {
        rows::scan_named(snapshot, (Space::Token, ""), |name, row| self.insert(name, row))?;
        let mut revoked = self.revoked.write();
        snapshot.scan_prefix(Space::Setting, rows::REVOKED_PREFIX.as_bytes(), false, |key, _| {
            let name = &key[rows::REVOKED_PREFIX.len()..];
            revoked.insert(String::from_utf8_lossy(name).into_owned());
            ControlFlow::Continue(())
        })
    }

    /// How the principal of this name stands now. A program that has principals of its own knows what they may do.
    pub fn standing(&self, name: &str) -> Standing {
        if name == LOCAL {
            return Standing::AsGiven;
        }
        if let Some(held) = self.by_hash.read().values().find(|held| held.principal.name() == name) {
            return Standing::Holds(held.principal.clone());
        }
        let is_revoked = self.are_needed.load(Ordering::Relaxed) || self.revoked.read().contains(name);
        if is_revoked { Standing::Revoked } else { Standing::AsGiven }
    }

    pub fn insert(&self, name: String, row: TokenRow) {
        let principal = Principal::new(name.clone(), row.tools).with_state(row.state);
        let held = Held { principal, created_at: row.created_at, revoked: watch::Sender::new(false) };
        self.by_hash.write().insert(row.hash, held);
        // At no moment is it without both.
        self.revoked.write().remove(&name);
    }

    pub fn remove(&self, hash: &[u8; 32]) {
        let name = self.by_hash.read().get(hash).map(|held| held.principal.name().to_owned());
        self.revoked.write().extend(name);
        let held = self.by_hash.write().remove(hash);
        if let Some(held) = held {
            held.revoked.send_replace(true);
        }
    }

    pub fn len(&self) -> usize {
        self.by_hash.read().len()
    }
}
