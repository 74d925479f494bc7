//! What was sent of a request's body that streams: not held, but known again when its guest writes it once more.

use std::fmt;

const HASH_BYTES: usize = blake3::OUT_LEN;

/// So much, and its BLAKE3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub bytes: u64,
    pub hash: blake3::Hash,
}

#[derive(Default)]
pub struct Tally {
    bytes: u64,
    hasher: blake3::Hasher,
}

impl Tally {
    pub fn add(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.hasher.update(piece);
    }

    pub fn sent(&self) -> Sent {
        Sent { bytes: self.bytes, hash: self.hasher.finalize() }
    }
}

impl Sent {
    /// As it stands on disk.
    pub fn encode(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.bytes.to_le_bytes());
        to.extend_from_slice(self.hash.as_bytes());
    }

    /// With what stands behind it; `None` where the bytes are none.
    pub fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (hash, rest) = rest.split_first_chunk::<HASH_BYTES>()?;
        Some((Self { bytes: u64::from_le_bytes(*length), hash: (*hash).into() }, rest))
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a body that begins with {} bytes of BLAKE3 {}", self.bytes, self.hash)
    }
}
