//! A folder that is held, one that is only read, and what lies outside of both and must stay as it is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::call::{Call, How, Named};

/// What no call may read or change.
pub const CANARY: &str = "canary";

/// `in` is written in, `read` is read, and what lies outside of them is not granted.
pub struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    pub fn new() -> Self {
        let tree = Self { folder: tempfile::tempdir().expect("a folder") };
        tree.reset();
        tree
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().expect("a folder").join(name)
    }

    /// As it was, without another folder in the place of one that is held.
    pub fn reset(&self) {
        for name in ["in", "read", "outside"] {
            let folder = self.at(name);
            fs::create_dir_all(&folder).expect("a folder");
            for entry in fs::read_dir(&folder).expect("a list").map(|entry| entry.expect("an entry").path()) {
                if entry.is_dir() && !entry.is_symlink() {
                    fs::remove_dir_all(entry).expect("removed");
                } else {
                    fs::remove_file(entry).expect("removed");
                }
            }
        }
        for folder in ["in/dir", "in/empty", "read/dir", "read/empty", "outside/empty"] {
            fs::create_dir(self.at(folder)).expect("a folder");
        }
        for file in ["in/file", "in/dir/inner", "read/file"] {
            fs::write(self.at(file), "inside").expect("written");
        }
        for file in ["outside/secret", "secret"] {
            fs::write(self.at(file), CANARY).expect("written");
        }
        self.link();
    }

    fn link(&self) {
        let outside = self.at("outside");
        let magic = Path::new("/proc/self/root").join(outside.strip_prefix("/").expect("absolute"));
        let links = [
            ("outside/link", PathBuf::from(CANARY)),
            ("in/abs", outside.join("secret")),
            ("in/rel", "../outside/secret".into()),
            ("in/chain", "dir/chain".into()),
            ("in/dir/chain", "../rel".into()),
            ("in/absdir", outside.clone()),
            ("in/reldir", "../outside".into()),
            ("in/up", "..".into()),
            ("in/magic", magic.join("secret")),
            ("in/magicdir", magic),
            ("in/dangling", "../outside/new".into()),
            ("in/danglingabs", outside.join("new")),
            ("in/inner", "dir/inner".into()),
            ("in/absinner", self.at("in/file")),
        ];
        for (link, leads_to) in links {
            symlink(leads_to, self.at(link)).expect("a link");
        }
    }

    /// All that lies outside, with its contents and times.
    pub fn outside(&self) -> Vec<(PathBuf, String, SystemTime)> {
        let mut found = vec![seen(self.at("outside")), seen(self.at("secret"))];
        for entry in fs::read_dir(self.at("outside")).expect("a list") {
            found.push(seen(entry.expect("an entry").path()));
        }
        found.sort();
        found
    }
}

fn seen(path: PathBuf) -> (PathBuf, String, SystemTime) {
    let there = path.symlink_metadata().expect("it is there");
    let content = if there.is_file() { fs::read_to_string(&path).expect("read") } else { String::new() };
    (path, content, there.modified().expect("a time"))
}

pub fn at(path: &str) -> Named {
    Named { path: path.to_owned(), identity: None }
}

pub fn read(path: &str) -> Call {
    Call::Read { file: at(path), offset: 0, length: 100 }
}

pub fn write(path: &str) -> Call {
    Call::Write { file: at(path), offset: 0, bytes: b"changed".to_vec() }
}

pub fn append(path: &str) -> Call {
    Call::Append { file: at(path), bytes: b"more".to_vec() }
}

pub fn open(path: &str, how: How) -> Call {
    Call::Open { path: path.to_owned(), how }
}

pub fn look(path: &str) -> Call {
    Call::Look { at: at(path), follow: true }
}

pub fn list(path: &str) -> Call {
    Call::List { folder: at(path) }
}

/// Of what the path leads to.
pub fn times(path: &str) -> Call {
    Call::SetTimes { at: at(path), follow: true, accessed: Some((1, 0)), modified: Some((1, 0)) }
}

pub fn rename(from: impl Into<String>, to: impl Into<String>) -> Call {
    Call::Rename { from: from.into(), to: to.into() }
}

pub fn link(from: impl Into<String>, to: impl Into<String>) -> Call {
    Call::Link { from: from.into(), to: to.into() }
}

pub const READ: How =
    How { write: false, create: false, exclusive: false, truncate: false, folder: false, follow: true };
pub const CREATE: How = How { write: true, create: true, ..READ };
pub const EXCLUSIVE: How = How { exclusive: true, ..CREATE };
pub const TRUNCATE: How = How { write: true, truncate: true, ..READ };
