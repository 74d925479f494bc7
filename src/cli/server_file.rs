//! `server.json` in the data folder: who serves it, and where. Written once the server listens, removed when it
//! ends. It is a hint: only the lock on the store says who owns the folder, so one that was left behind does no harm.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::authority::Secret;

const NAME: &str = "server.json";

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    pub pid: u32,
    /// The MCP endpoint; none while it serves stdio alone.
    pub url: Option<String>,
    pub version: String,
    /// A bearer token of the server's owner, as long as it runs: the file is theirs alone.
    #[serde(default)]
    pub key: Option<String>,
}

impl fmt::Debug for ServerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerInfo").field("pid", &self.pid).field("url", &self.url).finish_non_exhaustive()
    }
}

impl ServerInfo {
    pub fn of_this_process(url: Option<String>, key: Option<&Secret>) -> Self {
        let key = key.map(|key| key.expose().to_owned());
        Self { pid: std::process::id(), url, version: env!("CARGO_PKG_VERSION").to_owned(), key }
    }

    /// What the file in `folder` says; `None` where there is none, or one that makes no sense.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(NAME)).ok()?).ok()
    }
}

/// The file of a running server; removed when dropped.
pub struct ServerFile {
    path: PathBuf,
}

impl ServerFile {
    pub fn write(folder: &Path, info: &ServerInfo) -> io::Result<Self> {
        let path = folder.join(NAME);
        // Readers see the whole file or none.
        let fresh = folder.join(format!("{NAME}.{}", info.pid));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(info)?)?;
        drop(file);
        fs::rename(&fresh, &path)?;
        Ok(Self { path })
    }
}

impl Drop for ServerFile {
    fn drop(&mut self) {
        // Left behind it is stale, which its readers know.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_is_private_and_lives_as_long_as_the_server() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(ServerInfo::read(folder.path()), None);
        let info = ServerInfo::of_this_process(
            Some("http://127.0.0.1:1919/mcp".to_owned()),
            Some(&Secret::new("k")),
        );
        let file = ServerFile::write(folder.path(), &info).expect("written");
        assert_eq!(ServerInfo::read(folder.path()), Some(info));
        let mode = fs::metadata(folder.path().join(NAME)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
