use serde::{Deserialize, Serialize};

use super::pattern::{HttpPattern, StatePattern, glob_matches};

/// One use of a power: what a host interface asks about before it acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability<'a> {
    Http { scheme: &'a str, host: &'a str, port: u16 },
    Env { name: &'a str },
    StateRead { namespace: &'a str, key: &'a str },
    StateWrite { namespace: &'a str, key: &'a str },
    CallTool { name: &'a str },
    Elicit,
    Sample,
}

/// What a component is given. The default is nothing: no HTTP, no files, no environment, no secrets,
/// no shared state, no calls to other tools, no questions, no samples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub http: Vec<HttpPattern>,
    pub files: Vec<FileGrant>,
    pub env: Vec<String>,
    pub secrets: Vec<SecretGrant>,
    pub state: Vec<StatePattern>,
    pub tools: Vec<String>,
    pub elicit: bool,
    pub sample: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileGrant {
    pub slot: String,
    /// Where the guest sees it.
    pub at: String,
    pub access: Access,
    /// The operator's folder; a manifest has none.
    pub path: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    Read,
    Write,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretGrant {
    pub name: String,
    pub host: String,
    pub header: String,
    /// `env:NAME` or `file:PATH`; a manifest has none.
    pub from: Option<String>,
}

impl Grant {
    pub fn allows(&self, capability: Capability<'_>) -> bool {
        match capability {
            Capability::Http { scheme, host, port } => {
                self.http.iter().any(|p| p.matches(scheme, host, port))
            }
            Capability::Env { name } => self.env.iter().any(|granted| granted == name),
            Capability::StateRead { namespace, key } => {
                self.state.iter().any(|p| p.matches(namespace, key, false))
            }
            Capability::StateWrite { namespace, key } => {
                self.state.iter().any(|p| p.matches(namespace, key, true))
            }
            Capability::CallTool { name } => self.tools.iter().any(|glob| glob_matches(glob, name)),
            Capability::Elicit => self.elicit,
            Capability::Sample => self.sample,
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same without sources: what a component requests but is not trusted to bind by itself.
    pub fn without_bindings(mut self) -> Self {
        self.files.iter_mut().for_each(|file| file.path = None);
        self.secrets.iter_mut().for_each(|secret| secret.from = None);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Grant {
        Grant {
            http: vec![HttpPattern::parse("https://a.example").expect("a pattern")],
            files: Vec::new(),
            env: vec!["LANG".into()],
            secrets: Vec::new(),
            state: vec![StatePattern::parse("trips:read").expect("a pattern")],
            tools: vec!["research_*".into()],
            elicit: true,
            sample: true,
        }
    }

    const USES: [Capability<'static>; 7] = [
        Capability::Http { scheme: "https", host: "a.example", port: 443 },
        Capability::Env { name: "LANG" },
        Capability::StateRead { namespace: "trips", key: "1" },
        Capability::StateWrite { namespace: "trips", key: "1" },
        Capability::CallTool { name: "research_agent" },
        Capability::Elicit,
        Capability::Sample,
    ];

    #[test]
    fn the_default_denies_everything() {
        for capability in USES {
            assert!(!Grant::default().allows(capability), "{capability:?}");
        }
    }

    #[test]
    fn a_grant_allows_its_scope_and_nothing_beside_it() {
        let grant = everything();
        for capability in USES {
            let allowed = !matches!(capability, Capability::StateWrite { .. });
            assert_eq!(grant.allows(capability), allowed, "{capability:?}");
        }
        assert!(!grant.allows(Capability::Http { scheme: "https", host: "b.example", port: 443 }));
        assert!(!grant.allows(Capability::CallTool { name: "travel_agent" }));
        assert!(!grant.allows(Capability::Env { name: "HOME" }));
    }
}
