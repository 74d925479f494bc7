//! One capability as people write it and files keep it: `http:https://api.example.com`, `state:trips:read`, `elicit`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::grant::Grant;
use super::pattern::{HttpPattern, StatePattern, glob_matches};

/// One capability of a grant, in the manifest's terms. It names no folder and no source of a secret: these are the
/// operator's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum NamedCapability {
    Http(HttpPattern),
    /// By its slot.
    Files(String),
    Env(String),
    /// By its name.
    Secrets(String),
    State(StatePattern),
    Tools(String),
    Elicit,
    Sample,
    /// A model of the operator's, by its name.
    Models(String),
}

/// What a person names of a grant: one capability, or all of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    All(&'static str),
    One(NamedCapability),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{}' is no capability: {why}; write it as the manifest has it, such as http:https://api.example.com, state:trips, \
     tools:research_agent, env:LANG, elicit or sample", .text.escape_debug()
)]
pub struct NotNamed {
    pub text: String,
    pub why: String,
}

/// Those that have scopes.
const KINDS: [&str; 7] = ["http", "files", "env", "secrets", "state", "tools", "models"];

impl NamedCapability {
    pub fn parse(text: &str) -> Result<Self, NotNamed> {
        let refuse = |why: &str| NotNamed { text: text.to_owned(), why: why.to_owned() };
        match text {
            "elicit" => return Ok(Self::Elicit),
            "sample" => return Ok(Self::Sample),
            _ => {}
        }
        let (kind, scope) = text.split_once(':').ok_or_else(|| refuse("it has no scope"))?;
        // Keys of shared state are any text.
        let fits = |c: char| c.is_ascii_graphic() || (kind == "state" && !c.is_control());
        if scope.is_empty() || !scope.chars().all(fits) {
            return Err(refuse("its scope is one or more visible ASCII characters"));
        }
        let scope = scope.to_owned();
        match kind {
            "http" => HttpPattern::parse(&scope).map(Self::Http).map_err(|error| refuse(error.why)),
            "state" => StatePattern::parse(&scope).map(Self::State).map_err(|error| refuse(error.why)),
            "files" => Ok(Self::Files(scope)),
            "env" => Ok(Self::Env(scope)),
            "secrets" => Ok(Self::Secrets(scope)),
            "tools" => Ok(Self::Tools(scope)),
            "models" => Ok(Self::Models(scope)),
            _ => Err(refuse("there is no such kind")),
        }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Files(_) => "files",
            Self::Env(_) => "env",
            Self::Secrets(_) => "secrets",
            Self::State(_) => "state",
            Self::Tools(_) => "tools",
            Self::Elicit => "elicit",
            Self::Sample => "sample",
            Self::Models(_) => "models",
        }
    }

    /// Whether this one allows everything that `other` does.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(one), Self::Http(other)) => one.covers(other),
            (Self::State(one), Self::State(other)) => one.covers(other),
            // A star in the other one is text that only a star of this one takes in.
            (Self::Tools(one), Self::Tools(other)) => glob_matches(one, other),
            _ => self == other,
        }
    }
}

impl fmt::Display for NamedCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Http(pattern) => write!(f, "{kind}:{pattern}"),
            Self::State(pattern) => write!(f, "{kind}:{pattern}"),
            Self::Files(name)
            | Self::Env(name)
            | Self::Secrets(name)
            | Self::Tools(name)
            | Self::Models(name) => write!(f, "{kind}:{name}"),
            Self::Elicit | Self::Sample => f.write_str(kind),
        }
    }
}

impl From<NamedCapability> for String {
    fn from(named: NamedCapability) -> Self {
        named.to_string()
    }
}

impl TryFrom<String> for NamedCapability {
    type Error = NotNamed;

    fn try_from(text: String) -> Result<Self, NotNamed> {
        Self::parse(&text)
    }
}

impl Selector {
    /// A capability, or the name of a kind for all of it.
    pub fn parse(text: &str) -> Result<Self, NotNamed> {
        match KINDS.iter().find(|kind| **kind == text) {
            Some(kind) => Ok(Self::All(kind)),
            None => NamedCapability::parse(text).map(Self::One),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(kind) => f.write_str(kind),
            Self::One(named) => named.fmt(f),
        }
    }
}

impl Grant {
    /// Its capabilities, each once, in the order of their texts.
    pub fn named(&self) -> Vec<NamedCapability> {
        let mut all = self.list_named();
        all.sort_by_cached_key(ToString::to_string);
        all.dedup();
        all
    }

    fn list_named(&self) -> Vec<NamedCapability> {
        let mut all: Vec<NamedCapability> = self.http.iter().cloned().map(NamedCapability::Http).collect();
        all.extend(self.files.iter().map(|file| NamedCapability::Files(file.slot.clone())));
        all.extend(self.env.iter().cloned().map(NamedCapability::Env));
        all.extend(self.secrets.iter().map(|secret| NamedCapability::Secrets(secret.name.clone())));
        all.extend(self.state.iter().cloned().map(NamedCapability::State));
        all.extend(self.tools.iter().cloned().map(NamedCapability::Tools));
        all.extend(self.elicit.then_some(NamedCapability::Elicit));
        all.extend(self.sample.then_some(NamedCapability::Sample));
        all.extend(self.models.iter().cloned().map(NamedCapability::Models));
        all
    }

    /// Of this grant what is named, in its own order, with its folders and sources; `Err` of the first that is beyond it.
    pub fn limited_to(&self, named: &[NamedCapability]) -> Result<Self, NamedCapability> {
        let mut limited = Self::default();
        let own = self.list_named();
        if let Some(beyond) = named.iter().find(|one| !own.iter().any(|most| most.covers(one))) {
            return Err(beyond.clone());
        }
        let mut in_order: Vec<_> = named.iter().collect();
        in_order.sort_by_key(|one| own.iter().position(|there| there == *one).unwrap_or(usize::MAX));
        in_order.dedup();
        for one in in_order {
            match one {
                NamedCapability::Http(pattern) => limited.http.push(pattern.clone()),
                NamedCapability::Files(slot) => {
                    limited.files.extend(self.files.iter().filter(|file| file.slot == *slot).cloned());
                }
                NamedCapability::Env(name) => limited.env.push(name.clone()),
                NamedCapability::Secrets(name) => {
                    limited
                        .secrets
                        .extend(self.secrets.iter().filter(|secret| secret.name == *name).cloned());
                }
                NamedCapability::State(pattern) => limited.state.push(pattern.clone()),
                NamedCapability::Tools(glob) => limited.tools.push(glob.clone()),
                NamedCapability::Elicit => limited.elicit = true,
                NamedCapability::Sample => limited.sample = true,
                NamedCapability::Models(name) => limited.models.push(name.clone()),
            }
        }
        Ok(limited)
    }
}

#[cfg(test)]
mod tests {
    use super::super::grant::{Access, FileGrant, SecretGrant};
    use super::*;

    fn grant() -> Grant {
        let http = |text| HttpPattern::parse(text).expect("a pattern");
        Grant {
            http: vec![http("https://*.example.com"), http("http://a.example:8080")],
            files: vec![FileGrant {
                slot: "docs".to_owned(),
                at: "/docs".to_owned(),
                access: Access::Read,
                path: Some("/srv".to_owned()),
            }],
            env: vec!["LANG".to_owned()],
            secrets: vec![SecretGrant {
                name: "key".to_owned(),
                host: "a.example.com".to_owned(),
                header: "authorization".to_owned(),
                from: Some("env:KEY".to_owned()),
            }],
            state: vec![StatePattern::parse("trips").expect("a pattern")],
            tools: vec!["research_*".to_owned()],
            elicit: true,
            sample: true,
            models: vec!["fast".to_owned()],
        }
    }

    #[test]
    fn each_capability_is_read_as_it_is_written() {
        let named = grant().named();
        let texts: Vec<String> = named.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "elicit",
                "env:LANG",
                "files:docs",
                "http:http://a.example:8080",
                "http:https://*.example.com:443",
                "models:fast",
                "sample",
                "secrets:key",
                "state:trips",
                "tools:research_*",
            ]
        );
        for (text, named) in texts.iter().zip(&named) {
            assert_eq!(NamedCapability::parse(text).as_ref(), Ok(named));
            assert_eq!(Selector::parse(text), Ok(Selector::One(named.clone())));
        }
        let short = NamedCapability::parse("http:https://a.example").expect("one");
        assert_eq!(short.to_string(), "http:https://a.example:443");
        assert_eq!(Selector::parse("http"), Ok(Selector::All("http")));
        assert_eq!(
            NamedCapability::parse("state:trips/zu rück").expect("one").to_string(),
            "state:trips/zu rück"
        );
    }

    #[test]
    fn what_names_no_capability_is_refused_with_the_reason() {
        for (text, why) in [
            ("http", "no scope"),
            ("http:", "one or more"),
            ("http:https://*", "a '*' may only stand first"),
            ("state:Trips", "a namespace"),
            ("tools:a b", "visible ASCII"),
            ("tools:a\u{202e}b", "visible ASCII"),
            ("sockets:x", "no such kind"),
            ("elicit:x", "no such kind"),
            ("", "no scope"),
            ("state:a/\u{1b}[2J", "visible ASCII"),
        ] {
            let error = NamedCapability::parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_grant_limited_to_what_is_named_is_never_wider() {
        let named = |text: &str| NamedCapability::parse(text).expect("one");
        let limited = grant().limited_to(&[named("http:https://a.example.com"), named("state:trips:read")]);
        let limited = limited.expect("within it");
        assert_eq!((limited.http.len(), limited.state[0].read_only), (1, true));
        assert!(!limited.elicit && limited.files.is_empty() && limited.secrets.is_empty());
        let bound = grant().limited_to(&[named("secrets:key"), named("files:docs")]).expect("within it");
        assert_eq!((bound.secrets, bound.files), (grant().secrets, grant().files));
        let all = grant().limited_to(&grant().named()).expect("itself");
        assert_eq!(all, grant());
        for beyond in [
            "http:https://example.com",
            "http:http://a.example.com",
            "state:*",
            "tools:*",
            "env:HOME",
            "secrets:other",
            "files:other",
            "models:best",
        ] {
            assert_eq!(grant().limited_to(&[named(beyond)]), Err(named(beyond)));
        }
    }
}
