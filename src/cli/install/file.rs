//! A host's file: read once, copied before it is changed, and changed at one stroke.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::exit::{CliError, Result};

/// Hosts keep secrets in there.
const MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

#[derive(Debug)]
pub struct HostFile {
    /// Behind links: those that keep their settings elsewhere keep their link.
    path: PathBuf,
    /// `None` where no file is.
    was: Option<(String, Permissions)>,
}

impl HostFile {
    pub fn read(path: &Path) -> Result<Self> {
        let read = || -> io::Result<_> {
            let path = fs::canonicalize(path)?;
            let text = fs::read_to_string(&path)?;
            let permissions = fs::metadata(&path)?.permissions();
            Ok(Self { path, was: Some((text, permissions)) })
        };
        match read() {
            Ok(file) => Ok(file),
            // A link to nowhere is none of ours to fill.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
                Ok(Self { path: path.to_owned(), was: None })
            }
            Err(e) => Err(CliError::failed(format_args!("{} cannot be read: {e}", path.display()))),
        }
    }

    pub fn is_new(&self) -> bool {
        self.was.is_none()
    }

    pub fn text(&self) -> &str {
        self.was.as_ref().map_or("", |(text, _)| text)
    }

    /// Puts `text` in its place. Gives the copy of what was there.
    pub fn replace(&self, text: &str, now: OffsetDateTime) -> Result<Option<PathBuf>> {
        let failed = |e: io::Error| {
            CliError::failed(format_args!("{} cannot be written: {e}", self.path.display()))
                .next("nothing was changed; see who may write there")
        };
        if let Some(folder) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(failed)?;
        }
        let backup = self.copy(now).map_err(failed)?;
        let new = self.sibling(&format!(".{}.new", std::process::id()));
        let done = self.write(&new, text.as_bytes()).and_then(|()| {
            // Hosts write to their files whenever they like.
            if HostFile::read(&self.path).is_ok_and(|there| there.was.as_ref() == self.was.as_ref()) {
                fs::rename(&new, &self.path)
            } else {
                Err(io::Error::other("it was changed meanwhile; run the command again"))
            }
        });
        if done.is_err() {
            // What is in the way matters more than what is left behind.
            let _ = fs::remove_file(&new);
        }
        done.map(|()| backup).map_err(failed)
    }

    fn copy(&self, now: OffsetDateTime) -> io::Result<Option<PathBuf>> {
        let Some((text, _)) = &self.was else { return Ok(None) };
        let stamp = now.format(&Rfc3339).map_err(io::Error::other)?.replace(['-', ':'], "");
        let backup = self.sibling(&format!(".{stamp}.bak"));
        self.write(&backup, text.as_bytes())?;
        Ok(Some(backup))
    }

    /// To a file that is not there yet, with the permissions of the one that was.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
        if let Some((_, permissions)) = &self.was {
            file.set_permissions(permissions.clone())?;
        }
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn sibling(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(ending);
        name.into()
    }
}
