//! Which walls are asked for.

use std::fmt;
use std::str::FromStr;

/// Which walls a process puts around itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Those that the system has.
    #[default]
    On,
    /// All of them, or it does not start.
    Required,
    Off,
}

impl Wanted {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Required => "required",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::On, Self::Required, Self::Off];
        let found = all.into_iter().find(|wanted| wanted.as_str() == text);
        found.ok_or_else(|| "is neither on, required nor off".to_owned())
    }
}
