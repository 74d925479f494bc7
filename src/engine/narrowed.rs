//! What tokens narrow their principals' shares to. It stands in rows of its own next to the token's, so that tokens of
//! earlier builds read as ever, and stays when the token is revoked: its tasks may go on.

use crate::engine::commit::Commit;
use crate::engine::rows;
use crate::shares::{Account, Narrowed};
use crate::store::{Snapshot, Space, StoreError};

/// Of the names of settings; behind it stands the principal's.
const PREFIX: &str = "share/";
/// The same for what it may keep in the store, MiB: the row of all else has the shape that earlier builds read.
const STORE_PREFIX: &str = "store-share/";

/// Adds what a new token says, or that it says nothing.
pub fn add(commit: &mut Commit, name: &str, narrowed: &Narrowed) -> Result<(), StoreError> {
    let key = format!("{PREFIX}{name}");
    let Narrowed { store_mib, .. } = *narrowed;
    if (Narrowed { store_mib: None, ..*narrowed }).is_none() {
        commit.add_delete(Space::Setting, key);
    } else {
        commit.add_put(Space::Setting, key, rows::encode(narrowed)?);
    }
    let key = format!("{STORE_PREFIX}{name}");
    match store_mib {
        Some(mib) => commit.add_put(Space::Setting, key, rows::encode(&mib)?),
        None => commit.add_delete(Space::Setting, key),
    }
    Ok(())
}

/// Takes in the rows of a store that is being opened.
pub fn load(account: &Account, snapshot: &Snapshot<'_>) -> Result<(), StoreError> {
    rows::scan_named(snapshot, (Space::Setting, PREFIX), |name, narrowed| account.narrow(&name, narrowed))?;
    rows::scan_named(snapshot, (Space::Setting, STORE_PREFIX), |name, mib| {
        account.narrow(&name, Narrowed { store_mib: Some(mib), ..account.narrowed(&name) });
    })
}
