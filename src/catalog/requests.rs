//! What stands next to a component and says what it requests: its manifest, or a policy that was written for Wassette.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file::{FileError, has_ending, read_signature, read_text};
use super::manifest::Manifest;
use super::wassette;
use crate::limits;

/// What a component requests, and what is to be said of where that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requests {
    pub manifest: Manifest,
    /// Where that was read, and what was left out.
    pub words: Vec<String>,
}

/// The same in its author's words, as a file has them. Empty where there is no file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestText {
    /// Where it stands, or would stand.
    pub path: PathBuf,
    pub form: RequestForm,
    pub text: String,
    /// A policy that is not read, since the manifest goes before it.
    pub passed_over: Option<PathBuf>,
    /// Of the component that it belongs to, as minisign writes it.
    pub signature: Option<String>,
}

/// How requests are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestForm {
    #[default]
    Manifest,
    /// A policy of Wassette's.
    Policy,
}

impl RequestText {
    /// What stands next to a component: `NAME.toml`, or else a policy, `NAME.policy.yaml` or, where no other component is
    /// in the folder, `policy.yaml`.
    pub fn next_to(component: &Path) -> Result<Self, FileError> {
        let signature = read_signature(component)?;
        Ok(Self { signature, ..Self::unsigned(component)? })
    }

    fn unsigned(component: &Path) -> Result<Self, FileError> {
        let manifest = component.with_extension("toml");
        let policy = find_policy(component)?;
        if is_entry(&manifest)? {
            let text = read_text(&manifest, limits::MAX_CONFIG_BYTES)?;
            return Ok(Self { passed_over: policy, ..Self::manifest(manifest, text) });
        }
        let Some(path) = policy else { return Ok(Self::manifest(manifest, String::new())) };
        let text = read_text(&path, limits::MAX_POLICY_BYTES)?;
        Ok(Self::policy(path, text))
    }

    /// The text of a manifest; `path` is where it stands.
    pub fn manifest(path: PathBuf, text: String) -> Self {
        Self { path, form: RequestForm::Manifest, text, passed_over: None, signature: None }
    }

    /// The text of a policy.
    pub fn policy(path: PathBuf, text: String) -> Self {
        Self { path, form: RequestForm::Policy, text, passed_over: None, signature: None }
    }

    /// What it says.
    pub fn parse(&self) -> Result<Requests, FileError> {
        let mut requests = self.parse_text()?;
        requests.manifest.digest = self.digest();
        Ok(requests)
    }

    /// `blake3:…` of the text, where there is one.
    pub fn digest(&self) -> Option<String> {
        let digest = || format!("blake3:{}", blake3::hash(self.text.as_bytes()).to_hex());
        (!self.text.is_empty()).then(digest)
    }

    fn parse_text(&self) -> Result<Requests, FileError> {
        let path = self.path.display();
        match self.form {
            RequestForm::Manifest => {
                let passed_over = self.passed_over.as_deref().map(Path::display);
                let words = passed_over.map(|policy| format!("its manifest is {path}; {policy} is not read"));
                let manifest = Manifest::parse(&self.path, &self.text)?;
                Ok(Requests { manifest, words: words.into_iter().collect() })
            }
            RequestForm::Policy => {
                let done = wassette::parse(&self.path, &self.text)?;
                let mut words = vec![format!("what it requests is read from {path}")];
                words.extend(done.left_out.iter().map(|line| format!("that is left out of it: {line}")));
                Ok(Requests { manifest: done.manifest, words })
            }
        }
    }
}

/// Whether anything of that name is in the folder: a broken link is no missing manifest.
fn is_entry(path: &Path) -> Result<bool, FileError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        // One that cannot be looked at must not pass for one that is not there.
        Err(error) => Err(FileError::new(path, format!("cannot be read: {error}"))),
    }
}

fn find_policy(component: &Path) -> Result<Option<PathBuf>, FileError> {
    let own = component.with_extension("policy.yaml");
    if is_entry(&own)? {
        return Ok(Some(own));
    }
    let common = component.with_file_name("policy.yaml");
    // Of several components it does not say whose it is.
    Ok((is_entry(&common)? && is_alone(component)?).then_some(common))
}

fn is_alone(component: &Path) -> Result<bool, FileError> {
    let folder = component.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error: std::io::Error| FileError::new(folder, format!("cannot be listed: {error}"));
    let mut others = 0;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_other = path.file_name() != component.file_name();
        others += usize::from(is_other && has_ending(&path, "wasm"));
    }
    Ok(others == 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const POLICY: &str =
        "permissions:\n  network:\n    allow:\n    - host: https://a.example\n    - cidr: 10.0.0.0/8\n";

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn with(names: &[&str]) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            for name in names {
                let text = match name.rsplit_once('.') {
                    Some((_, "yaml")) => POLICY,
                    Some((_, "toml")) => "[capabilities]\nelicit = true\n",
                    _ => "",
                };
                fs::write(folder.path().join(name), text).expect("written");
            }
            Self(folder)
        }

        fn read(&self, name: &str) -> Result<Requests, String> {
            let read = RequestText::next_to(&self.0.path().join(name)).and_then(|text| text.parse());
            read.map_err(|error| error.to_string())
        }
    }

    #[test]
    fn a_policy_next_to_a_component_is_what_it_requests() {
        for (names, source) in [
            (&["a.wasm", "a.policy.yaml"][..], Some("a.policy.yaml")),
            (&["a.wasm", "policy.yaml"], Some("policy.yaml")),
            (&["a.wasm", "policy.yaml", "a.policy.yaml", "b.wasm"], Some("a.policy.yaml")),
            (&["a.wasm", "policy.yaml", "b.wasm"], None),
            (&["a.wasm", "b.policy.yaml"], None),
        ] {
            let read = Folder::with(names).read("a.wasm").expect("requests");
            assert_eq!(read.manifest.capabilities.http.len(), usize::from(source.is_some()), "{names:?}");
            match source {
                Some(source) => {
                    assert!(read.words[0].ends_with(source), "{:?}", read.words);
                    assert!(read.words[1].contains("permissions.network.allow[1]: "), "{:?}", read.words);
                }
                None => assert_eq!(read, Requests::default()),
            }
        }
    }

    #[test]
    fn a_manifest_goes_before_a_policy_and_both_are_named() {
        let read = Folder::with(&["a.wasm", "a.toml", "policy.yaml"]).read("a.wasm").expect("requests");
        assert!(read.manifest.capabilities.elicit && read.manifest.capabilities.http.is_empty());
        let words = &read.words[0];
        assert!(words.contains("a.toml") && words.ends_with("policy.yaml is not read"), "{words}");
        let alone = Folder::with(&["a.wasm", "a.toml"]).read("a.wasm").expect("requests");
        assert_eq!(alone.words, [""; 0]);
    }

    #[test]
    fn a_policy_that_cannot_be_read_is_no_policy_that_requests_nothing() {
        let folder = Folder::with(&["a.wasm"]);
        fs::create_dir(folder.0.path().join("policy.yaml")).expect("a folder");
        assert!(folder.read("a.wasm").expect_err("no file").contains("is no regular file"));
        let folder = Folder::with(&["a.wasm"]);
        fs::write(folder.0.path().join("a.policy.yaml"), "permissions: [").expect("written");
        assert!(folder.read("a.wasm").expect_err("no policy").contains("a.policy.yaml, line 1"));
    }
    #[test]
    fn a_manifest_is_read_once_and_no_broken_one_passes_for_none() {
        let folder = Folder::with(&["a.wasm"]);
        assert_eq!(folder.read("a.wasm").expect("none").manifest, Manifest::default());
        let sibling = folder.0.path().join("a.toml");
        fs::write(&sibling, "version = \"2\"").expect("written");
        let text = RequestText::next_to(&folder.0.path().join("a.wasm")).expect("a manifest");
        fs::remove_file(&sibling).expect("removed");
        assert_eq!(text, RequestText::manifest(sibling.clone(), "version = \"2\"".to_owned()));
        assert_eq!(text.parse().expect("requests").manifest.version.as_deref(), Some("2"));
        fs::write(&sibling, "versoin = \"2\"").expect("written");
        let wrong = folder.read("a.wasm").expect_err("refused");
        assert!(wrong.contains("a.toml, line 1, column 1"), "{wrong}");
        fs::remove_file(&sibling).expect("removed");
        for name in ["a.toml", "a.policy.yaml", "policy.yaml"] {
            let link = folder.0.path().join(name);
            std::os::unix::fs::symlink("nowhere", &link).expect("linked");
            let broken = folder.read("a.wasm").expect_err("refused");
            assert!(broken.contains("cannot be read"), "{name}: {broken}");
            fs::remove_file(&link).expect("removed");
        }
    }

    #[test]
    fn what_is_larger_than_it_may_be_is_not_read() {
        for (name, bytes) in
            [("a.toml", limits::MAX_CONFIG_BYTES), ("a.policy.yaml", limits::MAX_POLICY_BYTES)]
        {
            let folder = Folder::with(&["a.wasm"]);
            let file = fs::File::create(folder.0.path().join(name)).expect("a file");
            file.set_len(bytes + 1).expect("a hole");
            let seen = folder.read("a.wasm").expect_err("refused");
            assert!(seen.contains(name) && seen.contains(&bytes.to_string()), "{seen}");
        }
    }
}
