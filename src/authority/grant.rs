use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pattern::{HttpPattern, StatePattern, glob_matches};

/// One use of a power: what a host interface asks about before it acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability<'a> {
    Http {
        scheme: &'a str,
        host: &'a str,
        port: u16,
    },
    Env {
        name: &'a str,
    },
    StateRead {
        namespace: &'a str,
        key: &'a str,
    },
    StateWrite {
        namespace: &'a str,
        key: &'a str,
    },
    CallTool {
        name: &'a str,
    },
    Elicit,
    Sample,
    /// A model of the operator's, by its name.
    Model {
        name: &'a str,
    },
}

/// What a component is given. The default is nothing: no HTTP, no files, no environment, no secrets,
/// no shared state, no calls to other tools, no questions, no samples, no models.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "GrantRow", into = "GrantRow")]
pub struct Grant {
    pub http: Vec<HttpPattern>,
    pub files: Vec<FileGrant>,
    pub env: Vec<String>,
    pub secrets: Vec<SecretGrant>,
    pub state: Vec<StatePattern>,
    pub tools: Vec<String>,
    pub elicit: bool,
    pub sample: bool,
    /// Models of the operator's, by their names.
    pub models: Vec<String>,
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
    /// `NAME`, or `NAME: PREFIX` where a word stands before the secret, as in `authorization: Bearer`.
    pub header: String,
    /// `env:NAME`, `file:PATH` or `keyring:SERVICE/ACCOUNT`; a manifest has none.
    pub from: Option<String>,
}

/// As a row has it: the names of models stand among the tools, behind a mark that no tool's name has, so that a row from
/// before there were models reads as it was.
#[derive(Clone, Default, Serialize, Deserialize)]
struct GrantRow {
    http: Vec<HttpPattern>,
    files: Vec<FileGrant>,
    env: Vec<String>,
    secrets: Vec<SecretGrant>,
    state: Vec<StatePattern>,
    tools: Vec<String>,
    elicit: bool,
    sample: bool,
}

const MODEL_MARK: &str = "model:";

impl From<GrantRow> for Grant {
    fn from(row: GrantRow) -> Self {
        let GrantRow { http, files, env, secrets, state, tools: all, elicit, sample } = row;
        let (mut tools, mut models) = (Vec::new(), Vec::new());
        for name in all {
            match name.strip_prefix(MODEL_MARK) {
                Some(model) => models.push(model.to_owned()),
                None => tools.push(name),
            }
        }
        Self { http, files, env, secrets, state, tools, elicit, sample, models }
    }
}

impl From<Grant> for GrantRow {
    fn from(grant: Grant) -> Self {
        let Grant { http, files, env, secrets, state, mut tools, elicit, sample, models } = grant;
        tools.extend(models.iter().map(|name| format!("{MODEL_MARK}{name}")));
        Self { http, files, env, secrets, state, tools, elicit, sample }
    }
}

impl SecretGrant {
    /// The name of the header, and what stands in it before the secret.
    pub fn header(&self) -> (&str, String) {
        match self.header.split_once(": ") {
            Some((name, prefix)) => (name, format!("{prefix} ")),
            None => (&self.header, String::new()),
        }
    }
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
            Capability::Model { name } => self.models.iter().any(|granted| granted == name),
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The secret of this name for the same header of the same host, wherever it comes from.
    pub fn secret(&self, like: &SecretGrant) -> Option<SecretGrant> {
        let same = |one: &&SecretGrant| {
            (&one.name, &one.host, &one.header) == (&like.name, &like.host, &like.header)
        };
        self.secrets.iter().find(same).cloned()
    }

    /// In words, one line a power. They hold what a manifest says as it says it: escape them where they are shown.
    pub fn words(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.http.iter().map(|pattern| format!("http {pattern}")).collect();
        for file in &self.files {
            let access = match file.access {
                Access::Read => "read",
                Access::Write => "write",
            };
            let from = file.path.as_deref().map(|path| format!(" from {path}")).unwrap_or_default();
            lines.push(format!("files {} at {} ({access}){from}", file.slot, file.at));
        }
        lines.extend(self.env.iter().map(|name| format!("env {name}")));
        for secret in &self.secrets {
            let from = secret.from.as_deref().map(|from| format!(" from {from}")).unwrap_or_default();
            lines.push(format!("secret {} as {} to {}{from}", secret.name, secret.header, secret.host));
        }
        lines.extend(self.state.iter().map(|pattern| format!("state {pattern}")));
        lines.extend(self.tools.iter().map(|name| format!("calls to the tool {name}")));
        lines.extend(self.elicit.then(|| "questions to people".to_owned()));
        lines.extend(self.sample.then(|| "samples of the client's model".to_owned()));
        lines.extend(self.models.iter().map(|name| format!("the model {name}")));
        lines
    }

    /// What of this `given` does not cover: what was requested and is denied. A folder or secret counts as
    /// given where `given` binds one of that name to a source, at the same place, for as much.
    pub fn beyond(&self, given: &Self) -> Self {
        let file_given = |wanted: &FileGrant| {
            given.files.iter().any(|file| {
                file.path.is_some()
                    && (&file.slot, &file.at) == (&wanted.slot, &wanted.at)
                    && (file.access == Access::Write || wanted.access == Access::Read)
            })
        };
        let secret_given =
            |wanted: &SecretGrant| given.secret(wanted).is_some_and(|secret| secret.from.is_some());
        Self {
            http: left(&self.http, |p| given.http.iter().any(|g| g.covers(p))),
            files: left(&self.files, file_given),
            env: left(&self.env, |name| given.env.contains(name)),
            secrets: left(&self.secrets, secret_given),
            state: left(&self.state, |p| given.state.iter().any(|g| g.covers(p))),
            // A star in what is wanted is text that only a star of what is given takes in.
            tools: left(&self.tools, |wanted| given.tools.iter().any(|glob| glob_matches(glob, wanted))),
            elicit: self.elicit && !given.elicit,
            sample: self.sample && !given.sample,
            models: left(&self.models, |name| given.models.contains(name)),
        }
    }

    /// What both allow. Of two patterns that overlap and of which neither covers the other, nothing.
    pub fn within(&self, other: &Self) -> Self {
        Self {
            http: common(&self.http, &other.http, HttpPattern::covers),
            files: common(&self.files, &other.files, PartialEq::eq),
            env: common(&self.env, &other.env, PartialEq::eq),
            secrets: common(&self.secrets, &other.secrets, PartialEq::eq),
            state: common(&self.state, &other.state, StatePattern::covers),
            tools: common(&self.tools, &other.tools, |glob, name| glob_matches(glob, name)),
            elicit: self.elicit && other.elicit,
            sample: self.sample && other.sample,
            models: common(&self.models, &other.models, PartialEq::eq),
        }
    }

    /// Both together.
    pub fn and(mut self, more: Self) -> Self {
        fn add<T: PartialEq>(to: &mut Vec<T>, more: Vec<T>) {
            for item in more {
                if !to.contains(&item) {
                    to.push(item);
                }
            }
        }
        add(&mut self.http, more.http);
        add(&mut self.files, more.files);
        add(&mut self.env, more.env);
        add(&mut self.secrets, more.secrets);
        add(&mut self.state, more.state);
        add(&mut self.tools, more.tools);
        add(&mut self.models, more.models);
        self.elicit |= more.elicit;
        self.sample |= more.sample;
        self
    }

    /// The same without folders and secrets that are bound to nothing.
    pub fn bound(mut self) -> Self {
        self.files.retain(|file| file.path.is_some());
        self.secrets.retain(|secret| secret.from.is_some());
        self
    }

    /// The same without what secrets come from.
    pub fn without_sources(mut self) -> Self {
        self.secrets.iter_mut().for_each(|secret| secret.from = None);
        self
    }

    /// The same with folders for slots of these names, in the place of what they were bound to.
    pub fn with_folders(mut self, folders: &BTreeMap<String, String>) -> Self {
        for file in &mut self.files {
            if let Some(path) = folders.get(&file.slot) {
                file.path = Some(path.clone());
            }
        }
        self
    }

    /// The same without sources: what a component requests but is not trusted to bind by itself.
    pub fn without_bindings(mut self) -> Self {
        self.files.iter_mut().for_each(|file| file.path = None);
        self.secrets.iter_mut().for_each(|secret| secret.from = None);
        self
    }
}

fn left<T: Clone>(wanted: &[T], given: impl Fn(&T) -> bool) -> Vec<T> {
    wanted.iter().filter(|item| !given(item)).cloned().collect()
}

/// Of each list what the other one covers, once.
fn common<T: Clone + PartialEq>(one: &[T], other: &[T], covers: impl Fn(&T, &T) -> bool) -> Vec<T> {
    let covered = |items: &[T], by: &[T]| -> Vec<T> {
        items.iter().filter(|item| by.iter().any(|wide| covers(wide, item))).cloned().collect()
    };
    let mut both = covered(one, other);
    for item in covered(other, one) {
        if !both.contains(&item) {
            both.push(item);
        }
    }
    both
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
            models: vec!["fast".into()],
        }
    }

    const USES: [Capability<'static>; 8] = [
        Capability::Http { scheme: "https", host: "a.example", port: 443 },
        Capability::Env { name: "LANG" },
        Capability::StateRead { namespace: "trips", key: "1" },
        Capability::StateWrite { namespace: "trips", key: "1" },
        Capability::CallTool { name: "research_agent" },
        Capability::Elicit,
        Capability::Sample,
        Capability::Model { name: "fast" },
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
        assert!(!grant.allows(Capability::Model { name: "best" }));
    }

    #[test]
    fn what_is_wanted_beyond_a_grant_is_left() {
        let docs = |access, path: Option<&str>| FileGrant {
            slot: "docs".into(),
            at: "/docs".into(),
            access,
            path: path.map(str::to_owned),
        };
        let given = Grant { files: vec![docs(Access::Read, Some("/srv"))], ..everything() };
        assert!(everything().beyond(&given).is_empty());
        assert_eq!(everything().beyond(&Grant::default()), everything());
        let wanted = Grant {
            files: vec![docs(Access::Read, None), docs(Access::Write, None)],
            state: vec![StatePattern::parse("trips").expect("a pattern")],
            tools: vec!["research_agent".into(), "*".into()],
            ..Grant::default()
        };
        let denied = wanted.beyond(&given);
        assert_eq!(denied.files, [docs(Access::Write, None)]);
        assert_eq!(denied.state, wanted.state, "reading was given, writing is wanted");
        assert_eq!(denied.tools, ["*"]);
        assert_eq!(wanted.beyond(&wanted.clone()).files.len(), 2, "bound to nothing is not given");
    }

    #[test]
    fn what_two_grants_allow_is_in_both() {
        let state = |texts: &[&str]| {
            texts.iter().map(|text| StatePattern::parse(text).expect("a pattern")).collect::<Vec<_>>()
        };
        let http = |texts: &[&str]| {
            texts.iter().map(|text| HttpPattern::parse(text).expect("a pattern")).collect::<Vec<_>>()
        };
        let secret = |from: &str| SecretGrant {
            name: "key".into(),
            host: "a.example".into(),
            header: "authorization".into(),
            from: Some(from.into()),
        };
        let had = Grant {
            http: http(&["https://*.example", "https://b.test"]),
            secrets: vec![secret("env:OLD")],
            state: state(&["trips", "notes:read", "a*"]),
            ..everything()
        };
        let given = Grant {
            http: http(&["https://a.example", "http://b.test"]),
            env: vec!["TZ".into()],
            secrets: vec![secret("env:NEW")],
            state: state(&["trips/eu-*", "notes", "*b"]),
            tools: vec!["research_agent".into()],
            sample: false,
            ..everything()
        };
        let both = had.within(&given);
        assert_eq!(
            both,
            Grant {
                http: http(&["https://a.example"]),
                state: state(&["notes:read", "trips/eu-*"]),
                tools: vec!["research_agent".into()],
                elicit: true,
                models: vec!["fast".into()],
                ..Grant::default()
            }
        );
        assert_eq!(had.within(&had), had);
        assert!(had.within(&Grant::default()).is_empty());
        let mirrored = given.within(&had);
        for capability in USES {
            let allowed = both.allows(capability);
            assert!(!allowed || had.allows(capability) && given.allows(capability), "{capability:?}");
            assert_eq!(mirrored.allows(capability), allowed, "{capability:?}");
        }
    }

    #[test]
    fn a_row_from_before_there_were_models_is_read_and_names_none() {
        let before = GrantRow { tools: vec!["research_*".into()], ..GrantRow::default() };
        let read: Grant =
            postcard::from_bytes(&postcard::to_stdvec(&before).expect("a row")).expect("a grant");
        assert_eq!((read.tools, read.models), (before.tools, Vec::new()));
        let all = everything();
        let again: Grant = postcard::from_bytes(&postcard::to_stdvec(&all).expect("a row")).expect("a grant");
        assert_eq!(again, all);
    }

    #[test]
    fn two_grants_together_hold_what_either_holds_once() {
        let more = Grant { env: vec!["LANG".into(), "TZ".into()], ..Grant::default() };
        let both = everything().and(more);
        assert_eq!(both.env, ["LANG", "TZ"]);
        assert!(both.elicit);
    }
}
