//! Which walls stand, in words.

use std::fmt;

/// What a process can do no more, and what it could not be kept from, with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub stand: Vec<String>,
    pub missing: Vec<String>,
}

impl Standing {
    /// Nothing stands, for this reason.
    pub fn none(why: impl Into<String>) -> Self {
        Self { stand: Vec::new(), missing: vec![why.into()] }
    }

    pub fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    #[cfg(target_os = "linux")]
    pub(super) fn and(mut self, other: Self) -> Self {
        self.stand.extend(other.stand);
        self.missing.extend(other.missing);
        self
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stand = if self.stand.is_empty() { "none stand".to_owned() } else { self.stand.join("; ") };
        write!(f, "{stand}")?;
        if !self.missing.is_empty() {
            write!(f, "; missing: {}", self.missing.join("; "))?;
        }
        Ok(())
    }
}
