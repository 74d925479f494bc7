//! Texts that only this store can have made: what a client is given to carry, sealed, so that a client cannot guess or
//! change it, and of use to the one alone for whom it was made.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::{EngineError, TaskEngine};

/// The same across restarts.
pub struct Seal([u8; 32]);

/// Names the key among the store's settings; event ids were the first that it sealed.
const KEY_SETTING: &str = "mcp-event-key";
const SEAL_BYTES: usize = 16;

impl Seal {
    #[cfg(test)]
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The store's own.
    pub async fn of(engine: &TaskEngine) -> Result<Self, EngineError> {
        let stored = engine.setting(KEY_SETTING).await?;
        if let Some(key) = stored.and_then(|bytes| bytes.try_into().ok()) {
            return Ok(Self(key));
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| EngineError::Random(error.to_string()))?;
        engine.put_setting(KEY_SETTING, key.to_vec()).await?;
        Ok(Self(key))
    }

    /// Holds for this owner alone, whose parts are kept apart.
    pub fn seal<T: Serialize>(&self, owner: &[&str], value: &T) -> String {
        // Numbers and short texts always have a form.
        let mut bytes = postcard::to_stdvec(value).unwrap_or_default();
        let seal = self.mark(owner, &bytes);
        bytes.extend_from_slice(&seal);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` for whatever this store did not give to this very owner.
    pub fn open<T: DeserializeOwned>(&self, owner: &[&str], sealed: &str) -> Option<T> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (value, seal) = bytes.split_last_chunk::<SEAL_BYTES>()?;
        // Compared without regard to where they differ.
        let expected = self.mark(owner, value);
        let differ = expected.iter().zip(seal).fold(0, |differ, (a, b)| differ | (a ^ b));
        (differ == 0).then(|| postcard::from_bytes(value).ok()).flatten()
    }

    fn mark(&self, owner: &[&str], value: &[u8]) -> [u8; SEAL_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in owner {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher.update(value);
        let mut seal = [0; SEAL_BYTES];
        hasher.finalize_xof().fill(&mut seal);
        seal
    }
}
