//! What a client remembers from one start to the next: the tasks whose end it has not shown, in a small file that
//! several clients may share.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::exit::{CliError, Result};
use crate::limits;
use crate::task::TaskId;

const NAME: &str = "client.json";
const LOCK_NAME: &str = "client.lock";

/// A task, from before its call was sent: with the key the same call leads to the same task, so that nothing is
/// lost or done twice whenever the client ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub server: String,
    pub tool: String,
    #[serde(default)]
    pub arguments: Value,
    pub key: String,
    /// Once the call was answered.
    pub id: Option<TaskId>,
}

#[derive(Default, Serialize, Deserialize)]
struct Contents {
    tasks: Vec<Entry>,
}

pub struct Memory {
    path: PathBuf,
}

impl Memory {
    /// In the XDG state folder.
    pub fn of_this_user() -> Result<Self> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        let state = state
            .ok_or_else(|| CliError::usage("no state folder: neither XDG_STATE_HOME nor HOME names one"))?;
        Ok(Self::in_folder(&state.join("longhaul")))
    }

    pub fn in_folder(folder: &Path) -> Self {
        Self { path: folder.join(NAME) }
    }

    /// Oldest first.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        self.read().map(|contents| contents.tasks)
    }

    /// Adds an entry, or replaces the one of the same key.
    pub fn put(&self, entry: Entry) -> Result<()> {
        self.change(|tasks| match tasks.iter_mut().find(|there| there.key == entry.key) {
            Some(there) => *there = entry,
            None => tasks.push(entry),
        })
    }

    pub fn remove(&self, key: &str) -> Result<()> {
        self.change(|tasks| tasks.retain(|entry| entry.key != key))
    }

    fn read(&self) -> Result<Contents> {
        let failed = |why: &dyn std::fmt::Display| {
            CliError::failed(format_args!("{} cannot be read: {why}", self.path.display()))
                .next("remove it: tasks go on all the same, and `longhaul task list` shows them")
        };
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| failed(&e)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Contents::default()),
            Err(e) => Err(failed(&e)),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Entry>)) -> Result<()> {
        let failed = |e: io::Error| {
            CliError::failed(format_args!("{} cannot be written: {e}", self.path.display()))
                .next("see who may write there, or set XDG_STATE_HOME")
        };
        let _lock = self.lock().map_err(failed)?;
        let mut contents = self.read()?;
        change(&mut contents.tasks);
        if contents.tasks.len() > limits::MAX_REMEMBERED_TASKS {
            let most = limits::MAX_REMEMBERED_TASKS;
            return Err(CliError::refused(format_args!("{most} tasks are remembered already"))
                .next("wait for some of them, or forget them"));
        }
        self.write(&contents).map_err(failed)
    }

    /// Another client waits its turn.
    fn lock(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.is_dir()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let path = self.path.with_file_name(LOCK_NAME);
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        lock.lock()?;
        Ok(lock)
    }

    /// A reader sees the file as it was or as it is.
    fn write(&self, contents: &Contents) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(contents)?)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str) -> Entry {
        let (server, tool) = ("unix:/d/server.sock".to_owned(), "book_agent".to_owned());
        Entry { server, tool, arguments: Value::Null, key: key.to_owned(), id: None }
    }

    #[test]
    fn what_is_remembered_outlives_the_client_and_what_is_shown_is_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("state/longhaul");
        let memory = Memory::in_folder(&place);
        assert_eq!(memory.entries(), Ok(Vec::new()));
        memory.put(entry("a")).expect("put");
        memory.put(entry("b")).expect("put");
        let known = Entry { id: Some(TaskId::from_bytes([7; 16])), ..entry("a") };
        memory.put(known.clone()).expect("put");
        assert_eq!(Memory::in_folder(&place).entries(), Ok(vec![known, entry("b")]));
        memory.remove("a").expect("removed");
        memory.remove("a").expect("once more is no error");
        assert_eq!(memory.entries(), Ok(vec![entry("b")]));
    }

    #[test]
    fn clients_that_write_at_once_lose_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        std::thread::scope(|scope| {
            for client in 0..4 {
                let memory = Memory::in_folder(folder.path());
                scope.spawn(move || {
                    (0..10).for_each(|n| memory.put(entry(&format!("{client}-{n}"))).expect("put"));
                });
            }
        });
        assert_eq!(Memory::in_folder(folder.path()).entries().expect("read").len(), 40);
    }

    #[test]
    fn a_damaged_file_is_told_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(NAME), "{").expect("written");
        let memory = Memory::in_folder(folder.path());
        assert!(memory.put(entry("a")).expect_err("damaged").next.is_some());
        assert_eq!(fs::read_to_string(folder.path().join(NAME)).expect("read"), "{");
    }
}
