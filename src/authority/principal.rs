use std::fmt;
use std::sync::Arc;

use super::pattern::{StatePattern, glob_matches};
use crate::limits;

/// The authenticated caller, with what it may do. A task belongs to one; another's task looks like one that does
/// not exist. A clone is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    held: Arc<Held>,
    /// The program that it calls through, as that says of itself: for the audit alone, it gives no power.
    client: Option<Arc<str>>,
    oversees: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Held {
    name: String,
    /// Globs.
    tools: Vec<String>,
    state: Vec<StatePattern>,
}

/// The principal without a token: a caller over loopback or stdio.
pub const LOCAL: &str = "local";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is no name for a principal: {why}", name.escape_debug())]
pub struct NameError {
    pub name: String,
    pub why: String,
}

impl Principal {
    /// A caller over loopback or stdio without a token: one OS user is one principal, who may do all.
    pub fn local() -> Self {
        let everywhere = StatePattern { namespace: "*".to_owned(), key: "*".to_owned(), read_only: false };
        Self::new(LOCAL, vec!["*".to_owned()]).with_state(vec![everywhere])
    }

    /// One that may call these tools (globs) and touch no shared state.
    pub fn new(name: impl Into<String>, tools: Vec<String>) -> Self {
        Self {
            held: Arc::new(Held { name: name.into(), tools, state: Vec::new() }),
            client: None,
            oversees: false,
        }
    }

    /// The same with these namespaces and keys of shared state instead of those that it had.
    #[must_use]
    pub fn with_state(self, state: Vec<StatePattern>) -> Self {
        let Held { name, tools, .. } = &*self.held;
        let held = Held { name: name.clone(), tools: tools.clone(), state };
        Self { held: Arc::new(held), ..self }
    }

    /// The same as the owner of this server's data, who sees the tasks of all principals.
    #[must_use]
    pub fn overseeing(mut self) -> Self {
        self.oversees = true;
        self
    }

    /// Whether tasks of the principal of this name are shown to it.
    pub fn sees(&self, owner: &str) -> bool {
        self.oversees || self.held.name == owner
    }

    /// Whether tasks of all principals are shown to it.
    pub fn oversees(&self) -> bool {
        self.oversees
    }

    /// The same, calling through this program.
    #[must_use]
    pub fn through(mut self, client: Option<Arc<str>>) -> Self {
        self.client = client;
        self
    }

    pub fn name(&self) -> &str {
        &self.held.name
    }

    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    pub fn is_local(&self) -> bool {
        self.held.name == LOCAL
    }

    pub fn tools(&self) -> &[String] {
        &self.held.tools
    }

    pub fn state(&self) -> &[StatePattern] {
        &self.held.state
    }

    pub fn may_call(&self, tool: &str) -> bool {
        self.held.tools.iter().any(|glob| glob_matches(glob, tool))
    }

    pub fn may_state(&self, namespace: &str, key: &str, write: bool) -> bool {
        self.held.state.iter().any(|pattern| pattern.matches(namespace, key, write))
    }

    /// Whether a token may have this name. It stands in keys, lists and commands, so that it is plain.
    pub fn check_name(name: &str) -> Result<(), NameError> {
        let wrong = |why: String| Err(NameError { name: name.chars().take(80).collect(), why });
        if name == LOCAL {
            return wrong("it is the one without a token".to_owned());
        }
        if name.is_empty() || name.len() > limits::MAX_PRINCIPAL_BYTES {
            return wrong(format!("it has 1 to {} bytes", limits::MAX_PRINCIPAL_BYTES));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
        if !name.bytes().all(plain) || !name.as_bytes()[0].is_ascii_alphanumeric() {
            return wrong(
                "it consists of A-Z, a-z, 0-9, '.', '_', '@' and '-', a letter or digit first".to_owned(),
            );
        }
        Ok(())
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_may_do_all_and_a_new_one_what_it_is_given() {
        let local = Principal::local();
        assert!(local.may_call("anything") && local.may_state("any", "k/ey", true) && local.is_local());
        let none = Principal::new("none", Vec::new());
        assert!(!none.may_call("anything") && !none.may_state("any", "key", false) && !none.is_local());
        let state = ["trips/eu-*", "notes:read"].map(|text| StatePattern::parse(text).expect("a pattern"));
        let some = Principal::new("some", vec!["book_*".to_owned()]).with_state(state.to_vec());
        assert!(some.may_call("book_agent") && !some.may_call("notebook"));
        for (namespace, key, write, may) in [
            ("trips", "eu-1", true, true),
            ("trips", "us-1", false, false),
            ("notes", "a", false, true),
            ("notes", "a", true, false),
            ("other", "eu-1", false, false),
        ] {
            assert_eq!(some.may_state(namespace, key, write), may, "{namespace}/{key} {write}");
        }
    }

    #[test]
    fn a_principal_sees_its_own_and_the_owner_sees_all() {
        let ann = Principal::new("ann", vec!["*".to_owned()]);
        assert!(ann.sees("ann") && !ann.sees("bob") && !Principal::local().sees("ann"));
        let owner = Principal::local().overseeing().through(Some("a program".into()));
        assert!(owner.sees("ann") && owner.sees(LOCAL) && owner.oversees());
    }

    #[test]
    fn names_are_plain() {
        for name in ["ann", "ci-bot.1", "ann@example.com", "9"] {
            assert_eq!(Principal::check_name(name), Ok(()), "{name}");
        }
        let long = "x".repeat(limits::MAX_PRINCIPAL_BYTES + 1);
        for name in ["", "local", "-a", ".a", "a b", "a/b", "a\0", "ä", &long] {
            assert!(Principal::check_name(name).is_err(), "{name}");
        }
    }
}
