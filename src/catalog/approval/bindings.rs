//! What a person binds at an approval: folders and sources of secrets, for a component of which the configuration says
//! nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::statement::Statement;
use crate::authority::{Access, Grant, NamedCapability};
use crate::limits;
use crate::secrets::{SecretSource, SourceError};

/// Folders by their slots and sources by the names of secrets. The default binds nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bindings {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub folders: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    #[error("it has no {kind} '{}'{}", .name.escape_debug(), among(.there))]
    NotRequested { kind: &'static str, name: String, there: Vec<String> },
    #[error(
        "what it gets stands in the configuration's [grants] already, which is the last word: bind '{}' there, and start \
         the server again", .0.escape_debug()
    )]
    Configured(String),
    #[error("'{}' is bound to '{}', which is no absolute path", .slot.escape_debug(), .path.escape_debug())]
    NotAbsolute { slot: String, path: String },
    #[error("'{}' is bound to no source: {source}", .name.escape_debug())]
    Source { name: String, source: SourceError },
    #[error("{0}")]
    NotPairs(&'static str),
    #[error("'{}' is bound twice", .0.escape_debug())]
    Twice(String),
    #[error("more is bound than {} folders and secrets", limits::MAX_BINDINGS)]
    TooMany,
}

fn among(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| name.escape_debug().to_string()).collect();
    match names.is_empty() {
        true => ": it requests none".to_owned(),
        false => format!(". It requests: {}", names.join(", ")),
    }
}

impl Bindings {
    /// Of `SLOT=PATH` and `NAME=SOURCE`. What is no pair is not repeated: it may be the secret itself.
    pub fn of_pairs(folders: &[String], secrets: &[String]) -> Result<Self, BindingError> {
        Ok(Self {
            folders: pairs(folders, "a folder is bound as SLOT=PATH, such as docs=/srv/docs")?,
            secrets: pairs(secrets, "a secret is bound as NAME=SOURCE, such as key=env:API_KEY")?,
        })
    }

    /// As they are written: what [`Bindings::of_pairs`] reads.
    pub fn to_pairs(&self) -> (Vec<String>, Vec<String>) {
        let written = |map: &BTreeMap<String, String>| {
            map.iter().map(|(name, value)| format!("{name}={value}")).collect()
        };
        (written(&self.folders), written(&self.secrets))
    }

    pub fn is_empty(&self) -> bool {
        self.folders.is_empty() && self.secrets.is_empty()
    }

    /// These, and of `earlier` what they leave as it is.
    pub fn over(mut self, earlier: &Self) -> Self {
        for (slot, path) in &earlier.folders {
            self.folders.entry(slot.clone()).or_insert_with(|| path.clone());
        }
        for (name, source) in &earlier.secrets {
            self.secrets.entry(name.clone()).or_insert_with(|| source.clone());
        }
        self
    }

    /// What of it was bound for something that is requested `now` in the words of `before`: a secret for another host, or a
    /// folder that may be changed too, is for a person to bind.
    pub fn where_asked_alike(&self, before: &Grant, now: &Grant) -> Self {
        let mut alike = self.clone();
        alike.folders.retain(|slot, _| {
            let of = |grant: &Grant| -> Vec<_> {
                grant.files.iter().filter(|file| file.slot == *slot).cloned().collect()
            };
            !of(now).is_empty() && of(now) == of(before)
        });
        alike.secrets.retain(|name, _| {
            let of = |grant: &Grant| -> Vec<_> {
                grant.secrets.iter().filter(|secret| secret.name == *name).cloned().collect()
            };
            !of(now).is_empty() && of(now) == of(before)
        });
        alike
    }

    /// Whether all of this can be bound for the component of the statement.
    pub fn check(&self, statement: &Statement) -> Result<(), BindingError> {
        if self.folders.len() + self.secrets.len() > limits::MAX_BINDINGS {
            return Err(BindingError::TooMany);
        }
        if let Some(first) = self.folders.keys().chain(self.secrets.keys()).next()
            && !statement.granted.is_empty()
        {
            return Err(BindingError::Configured(first.clone()));
        }
        let slots: Vec<_> = statement.requested.files.iter().map(|file| file.slot.clone()).collect();
        for (slot, path) in &self.folders {
            requested("slot", slot, &slots)?;
            if !Path::new(path).is_absolute() {
                return Err(BindingError::NotAbsolute { slot: slot.clone(), path: path.clone() });
            }
        }
        let secrets: Vec<_> = statement.requested.secrets.iter().map(|one| one.name.clone()).collect();
        for (name, source) in &self.secrets {
            requested("secret", name, &secrets)?;
            let parsed = source.parse::<SecretSource>().map(drop);
            parsed.map_err(|source| BindingError::Source { name: name.clone(), source })?;
        }
        Ok(())
    }

    /// Whether all of it is for what a person may bind; of a component with nothing to bind, the server says why.
    pub fn check_among(&self, bindable: &[Bindable]) -> Result<(), BindingError> {
        if bindable.is_empty() {
            return Ok(());
        }
        let (mut slots, mut secrets) = (Vec::new(), Vec::new());
        for one in bindable {
            match &one.capability {
                NamedCapability::Files(slot) => slots.push(slot.clone()),
                NamedCapability::Secrets(name) => secrets.push(name.clone()),
                _ => {}
            }
        }
        self.folders.keys().try_for_each(|slot| requested("slot", slot, &slots))?;
        self.secrets.keys().try_for_each(|name| requested("secret", name, &secrets))
    }

    /// The grant with each folder and secret that it has no path or source for bound as is said here.
    pub(super) fn on(&self, mut grant: Grant) -> Grant {
        for file in grant.files.iter_mut().filter(|file| file.path.is_none()) {
            file.path = self.folders.get(&file.slot).cloned();
        }
        for secret in grant.secrets.iter_mut().filter(|secret| secret.from.is_none()) {
            secret.from = self.secrets.get(&secret.name).cloned();
        }
        grant
    }
}

fn pairs(texts: &[String], form: &'static str) -> Result<BTreeMap<String, String>, BindingError> {
    let mut pairs = BTreeMap::new();
    for text in texts {
        let pair = text.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty());
        let (name, value) = pair.ok_or(BindingError::NotPairs(form))?;
        if pairs.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(BindingError::Twice(name.to_owned()));
        }
    }
    Ok(pairs)
}

fn requested(kind: &'static str, name: &str, there: &[String]) -> Result<(), BindingError> {
    match there.iter().any(|one| one == name) {
        true => Ok(()),
        false => {
            let mut there = there.to_vec();
            there.dedup();
            Err(BindingError::NotRequested { kind, name: name.to_owned(), there })
        }
    }
}

impl Statement {
    /// The most that an approval of it gives with these bindings. What the operator has written down for it is the last
    /// word; where that is nothing, it is what its manifest requests, but for folders and secrets that nothing binds.
    pub fn offered(&self, bindings: &Bindings) -> Grant {
        match self.granted.is_empty() {
            true => bindings.on(self.requested.clone()).bound(),
            false => self.granted.clone(),
        }
    }

    /// Folders and secrets that it requests and that a person may bind at its approval, each once.
    pub fn bindable(&self, bindings: &Bindings) -> Vec<Bindable> {
        if !self.granted.is_empty() {
            return Vec::new();
        }
        let mut all: Vec<Bindable> = Vec::new();
        for file in &self.requested.files {
            let capability = NamedCapability::Files(file.slot.clone());
            match all.iter_mut().find(|one| one.capability == capability) {
                Some(there) if file.access == Access::Write => there.access = Some(Access::Write),
                Some(_) => {}
                None => all.push(Bindable {
                    capability,
                    access: Some(file.access),
                    to: bindings.folders.get(&file.slot).cloned(),
                }),
            }
        }
        for secret in &self.requested.secrets {
            let capability = NamedCapability::Secrets(secret.name.clone());
            if all.iter().all(|one| one.capability != capability) {
                let to = bindings.secrets.get(&secret.name).cloned();
                all.push(Bindable { capability, access: None, to });
            }
        }
        all
    }
}

/// A folder or a secret that a component requests, and that only a person binds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bindable {
    /// `files:SLOT` or `secrets:NAME`.
    pub capability: NamedCapability,
    /// Of a folder, the most that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// What it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl Bindable {
    pub fn slot(&self) -> Option<&String> {
        match &self.capability {
            NamedCapability::Files(slot) => Some(slot),
            _ => None,
        }
    }

    /// The option that binds it.
    pub fn option(&self) -> String {
        match &self.capability {
            NamedCapability::Files(slot) => format!("--bind {slot}=PATH"),
            NamedCapability::Secrets(name) => format!("--secret {name}=SOURCE"),
            other => other.to_string(),
        }
    }
}
