//! What stands next to a component and says what it requests: its manifest, or a policy that was written for Wassette.

use std::path::{Path, PathBuf};

use super::file::FileError;
use super::manifest::Manifest;
use super::wassette;

/// What a component requests, and what is to be said of where that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requests {
    pub manifest: Manifest,
    /// Where that was read, and what was left out.
    pub words: Vec<String>,
}

impl Requests {
    /// `manifest` is `NAME.toml`, where there is one: it goes before a policy, `NAME.policy.yaml` or, where no other
    /// component is in the folder, `policy.yaml`.
    pub fn read(component: &Path, manifest: Option<&Path>) -> Result<Self, FileError> {
        let policy = find_policy(component)?;
        match (manifest, policy) {
            (Some(manifest), policy) => {
                let words = policy.map(|policy| {
                    format!("its manifest is {}; {} is not read", manifest.display(), policy.display())
                });
                Ok(Self { manifest: Manifest::read(manifest)?, words: words.into_iter().collect() })
            }
            (None, Some(policy)) => {
                let done = wassette::read(&policy)?;
                let mut words = vec![format!("what it requests is read from {}", policy.display())];
                words.extend(done.left_out.iter().map(|line| format!("that is left out of it: {line}")));
                Ok(Self { manifest: done.manifest, words })
            }
            (None, None) => Ok(Self::default()),
        }
    }
}

fn find_policy(component: &Path) -> Result<Option<PathBuf>, FileError> {
    let own = component.with_extension("policy.yaml");
    if is_there(&own)? {
        return Ok(Some(own));
    }
    let common = component.with_file_name("policy.yaml");
    // Of several components it does not say whose it is.
    Ok((is_there(&common)? && is_alone(component)?).then_some(common))
}

/// One that cannot be looked at must not pass for one that is not there.
fn is_there(path: &Path) -> Result<bool, FileError> {
    path.try_exists().map_err(|error| FileError::new(path, format!("cannot be read: {error}")))
}

fn is_alone(component: &Path) -> Result<bool, FileError> {
    let folder = component.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error: std::io::Error| FileError::new(folder, format!("cannot be listed: {error}"));
    let mut others = 0;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_other = path.file_name() != component.file_name();
        others += usize::from(is_other && path.extension().is_some_and(|ending| ending == "wasm"));
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
            let component = self.0.path().join(name);
            let manifest = Some(component.with_extension("toml")).filter(|path| path.exists());
            Requests::read(&component, manifest.as_deref()).map_err(|error| error.to_string())
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
}
