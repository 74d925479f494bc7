//! From a policy of Wassette to the requests of a manifest.

use std::path::Path;

use serde_json::{Map, Value};

use super::yaml;
use crate::authority::{Access, HttpPattern};
use crate::catalog::file::{FileError, is_env_name};
use crate::catalog::hidden::find_hidden;
use crate::catalog::is_tool_name;
use crate::catalog::manifest::{FileRequest, Manifest, is_guest_path};
use crate::limits;

/// What a policy requests, and what of it has no counterpart here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Translated {
    pub manifest: Manifest,
    /// One line for each thing that is left out.
    pub left_out: Vec<String>,
}

/// The text of a policy; `path` is for the error alone.
pub fn parse(path: &Path, text: &str) -> Result<Translated, FileError> {
    translate(path, yaml::parse(path, text)?)
}

fn translate(path: &Path, document: Value) -> Result<Translated, FileError> {
    let mut into = Translator { path, done: Translated::default() };
    let top = match document {
        Value::Null => Map::new(),
        Value::Object(fields) => fields,
        _ => return Err(into.wrong("", "a policy is a mapping with `permissions`")),
    };
    for (key, value) in &top {
        match (key.as_str(), value) {
            ("version" | "description", _) => {}
            ("permissions", Value::Null) => {}
            ("permissions", Value::Object(permissions)) => into.permissions(permissions)?,
            ("permissions", _) => return Err(into.wrong("permissions", "it is a mapping")),
            (other, _) => into.leave_out(other, "there is nothing of that kind here"),
        }
    }
    Ok(into.done)
}

struct Translator<'a> {
    path: &'a Path,
    done: Translated,
}

/// Takes one entry of a list, at this place.
type TakeEntry<T> = fn(&mut T, &str, &Map<String, Value>) -> Result<(), FileError>;

impl Translator<'_> {
    fn permissions(&mut self, permissions: &Map<String, Value>) -> Result<(), FileError> {
        for (kind, value) in permissions {
            let place = format!("permissions.{kind}");
            match kind.as_str() {
                "network" => self.each(&place, value, Self::network)?,
                "storage" => self.each(&place, value, Self::storage)?,
                "environment" => self.each(&place, value, Self::environment)?,
                "resources" => self.resources(&place, value)?,
                _ => self.leave_out(&place, "there is nothing of that kind here"),
            }
        }
        Ok(())
    }

    /// Each entry of `allow`. What is denied needs no words here: all is denied that is not granted.
    fn each(&mut self, place: &str, value: &Value, take: TakeEntry<Self>) -> Result<(), FileError> {
        let lists = match value {
            Value::Null => return Ok(()),
            Value::Object(lists) => lists,
            _ => return Err(self.wrong(place, "it is a mapping with `allow`")),
        };
        for (list, entries) in lists {
            let at = format!("{place}.{list}");
            match (list.as_str(), entries) {
                (_, Value::Null) => {}
                ("allow", Value::Array(entries)) => {
                    for (index, entry) in entries.iter().enumerate() {
                        let at = format!("{at}[{index}]");
                        let Value::Object(fields) = entry else {
                            return Err(self.wrong(&at, "it is a mapping"));
                        };
                        take(self, &at, fields)?;
                    }
                }
                ("allow", _) => return Err(self.wrong(&at, "it is a list")),
                ("deny", _) => self.leave_out(
                    &at,
                    "what is allowed is requested as a whole: leave such parts out when you approve it, with --only",
                ),
                _ => self.leave_out(&at, "there is nothing of that kind here"),
            }
        }
        Ok(())
    }

    /// `host`, with or without a scheme: without one it is both.
    fn network(&mut self, at: &str, entry: &Map<String, Value>) -> Result<(), FileError> {
        if let Some(range) = entry.get("cidr") {
            self.leave_out(
                at,
                &format!("{} is a range of addresses, and hosts are granted by name", shown(range)),
            );
            return Ok(());
        }
        let host = self.text(at, entry, "host")?;
        let patterns: Vec<String> = match host.split_once("://") {
            Some((scheme, rest)) => vec![format!("{scheme}://{}", rest.trim_end_matches('/'))],
            None => vec![format!("https://{host}"), format!("http://{host}")],
        };
        let parsed: Result<Vec<_>, _> = patterns.iter().map(|pattern| HttpPattern::parse(pattern)).collect();
        match parsed {
            Ok(parsed) => self.done.manifest.capabilities.http.extend(parsed),
            Err(error) => self.leave_out(
                at,
                &format!("{} is no host that can be granted: {}", shown(&host.into()), error.why),
            ),
        }
        Ok(())
    }

    /// `fs://PATH`, with `/**` or `/*` behind it or not: a folder that the operator would have to bind.
    fn storage(&mut self, at: &str, entry: &Map<String, Value>) -> Result<(), FileError> {
        let uri = self.text(at, entry, "uri")?;
        let access = match entry.get("access") {
            Some(Value::Array(kinds)) if !kinds.is_empty() => {
                let is = |kind: &str| kinds.iter().any(|there| there == kind);
                if kinds.iter().any(|kind| kind != "read" && kind != "write") {
                    return Err(self.wrong(at, "`access` is a list of \"read\" and \"write\""));
                }
                if is("write") { Access::Write } else { Access::Read }
            }
            _ => return Err(self.wrong(at, "`access` is a list of \"read\" and \"write\"")),
        };
        let path = uri.strip_prefix("fs://").map(|path| {
            let path = path.strip_suffix("/**").or(path.strip_suffix("/*")).unwrap_or(path);
            format!("/{}", path.trim_matches('/'))
        });
        let Some(at_path) = path.filter(|path| is_guest_path(path) && !path.contains('*')) else {
            self.leave_out(at, &format!("{} is no folder below the component's root", shown(&uri.into())));
            return Ok(());
        };
        let files = &mut self.done.manifest.capabilities.files;
        let slot: String = at_path
            .trim_start_matches('/')
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        if !is_tool_name(&slot) {
            self.leave_out(at, &format!("{} is too long a path", shown(&uri.into())));
            return Ok(());
        }
        match files.iter_mut().find(|file| file.at == at_path) {
            // Named twice: for as much as both together.
            Some(there) if access == Access::Write => there.access = access,
            Some(_) => {}
            None => files.push(FileRequest { slot, at: at_path, access }),
        }
        Ok(())
    }

    fn environment(&mut self, at: &str, entry: &Map<String, Value>) -> Result<(), FileError> {
        let name = self.text(at, entry, "key")?;
        if !is_env_name(&name) {
            return Err(self.wrong(at, "`key` is no name of an environment variable"));
        }
        let env = &mut self.done.manifest.capabilities.env;
        if !env.contains(&name) {
            env.push(name);
        }
        Ok(())
    }

    /// `memory`, in MiB, or `limits: {memory: "512Mi"}`.
    fn resources(&mut self, place: &str, value: &Value) -> Result<(), FileError> {
        let resources = match value {
            Value::Null => return Ok(()),
            Value::Object(resources) => resources,
            _ => return Err(self.wrong(place, "it is a mapping")),
        };
        for (name, value) in resources {
            let at = format!("{place}.{name}");
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("limits", Value::Object(_)) => self.resources(&at, value)?,
                ("memory", value) => match mebibytes(value) {
                    Some(mib) => self.done.manifest.limits.memory_mib = Some(mib),
                    None => {
                        self.leave_out(&at, &format!("{} is no size of memory that is given", shown(value)))
                    }
                },
                _ => self.leave_out(&at, "there is no such bound here"),
            }
        }
        Ok(())
    }

    /// A text that an approval rests on, so that all of it has to be seen.
    fn text(&self, at: &str, entry: &Map<String, Value>, key: &str) -> Result<String, FileError> {
        let Some(Value::String(text)) = entry.get(key) else {
            return Err(self.wrong(at, &format!("`{key}` is a text")));
        };
        match find_hidden(text) {
            Some(hidden) => Err(self.wrong(at, &format!("`{key}` {hidden}"))),
            None => Ok(text.clone()),
        }
    }

    fn leave_out(&mut self, place: &str, why: &str) {
        let left_out = &mut self.done.left_out;
        match left_out.len() {
            len if len < limits::MAX_DIFFERENCES_SHOWN => left_out.push(format!("{place}: {why}")),
            limits::MAX_DIFFERENCES_SHOWN => left_out.push("and more".to_owned()),
            _ => {}
        }
    }

    fn wrong(&self, place: &str, why: &str) -> FileError {
        let key = (!place.is_empty()).then(|| place.escape_debug().to_string());
        FileError { key, ..FileError::new(self.path, why) }
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    let short: String = text.chars().take(limits::MAX_SHOWN_DESCRIPTION_CHARS).collect();
    short.escape_debug().to_string()
}

/// `512`, `"512Mi"` or `"1Gi"`, where a component may ask for so much.
fn mebibytes(value: &Value) -> Option<u64> {
    let mib = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => match (text.strip_suffix("Mi"), text.strip_suffix("Gi")) {
            (Some(mib), _) => mib.parse().ok()?,
            (_, Some(gib)) => gib.parse::<u64>().ok()?.checked_mul(1024)?,
            _ => return None,
        },
        _ => return None,
    };
    (1..=limits::MAX_MEMORY_MIB).contains(&mib).then_some(mib)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str) -> Result<Translated, String> {
        let path = Path::new("tool.policy.yaml");
        let read = || translate(path, yaml::parse(path, text)?);
        read().map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_policy_allows_is_requested() {
        let done = translated(
            "version: \"1.0\"\ndescription: all of it\npermissions:\n  network:\n    allow:\n    - host: api.example.com\n    \
             - host: \"*.example.org\"\n    - host: https://rss.example.net/\n    - host: http://plain.example:8080\n  storage:\n    allow:\n    \
             - uri: fs://workspace/**\n      access: [read, write]\n    - uri: fs://workspace\n      access: [read]\n    - uri: \"fs://config/app.d/*\"\n      \
             access: [\"read\"]\n  environment:\n    allow:\n    - key: LANG\n    - key: LANG\n  resources:\n    limits:\n      memory: 64Mi\n",
        )
        .expect("a policy");
        assert_eq!(done.left_out, [""; 0]);
        let grant = done.manifest.capabilities.as_grant();
        assert_eq!(
            grant.words(),
            [
                "http https://api.example.com:443",
                "http http://api.example.com:80",
                "http https://*.example.org:443",
                "http http://*.example.org:80",
                "http https://rss.example.net:443",
                "http http://plain.example:8080",
                "files workspace at /workspace (write)",
                "files config_app_d at /config/app.d (read)",
                "env LANG",
            ]
        );
        assert_eq!(done.manifest.limits.memory_mib, Some(64));
        assert!(done.manifest.tools.is_empty() && !grant.elicit && !grant.sample);
    }

    #[test]
    fn what_has_no_counterpart_is_named() {
        let done = translated(
            "permissions:\n  network:\n    allow:\n    - cidr: 10.0.0.0/8\n    - host: \"*\"\n    - host: https://a.example/path\n    \
             deny:\n    - host: evil.example\n  storage:\n    allow:\n    - uri: fs:///\n      access: [read]\n    - uri: fs://a/../b\n      \
             access: [read]\n    - uri: s3://bucket\n      access: [read]\n    - uri: \"fs://a/*.log\"\n      access: [read]\n  runtime:\n    docker:\n      \
             security: {privileged: true}\n  resources:\n    cpu: 50.0\n    memory: 1e9\n  ipc:\n    allow:\n    - uri: pipe://x\nextra: 1\n",
        )
        .expect("a policy");
        assert!(done.manifest.capabilities.as_grant().is_empty());
        let places: Vec<_> =
            done.left_out.iter().map(|line| line.split(": ").next().unwrap_or_default()).collect();
        assert_eq!(
            places,
            [
                "permissions.network.allow[0]",
                "permissions.network.allow[1]",
                "permissions.network.allow[2]",
                "permissions.network.deny",
                "permissions.storage.allow[0]",
                "permissions.storage.allow[1]",
                "permissions.storage.allow[2]",
                "permissions.storage.allow[3]",
                "permissions.runtime",
                "permissions.resources.cpu",
                "permissions.resources.memory",
                "permissions.ipc",
                "extra",
            ]
        );
        assert_eq!(translated(""), Ok(Translated::default()));
        assert_eq!(translated("permissions:\n  network:\n"), Ok(Translated::default()));
    }

    #[test]
    fn a_policy_that_says_nothing_sure_is_refused_with_its_place() {
        for (text, why) in [
            ("[a]", "a policy is a mapping"),
            ("permissions: yes", "in `permissions`"),
            ("permissions: {network: [a]}", "in `permissions.network`"),
            ("permissions: {network: {allow: a}}", "in `permissions.network.allow`"),
            ("permissions: {network: {allow: [a]}}", "in `permissions.network.allow[0]`"),
            ("permissions: {network: {allow: [{hosts: a}]}}", "`host` is a text"),
            ("permissions: {network: {allow: [{host: 7}]}}", "`host` is a text"),
            ("permissions: {network: {allow: [{host: \"a\\u202eb\"}]}}", "U+202E"),
            ("permissions: {storage: {allow: [{uri: fs://a}]}}", "`access` is a list"),
            ("permissions: {storage: {allow: [{uri: fs://a, access: [all]}]}}", "`access` is a list"),
            ("permissions: {environment: {allow: [{key: A B}]}}", "no name of an environment variable"),
            ("permissions: {resources: 1}", "in `permissions.resources`"),
        ] {
            let error = translated(text).expect_err(text);
            assert!(error.contains(why) && error.contains("tool.policy.yaml"), "{text}: {error}");
        }
    }
}
