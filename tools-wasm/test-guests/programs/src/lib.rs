//! What the programs share: a hash chain over everything that they see.

/// FNV-1a over a sequence of values; the order counts.
#[derive(Clone, Copy)]
pub struct Chain(u64);

impl Default for Chain {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Chain {
    pub fn add(&mut self, value: u64) {
        for byte in value.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    pub fn value(self) -> u64 {
        self.0
    }
}

/// The first argument, where the program was given one that is a number.
pub fn rounds_or(default: u64) -> u64 {
    std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}
