//! The tokens that are valid now: all of them are held in memory, so that every request can ask again.

use std::collections::HashMap;
use std::ops::ControlFlow;

use parking_lot::RwLock;
use tokio::sync::watch;

use crate::authority::Principal;
use crate::engine::rows;
use crate::engine::rows::TokenRow;
use crate::store::{Snapshot, Space, StoreError};

/// The tokens that are valid now.
#[derive(Default)]
pub struct Tokens {
    pub by_hash: RwLock<HashMap<[u8; 32], Held>>,
}

pub struct Held {
    pub principal: Principal,
    pub created_at: u64,
    pub revoked: watch::Sender<bool>,
}

impl Tokens {
    /// Takes in the rows of a store that is being opened.
    pub fn load(&self, snapshot: &Snapshot<'_>) -> Result<(), StoreError> {
        let mut fault = None;
        snapshot.scan_prefix(Space::Token, &[], false, |key, row| {
            match rows::decode::<TokenRow>(Space::Token, key, row) {
                Ok(row) => {
                    self.insert(String::from_utf8_lossy(key).into_owned(), row);
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    fault = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        fault.map_or(Ok(()), Err)
    }

    pub fn insert(&self, name: String, row: TokenRow) {
        let principal = Principal::new(name, row.tools).with_state(row.state);
        let held = Held { principal, created_at: row.created_at, revoked: watch::Sender::new(false) };
        self.by_hash.write().insert(row.hash, held);
    }

    pub fn remove(&self, hash: &[u8; 32]) {
        let held = self.by_hash.write().remove(hash);
        if let Some(held) = held {
            held.revoked.send_replace(true);
        }
    }

    pub fn len(&self) -> usize {
        self.by_hash.read().len()
    }
}
