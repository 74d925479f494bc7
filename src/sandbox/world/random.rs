//! Randomness: a function of the task's seed, so that replay draws the same numbers without a journal.

use std::convert::Infallible;

use rand_core::TryRng;

/// What a stream of random numbers is for; no two share their numbers.
#[derive(Clone, Copy)]
pub enum Purpose {
    Secure,
    Insecure,
    HashSeed,
}

/// An endless stream: BLAKE3's extendable output, keyed with the seed.
pub struct SeededRandom(blake3::OutputReader);

impl SeededRandom {
    pub fn new(seed: &[u8; 32], purpose: Purpose) -> Self {
        let purpose: &[u8] = match purpose {
            Purpose::Secure => b"wasi:random/random",
            Purpose::Insecure => b"wasi:random/insecure",
            Purpose::HashSeed => b"wasi:random/insecure-seed",
        };
        Self(blake3::Hasher::new_keyed(seed).update(purpose).finalize_xof())
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }
}

impl TryRng for SeededRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_stream_per_purpose_and_always_the_same() {
        let draw = |seed: u8, purpose| SeededRandom::new(&[seed; 32], purpose).bytes::<16>();
        assert_eq!(draw(1, Purpose::Secure), draw(1, Purpose::Secure));
        assert_ne!(draw(1, Purpose::Secure), draw(1, Purpose::Insecure));
        assert_ne!(draw(1, Purpose::Secure), draw(2, Purpose::Secure));
    }
}
