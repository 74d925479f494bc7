//! Keys that a store has of its own: what the owner is known by, and what seals compiled code.

use crate::authority::Secret;
use crate::cli::exit::{CliError, Result};
use crate::engine::TaskEngine;

/// In the store: seals the compiled code, so that writing to the cache alone is not enough to forge it.
const CACHE_KEY: &str = "compiled-code-key";
/// In the store: what the owner is known by over HTTP.
const OWNER_KEY: &str = "owner-key";
/// Tells a key from a token, for people and for scanners of secrets.
const KEY_PREFIX: &str = "lhk_";

/// What compiled code is sealed with.
pub async fn cache_key(engine: &TaskEngine) -> Result<[u8; 32]> {
    kept_key(engine, CACHE_KEY).await
}

/// The key in the store under this name; made where there is none.
async fn kept_key(engine: &TaskEngine, name: &str) -> Result<[u8; 32]> {
    match engine.setting(name).await?.and_then(|key| key.try_into().ok()) {
        Some(key) => Ok(key),
        None => fresh_key(engine, name).await,
    }
}

async fn fresh_key(engine: &TaskEngine, name: &str) -> Result<[u8; 32]> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)
        .map_err(|e| CliError::failed(format_args!("the machine gives no random numbers: {e}")))?;
    engine.put_setting(name, key.to_vec()).await?;
    Ok(key)
}

/// What the other commands, and hosts that were given it, show this server: a process that can read it from the data folder
/// owns all that is in it. The same at every start, since hosts keep it in their environment.
pub async fn owner_key(engine: &TaskEngine) -> Result<Secret> {
    Ok(as_secret(kept_key(engine, OWNER_KEY).await?))
}

/// Another key of the owner's; the one before is a wrong one from the next start on.
pub async fn renew_owner_key(engine: &TaskEngine) -> Result<()> {
    fresh_key(engine, OWNER_KEY).await.map(drop)
}

fn as_secret(key: [u8; 32]) -> Secret {
    Secret::new(format!("{KEY_PREFIX}{}", blake3::Hash::from_bytes(key).to_hex()))
}
