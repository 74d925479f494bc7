//! `bindings.toml`: the folders and sources of secrets that `longhaul tool approve` has bound for the servers of this user.
//!
//! A server within its walls cannot write it, and the processes that hold a folder or read a secret for one ask it what
//! they may. So something that has taken a server over is given nothing that no person has bound.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::replace::{hold, replace};
use crate::authority::Access;
use crate::catalog::{FileError, read_toml};
use crate::limits;
use crate::secrets::SecretSource;

/// Next to `longhaul.toml` in the XDG configuration folder, wherever the file is that a server reads.
pub const FILE_NAME: &str = "bindings.toml";

/// It says where secrets are.
const MODE: u32 = 0o600;

/// What the file says. The default lets nothing be opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindingsFile {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    folders: Vec<BoundFolder>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<BoundSecret>,
}

/// A folder that may be held for the server of a data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundFolder {
    pub data: PathBuf,
    /// Without a link on the way.
    pub path: PathBuf,
    pub access: Access,
}

/// A source that may be read for the server of a data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundSecret {
    pub data: PathBuf,
    pub source: String,
}

impl BindingsFile {
    /// One that is not there lets nothing be opened.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        match path.symlink_metadata() {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Self::default())
            }
            _ => read_toml(path),
        }
    }

    /// What of it is for the server of this data folder.
    pub fn folders_of(&self, data: &Path) -> impl Iterator<Item = (&Path, Access)> {
        let data = whole(data);
        self.folders
            .iter()
            .filter(move |bound| bound.data == data)
            .map(|bound| (bound.path.as_path(), bound.access))
    }

    pub fn has_secret(&self, data: &Path, source: &SecretSource) -> bool {
        let (data, source) = (whole(data), source.to_string());
        self.secrets.iter().any(|bound| bound.data == data && bound.source == source)
    }

    fn take(&mut self, data: &Path, folders: &[(PathBuf, Access)], secrets: &[SecretSource]) -> bool {
        let before = self.clone();
        for (path, access) in folders {
            match self.folders.iter_mut().find(|bound| bound.data == data && bound.path == *path) {
                // Another component may write there.
                Some(there) if *access == Access::Write => there.access = Access::Write,
                Some(_) => {}
                None => self.folders.push(BoundFolder {
                    data: data.to_owned(),
                    path: path.clone(),
                    access: *access,
                }),
            }
        }
        for source in secrets {
            let bound = BoundSecret { data: data.to_owned(), source: source.to_string() };
            if !self.secrets.contains(&bound) {
                self.secrets.push(bound);
            }
        }
        *self != before
    }
}

/// Something was written into the file. As long as this is there, no other command writes it.
#[derive(Debug)]
pub struct Added {
    path: PathBuf,
    /// What the file said before; `None` where there was none.
    before: Option<String>,
    _alone: File,
}

impl Added {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes it out again.
    pub fn undo(self) -> io::Result<()> {
        match &self.before {
            Some(text) => replace(&self.path, text, MODE),
            None => fs::remove_file(&self.path),
        }
    }
}

/// Lets these be opened for the server of a data folder. `Ok(None)` where the file says so already.
pub fn add(
    path: &Path,
    data: &Path,
    folders: &[(PathBuf, Access)],
    secrets: &[SecretSource],
) -> io::Result<Option<Added>> {
    let data = whole(data);
    if path.starts_with(&data) {
        return Err(io::Error::other(
            "it lies in the server's data folder, where the server itself could write it: set XDG_CONFIG_HOME to a folder \
             elsewhere",
        ));
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let alone = hold(path)?;
    let before = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read?),
    };
    let mut file = BindingsFile::read(path).map_err(io::Error::other)?;
    if !file.take(&data, folders, secrets) {
        return Ok(None);
    }
    let text = toml::to_string(&file).map_err(io::Error::other)?;
    if text.len() as u64 > limits::MAX_CONFIG_BYTES {
        return Err(io::Error::other(
            "it would be too long: take lines out of it that nothing needs any more",
        ));
    }
    let head = "# What may be opened for the components of this user's servers, besides what longhaul.toml grants: written by\n\
                # `longhaul tool approve --bind` and `--secret`. Without its line here, a folder or secret is not opened.\n";
    replace(path, &format!("{head}\n{text}"), MODE)?;
    Ok(Some(Added { path: path.to_owned(), before, _alone: alone }))
}

/// By whatever way it is named, a data folder is the same.
fn whole(data: &Path) -> PathBuf {
    data.canonicalize().unwrap_or_else(|_| std::path::absolute(data).unwrap_or_else(|_| data.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_bound_is_for_its_own_server_alone() {
        let base = tempfile::tempdir().expect("a folder");
        let base = base.path().canonicalize().expect("a path");
        let (file, mine, others) =
            (base.join("config/longhaul/bindings.toml"), base.join("a"), base.join("b"));
        fs::create_dir_all(&mine).expect("made");
        std::os::unix::fs::symlink(&mine, base.join("link")).expect("linked");
        let source: SecretSource = "file:/srv/key".parse().expect("a source");
        let docs = |access| [(PathBuf::from("/srv/docs"), access)];
        assert_eq!(BindingsFile::read(&file), Ok(BindingsFile::default()));
        let add = |access| {
            let added = add(&file, &base.join("link"), &docs(access), std::slice::from_ref(&source));
            added.expect("written").is_some()
        };
        assert!(add(Access::Read) && !add(Access::Read));
        let read = || BindingsFile::read(&file).expect("read");
        let access = |data: &Path| read().folders_of(data).map(|(_, access)| access).collect::<Vec<_>>();
        assert_eq!((access(&mine), access(&others)), (vec![Access::Read], vec![]));
        assert!(add(Access::Write) && !add(Access::Read));
        assert_eq!(access(&mine), [Access::Write]);
        assert!(read().has_secret(&mine, &source) && !read().has_secret(&others, &source));
        assert!(!read().has_secret(&mine, &"file:/srv/other".parse().expect("a source")));
    }

    #[test]
    fn what_was_added_is_taken_out_again_and_nothing_else() {
        let base = tempfile::tempdir().expect("a folder");
        let base = base.path().canonicalize().expect("a path");
        let (file, data) = (base.join("config/bindings.toml"), base.join("data"));
        let add = |path: &str, access| {
            let folders = [(PathBuf::from(path), access)];
            add(&file, &data, &folders, &[]).expect("written").expect("it is new")
        };
        add("/srv/a", Access::Read).undo().expect("taken out");
        assert!(!file.exists(), "there was none before");
        drop(add("/srv/a", Access::Read));
        let text = || fs::read_to_string(&file).expect("read");
        let before = text();
        for (path, access) in [("/srv/b", Access::Read), ("/srv/a", Access::Write)] {
            let added = add(path, access);
            assert_ne!(text(), before);
            added.undo().expect("taken out");
            assert_eq!(text(), before, "{path}");
        }
    }

    #[test]
    fn what_a_server_could_write_lets_nothing_be_opened() {
        let data = tempfile::tempdir().expect("a folder");
        let data = data.path().canonicalize().expect("a path");
        let file = data.join("longhaul/bindings.toml");
        let error = add(&file, &data, &[], &[]).expect_err("refused").to_string();
        assert!(error.contains("data folder") && !file.exists(), "{error}");
        fs::write(data.join("bindings.toml"), "[[folders]]\npath = \"/\"\n").expect("written");
        let error = BindingsFile::read(&data.join("bindings.toml")).expect_err("refused").to_string();
        assert!(error.contains("missing field"), "{error}");
    }
}
