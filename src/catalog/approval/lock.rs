//! `longhaul.lock`: what is approved, to be committed with the configuration that names it and read at each start. It says
//! yes to exactly what it names, and is never wider than the configuration and the manifest.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::bindings::Bindings;
use super::statement::Statement;
use super::terms::{Approval, Terms};
use crate::authority::NamedCapability;
use crate::catalog::file::{FileError, is_component_name, key, quoted, read_toml};
use crate::clock::{UnixNanos, rfc3339};
use crate::limits;

/// The form that this version writes and reads.
const VERSION: u64 = 1;

/// What the file says. The default approves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    #[serde(deserialize_with = "known_version")]
    version: u64,
    #[serde(default)]
    components: BTreeMap<String, Locked>,
}

/// What it says of one component.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Of the component's bytes.
    #[serde(deserialize_with = "digest")]
    pub component: String,
    /// Of all that was approved, these bytes among it.
    #[serde(deserialize_with = "digest")]
    pub statement: String,
    /// What it may use.
    pub approved: Vec<NamedCapability>,
    #[serde(default, deserialize_with = "time")]
    pub expires: Option<UnixNanos>,
    /// What the person has bound of the folders and secrets among `approved`.
    #[serde(default)]
    pub bindings: Bindings,
    /// Of the manifest's text, for people and programs that compare files: what counts of a manifest is in `statement`.
    #[serde(default)]
    pub manifest: Option<String>,
    /// Of `[signers]`, who signed the bytes; it is in `statement` as well.
    #[serde(default)]
    pub signer: Option<String>,
    /// The principal that approved it.
    #[serde(default)]
    pub approver: Option<String>,
}

impl Lock {
    /// A file that is not there approves nothing.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            _ => {}
        }
        let lock: Self = read_toml(path)?;
        if let Some(name) = lock.components.keys().find(|name| !is_component_name(name)) {
            let message = format!("'{}' is no component name", name.escape_debug());
            return Err(FileError { key: Some("components".to_owned()), ..FileError::new(path, message) });
        }
        if lock.components.len() > limits::MAX_LOCKED_COMPONENTS {
            let message = format!("it names more than {} components", limits::MAX_LOCKED_COMPONENTS);
            return Err(FileError::new(path, message));
        }
        Ok(lock)
    }

    pub fn component(&self, name: &str) -> Option<&Locked> {
        self.components.get(name)
    }

    /// What each component has bound.
    pub fn bindings(&self) -> impl Iterator<Item = &Bindings> {
        self.components.values().map(|locked| &locked.bindings)
    }

    pub fn insert(&mut self, name: &str, locked: Locked) {
        self.components.insert(name.to_owned(), locked);
    }

    /// Whether there was anything of that name.
    pub fn remove(&mut self, name: &str) -> bool {
        self.components.remove(name).is_some()
    }

    /// As it stands in the file: the same for the same approvals, no matter who writes it.
    pub fn text(&self) -> String {
        let mut text = format!(
            "# What is approved to be served, and what it may use: written by `longhaul tool approve`, and read at each \
             start.\nversion = {VERSION}\n"
        );
        for (name, locked) in &self.components {
            let mut approved: Vec<String> =
                locked.approved.iter().map(|one| quoted(&one.to_string())).collect();
            approved.sort();
            text.push_str(&format!(
                "\n[components.{}]\ncomponent = {}\nstatement = {}\napproved = [{}]\n",
                key(name),
                quoted(&locked.component),
                quoted(&locked.statement),
                approved.join(", ")
            ));
            if let Some(at) = locked.expires {
                text.push_str(&format!("expires = {}\n", quoted(&rfc3339(at))));
            }
            let named =
                [("manifest", &locked.manifest), ("signer", &locked.signer), ("approver", &locked.approver)];
            for (field, value) in named {
                if let Some(value) = value {
                    text.push_str(&format!("{field} = {}\n", quoted(value)));
                }
            }
            let bound = [("folders", &locked.bindings.folders), ("secrets", &locked.bindings.secrets)];
            for (field, bound) in bound.into_iter().filter(|(_, bound)| !bound.is_empty()) {
                let pairs: Vec<_> =
                    bound.iter().map(|(name, to)| format!("{} = {}", key(name), quoted(to))).collect();
                text.push_str(&format!("bindings.{field} = {{ {} }}\n", pairs.join(", ")));
            }
        }
        text
    }
}

impl Locked {
    pub fn of(approval: &Approval) -> Self {
        Self {
            component: approval.statement.component.to_string(),
            statement: approval.statement.digest(),
            approved: approval.capabilities.clone(),
            expires: approval.expires_at,
            bindings: approval.bindings.clone(),
            manifest: None,
            signer: approval.statement.signed.as_ref().map(|signed| signed.by.clone()),
            approver: approval.by.clone(),
        }
    }

    /// The approval that this is of a component, or in which field it does not fit.
    pub(super) fn fit(&self, now: &Statement) -> Result<Approval, Vec<String>> {
        let mut differences = Vec::new();
        let mut compare = |field: &str, has: &str, is: &str, what: &str| {
            if has != is {
                differences.push(format!("the lock file's `{field}` is {has}, and {what} is {is}"));
            }
        };
        compare("component", &self.component, now.component.as_str(), "the file");
        let what = "what it says of itself, imports, asks for and is granted";
        compare("statement", &self.statement, &now.digest(), what);
        if let Err(error) = self.bindings.check(now) {
            differences.push(format!("the lock file's `bindings`: {error}"));
        }
        let terms = Terms {
            capabilities: Some(self.approved.clone()),
            expires_at: self.expires,
            bindings: self.bindings.clone(),
        };
        match Approval::new(now.clone(), terms) {
            Ok(approval) if differences.is_empty() => Ok(Approval { by: self.approver.clone(), ..approval }),
            Ok(_) => Err(differences),
            Err(beyond) => {
                let words = "which its manifest and the configuration do not allow";
                differences.push(format!("the lock file's `approved` has {beyond}, {words}"));
                Err(differences)
            }
        }
    }
}

fn known_version<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    match u64::deserialize(input)? {
        VERSION => Ok(VERSION),
        other => {
            Err(D::Error::custom(format!("this version reads lock files of version {VERSION}, not {other}")))
        }
    }
}

fn digest<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    let is_digest = text.strip_prefix("blake3:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    });
    match is_digest {
        true => Ok(text),
        false => Err(D::Error::custom(format!(
            "'{}' is no digest (blake3: and 64 of 0-9, a-f)",
            text.escape_debug()
        ))),
    }
}

fn time<'de, D: Deserializer<'de>>(input: D) -> Result<Option<UnixNanos>, D::Error> {
    let text = String::deserialize(input)?;
    let time = OffsetDateTime::parse(&text, &Rfc3339).ok();
    let nanos = time.and_then(|time| u64::try_from(time.unix_timestamp_nanos()).ok());
    nanos.map(Some).ok_or_else(|| {
        D::Error::custom(format!("'{}' is no time such as 2027-01-01T00:00:00Z", text.escape_debug()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(expires: Option<UnixNanos>) -> Locked {
        Locked {
            component: format!("blake3:{}", "a".repeat(64)),
            statement: format!("blake3:{}", "0".repeat(64)),
            approved: ["state:trips/ü \"x\"", "elicit"]
                .map(|text| NamedCapability::parse(text).expect("one"))
                .into(),
            expires,
            bindings: Bindings {
                folders: [("docs".to_owned(), "/srv/\"docs\"".to_owned())].into(),
                secrets: [("a.key".to_owned(), "env:KEY".to_owned())].into(),
            },
            manifest: Some("blake3:1".to_owned()),
            signer: Some("alice".to_owned()),
            approver: Some("local".to_owned()),
        }
    }

    fn read(text: &str) -> Result<Lock, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("longhaul.lock");
        std::fs::write(&path, text).expect("written");
        Lock::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_lock_reads_back_as_it_was_written_sorted_and_the_same_each_time() {
        let mut lock = read("version = 1\n").expect("an empty one");
        lock.insert("web.digest", locked(Some(1_800_000_000_123_456_000)));
        lock.insert("a", locked(None));
        let text = lock.text();
        assert!(text.find("[components.a]") < text.find("[components.\"web.digest\"]"), "{text}");
        assert!(text.contains("approved = [\"elicit\", "), "{text}");
        assert!(text.contains("expires = \"2027-01-15T08:00:00.123456Z\""), "{text}");
        let mut again = read(&text).expect("a lock");
        assert_eq!(again.text(), text);
        let mut approved = locked(None).approved;
        approved.reverse();
        assert_eq!(again.component("a"), Some(&Locked { approved, ..locked(None) }));
        assert!(again.remove("a") && !again.remove("a"));
    }

    #[test]
    fn what_is_wrong_with_a_lock_is_said_with_its_line() {
        let good = {
            let mut lock = Lock::default();
            lock.insert("a", locked(Some(1_800_000_000_000_000_000)));
            lock.text()
        };
        assert!(read(&good).is_ok());
        for (from, to, why) in [
            ("version = 1", "version = 2", "line 2, column 11, in `version`: this version reads"),
            ("component = ", "komponent = ", "line 5, column 1"),
            ("blake3:aa", "blake3:a", "line 5, column 13, in `components.a.component`: 'blake3:"),
            ("blake3:00", "sha256:00", "line 6"),
            ("\"elicit\"", "\"sockets\"", "line 7"),
            ("2027-", "27-", "line 8"),
            ("[components.a]", "[components.\"a b\"]", "'a b' is no component name"),
            ("[components.a]", "[things.a]", "unknown field `things`"),
            ("expires", "= expires", "line 8"),
        ] {
            let wrong = good.replacen(from, to, 1);
            assert_ne!(wrong, good);
            let error = read(&wrong).expect_err(to);
            assert!(error.contains(why), "{to}: {error}");
        }
        assert!(read("").expect_err("no version").contains("version"));
        let nowhere = Path::new("/nowhere/longhaul.lock");
        assert_eq!(Lock::read(nowhere).map(|lock| lock.component("a").is_none()), Ok(true));
    }
}
