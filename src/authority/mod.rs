//! Lives here: who asks (`Principal`), kinds of power with their scope (`Capability`), what is given (`Grant`).
//! May import: `limits`. Never here: I/O, a clock, a manifest's file format.
//! Read first: `Grant::allows`.

mod grant;
mod pattern;

pub use grant::{Access, Capability, FileGrant, Grant, SecretGrant};
pub use pattern::{HttpPattern, PatternError, StatePattern, glob_matches};

use serde::{Deserialize, Serialize};

/// The authenticated caller. A task belongs to one; another's task looks like one that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    name: String,
    /// Tools it may call and see; globs.
    tools: Vec<String>,
}

impl Principal {
    /// Whoever calls over loopback or stdio without a token: one OS user is one principal.
    pub fn local() -> Self {
        Self { name: "local".to_owned(), tools: vec!["*".to_owned()] }
    }

    pub fn new(name: impl Into<String>, tools: Vec<String>) -> Self {
        Self { name: name.into(), tools }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Globs.
    pub fn tools(&self) -> &[String] {
        &self.tools
    }

    pub fn may_call(&self, tool: &str) -> bool {
        self.tools.iter().any(|glob| glob_matches(glob, tool))
    }
}
