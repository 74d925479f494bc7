//! `server.json` in the data folder: who serves it, and where. Written by the folder's owner, again once it
//! listens, removed when it ends. It is a hint: only the lock on the store says who owns the folder, so one that was left behind does no harm.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::cli::config::Settings;
use crate::limits;
use crate::private::{self, Purpose};
use crate::store::is_disk_full;

const NAME: &str = "server.json";

/// Whom a server is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serves {
    /// All clients that connect, until it is stopped.
    Clients,
    /// The same, until it is not needed any more: it was started in the background.
    Background,
    /// Its own host on stdin and stdout.
    OneHost,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    pub pid: u32,
    pub serves: Serves,
    /// The MCP endpoint over HTTP.
    pub url: Option<String>,
    /// The socket, once it listens there.
    pub socket: Option<PathBuf>,
    pub version: String,
    /// A bearer token of the server's owner, as long as it runs: the file is theirs alone.
    #[serde(default)]
    pub key: Option<String>,
    #[serde(default)]
    pub started: Option<StartedWith>,
    /// The walls around it, in words.
    #[serde(default)]
    pub walls: Option<String>,
}

/// What a server serves by, so that a host that was started otherwise can hear of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedWith {
    pub tools: Vec<PathBuf>,
    pub trust: bool,
    pub config: Option<PathBuf>,
    /// Of the configuration as it was read.
    pub digest: Option<String>,
}

impl StartedWith {
    pub fn of(settings: &Settings) -> Self {
        let whole = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        let mut tools: Vec<PathBuf> = settings.tool_paths.iter().map(whole).collect();
        tools.sort();
        let config = settings.file.as_ref().map(whole);
        let bytes = config.as_ref().and_then(|path| fs::read(path).ok());
        let digest = bytes.map(|bytes| blake3::hash(&bytes).to_hex().to_string());
        Self { tools, trust: settings.trust, config, digest }
    }

    /// What was said here and does not hold there, a line each. What was not said here is no difference.
    pub fn unlike(&self, there: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.tools.is_empty() && self.tools != there.tools {
            lines.push(format!("tools: {} here, {} there", listed(&self.tools), listed(&there.tools)));
        }
        if self.trust && !there.trust {
            lines.push("--trust: here, not there".to_owned());
        }
        match (&self.config, &there.config) {
            (Some(here), Some(there_too)) if here == there_too => {
                if self.digest != there.digest {
                    lines.push(format!("{} has changed since it was read there", here.display()));
                }
            }
            (Some(here), other) => {
                let other =
                    other.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string());
                lines.push(format!("configuration: {} here, {other} there", here.display()));
            }
            (None, _) => {}
        }
        lines
    }
}

fn listed(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "none".to_owned();
    }
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl fmt::Debug for ServerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerInfo").field("pid", &self.pid).field("url", &self.url).finish_non_exhaustive()
    }
}

impl ServerInfo {
    /// Of a server that does not listen yet.
    pub fn of_this_process(serves: Serves) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (started, walls) = (None, None);
        Self { pid: std::process::id(), serves, url: None, socket: None, version, key: None, started, walls }
    }

    /// What the file in `folder` says; `None` where there is none, one that makes no sense, or one that others may have
    /// written: it says where the owner's words go.
    pub fn read(folder: &Path) -> Option<Self> {
        private::check_folder(folder, Purpose::Write).ok().filter(|is_there| *is_there)?;
        serde_json::from_slice(&bytes(&folder.join(NAME)).ok()?).ok()
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    private::open(path, fs::OpenOptions::new().read(true))?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An error where the file is another program's: a project may have one of that name.
pub fn refuse_foreign(folder: &Path) -> io::Result<()> {
    let path = folder.join(NAME);
    match bytes(&path) {
        Ok(there) if is_foreign(&there) => Err(io::Error::other(format!(
            "{} is there already and is not Longhaul's: move it elsewhere, or use another folder with --data",
            path.display()
        ))),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a file of that name, in a project's folder perhaps, is another program's. What a loss of power left of ours
/// is empty or zeros.
fn is_foreign(bytes: &[u8]) -> bool {
    let document: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let is_ours = document.is_some_and(|it| it["pid"].is_u64() && it["serves"].is_string());
    !is_ours && bytes.iter().any(|byte| *byte != 0)
}

/// Whether there is such a process. One that has ended and whose status is not taken, as in a container without an
/// init, is none.
pub fn is_running(pid: u32) -> bool {
    let found = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_zombie = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'));
    found.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok()) && !is_zombie
}

/// The file of a running server; removed when dropped.
pub struct ServerFile {
    path: PathBuf,
    pub info: ServerInfo,
    /// Tries again what the disk had no room for.
    writing: Option<JoinHandle<()>>,
}

impl ServerFile {
    pub fn new(folder: &Path, info: ServerInfo) -> io::Result<Self> {
        refuse_foreign(folder)?;
        let mut file = Self { path: folder.join(NAME), info, writing: None };
        file.write()?;
        Ok(file)
    }

    /// Says what `info` says now. On a disk that is full it is written once there is room: nothing but other commands
    /// needs it. To be called in a runtime.
    pub fn write(&mut self) -> io::Result<()> {
        self.stop_writing();
        match write(&self.path, &self.info) {
            Err(error) if is_disk_full(&error) => {
                tracing::warn!(
                    "where this server listens is not in {} yet: {error}; it is tried again, and clients are served",
                    self.path.display()
                );
                let (path, info) = (self.path.clone(), self.info.clone());
                self.writing = Some(tokio::spawn(write_later(path, info)));
                Ok(())
            }
            written => written,
        }
    }

    fn stop_writing(&mut self) {
        if let Some(writing) = self.writing.take() {
            writing.abort();
        }
    }
}

async fn write_later(path: PathBuf, info: ServerInfo) {
    loop {
        tokio::time::sleep(Duration::from_secs(limits::NO_SPACE_RETRY_SECONDS)).await;
        match write(&path, &info) {
            Ok(()) => return,
            Err(error) if is_disk_full(&error) => {}
            Err(error) => {
                tracing::warn!("where this server listens cannot be written to {}: {error}", path.display());
                return;
            }
        }
    }
}

/// Readers see the whole file or none.
fn write(path: &Path, info: &ServerInfo) -> io::Result<()> {
    let fresh = path.with_file_name(format!("{NAME}.{}", info.pid));
    let written = private::create(&fresh)
        .and_then(|mut file| file.write_all(&serde_json::to_vec(info)?))
        .and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        // Half of it is of no use, and takes room.
        let _ = fs::remove_file(&fresh);
    }
    written
}

impl Drop for ServerFile {
    fn drop(&mut self) {
        self.stop_writing();
        // Left behind it is stale, which its readers know.
        if bytes(&self.path).is_ok_and(|there| !is_foreign(&there)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_what_was_said_here_and_does_not_hold_there_is_a_difference() {
        let with = |tools: &[&str], trust, config: Option<&str>, digest: &str| StartedWith {
            tools: tools.iter().map(PathBuf::from).collect(),
            trust,
            config: config.map(PathBuf::from),
            digest: config.map(|_| digest.to_owned()),
        };
        let there = with(&["/b"], false, Some("/c.toml"), "1");
        assert_eq!(there.unlike(&there), [""; 0]);
        assert_eq!(with(&[], false, None, "").unlike(&there), [""; 0]);
        assert_eq!(
            with(&["/a", "/b"], true, Some("/d.toml"), "1").unlike(&there),
            [
                "tools: /a, /b here, /b there",
                "--trust: here, not there",
                "configuration: /d.toml here, /c.toml there"
            ]
        );
        let changed = with(&["/b"], false, Some("/c.toml"), "2").unlike(&there);
        assert_eq!(changed, ["/c.toml has changed since it was read there"]);
        assert_eq!(there.unlike(&StartedWith::default()).len(), 2);
    }

    #[test]
    fn a_file_of_another_program_is_neither_written_nor_removed() {
        for (there, is_taken) in [
            ("{\"name\": \"io.github.me/mine\", \"version\": \"1.0.0\"}", false),
            ("no JSON", false),
            ("[1]", false),
            ("", true),
            ("\0\0\0", true),
            ("{\"pid\": 1, \"serves\": \"of another version\"}", true),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join(NAME);
            fs::write(&path, there).expect("written");
            let made = ServerFile::new(folder.path(), ServerInfo::of_this_process(Serves::Clients));
            assert_eq!(made.is_ok(), is_taken, "{there}");
            let error = made.map(drop).err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(error.contains("is not Longhaul's"), !is_taken, "{error}");
            assert_eq!(path.exists(), !is_taken);
        }
    }

    #[test]
    fn nothing_is_believed_that_others_may_write_or_that_a_link_leads_to() {
        let written = |folder: &Path| {
            let file =
                ServerFile::new(folder, ServerInfo::of_this_process(Serves::Clients)).expect("written");
            std::mem::forget(file);
        };
        let (folder, other) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        written(other.path());
        std::os::unix::fs::symlink(other.path().join(NAME), folder.path().join(NAME)).expect("linked");
        assert_eq!(ServerInfo::read(folder.path()), None);
        let info = ServerInfo::of_this_process(Serves::Clients);
        assert!(ServerFile::new(folder.path(), info).is_err());
        for (name, mode) in [(".", 0o777), (NAME, 0o666)] {
            let folder = tempfile::tempdir().expect("a folder");
            written(folder.path());
            assert!(ServerInfo::read(folder.path()).is_some());
            let place = folder.path().join(name);
            fs::set_permissions(place, fs::Permissions::from_mode(mode)).expect("set");
            assert_eq!(ServerInfo::read(folder.path()), None, "{name} {mode:o}");
        }
    }

    #[test]
    fn the_file_is_private_and_lives_as_long_as_the_server() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(ServerInfo::read(folder.path()), None);
        let info = ServerInfo {
            url: Some("http://127.0.0.1:1919/mcp".to_owned()),
            key: Some("k".to_owned()),
            ..ServerInfo::of_this_process(Serves::Clients)
        };
        let file = ServerFile::new(folder.path(), info.clone()).expect("written");
        assert_eq!(ServerInfo::read(folder.path()), Some(info));
        let mode = fs::metadata(folder.path().join(NAME)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
