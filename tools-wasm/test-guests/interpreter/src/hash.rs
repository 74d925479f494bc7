//! The hash of what a program reads and prints: FNV-1a, 64 bits.

pub const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, goes on from `start`.
pub fn hash(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
