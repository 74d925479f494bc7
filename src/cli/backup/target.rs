//! Where a backup goes: verified on its way, and under its name only when it is whole and on disk.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use time::OffsetDateTime;

use crate::cli::exit::{CliError, Result};
use crate::limits::BACKUP_BUFFER_BYTES;
use crate::private::{self, NotPrivate};
use crate::store::{BackupError, BackupSummary, Store};

pub enum Target {
    Folder(PathBuf),
    Command(Vec<OsString>),
    Stdout,
}

impl Target {
    /// Takes all of a backup; gives the file that it became, if it became one.
    pub fn take(self, stream: UnixStream) -> Result<(BackupSummary, Option<PathBuf>)> {
        match self {
            Self::Folder(folder) => into_folder(&folder, stream).map(|(made, file)| (made, Some(file))),
            Self::Command(words) => into_command(&words, stream).map(|made| (made, None)),
            Self::Stdout => Ok((carry(stream, io::stdout().lock())?, None)),
        }
    }
}

/// Carries a backup on, verifying it.
fn carry(stream: UnixStream, out: impl Write) -> Result<BackupSummary, BackupError> {
    let mut tee = Tee { from: stream, to: BufWriter::new(out), failed: None };
    let verified = Store::verify_backup(BufReader::with_capacity(BACKUP_BUFFER_BYTES, &mut tee));
    if let Some(error) = tee.failed {
        return Err(BackupError::Write(error.into()));
    }
    let verified = verified?;
    tee.to.flush().map_err(|error| BackupError::Write(error.into()))?;
    Ok(verified)
}

/// Writes on what is read.
struct Tee<W> {
    from: UnixStream,
    to: W,
    failed: Option<io::Error>,
}

impl<W: Write> Read for Tee<W> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(out)?;
        match self.to.write_all(&out[..read]) {
            Ok(()) => Ok(read),
            Err(error) => {
                self.failed = Some(error);
                Err(io::Error::other("its target fails"))
            }
        }
    }
}

fn into_folder(folder: &Path, stream: UnixStream) -> Result<(BackupSummary, PathBuf)> {
    let unusable = |error: &io::Error| match NotPrivate::of(error) {
        Some(why) => CliError::refused(&why.what).next(format!("{}, or name another folder", why.next)),
        None => CliError::failed(format_args!("cannot write a backup to {}: {error}", folder.display())),
    };
    private::make_folder(folder).map_err(|error| unusable(&error))?;
    let path = folder.join(name(OffsetDateTime::now_utc()));
    let partial = Partial::new(&path).map_err(|error| unusable(&error))?;
    let made = carry(stream, &partial.file)?;
    partial.keep(&path, folder).map_err(|error| unusable(&error))?;
    Ok((made, path))
}

/// Sorts as the backups were made.
fn name(now: OffsetDateTime) -> String {
    format!(
        "longhaul-{:04}{:02}{:02}T{:02}{:02}{:02}.{:06}Z.backup",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
        now.microsecond()
    )
}

/// A file that is not taken for a backup yet; removed when dropped.
struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    fn new(whole: &Path) -> io::Result<Self> {
        let mut path = whole.as_os_str().to_owned();
        path.push(".partial");
        let path = PathBuf::from(path);
        let file = private::open(&path, OpenOptions::new().read(true).write(true).create_new(true))?;
        Ok(Self { path, file })
    }

    /// On disk first, then under its name.
    fn keep(self, whole: &Path, folder: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        if whole.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&self.path, whole)?;
        File::open(folder)?.sync_all()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn into_command(words: &[OsString], stream: UnixStream) -> Result<BackupSummary> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(CliError::usage("--command needs a program"));
    };
    let shown = program.to_string_lossy().into_owned();
    let mut command = Command::new(program);
    // Stdout stays what this command says itself.
    command.args(arguments).stdin(Stdio::piped()).stdout(io::stderr());
    let started = command.spawn();
    let mut child =
        started.map_err(|e| CliError::failed(format_args!("'{shown}' cannot be started: {e}")))?;
    let Some(stdin) = child.stdin.take() else { return Err(CliError::failed("the program has no stdin")) };
    let carried = carry(stream, &stdin);
    match &carried {
        // It leaves early, and its status says why.
        Ok(_) | Err(BackupError::Write(_)) => drop(stdin),
        Err(_) => {
            // Before it sees the end of its input, which it would take for that of a backup.
            let _ = child.kill();
            drop(stdin);
        }
    }
    ended(&mut child, &shown, carried.is_err())?;
    Ok(carried?)
}

/// Waits for the program; its failure goes before the one that follows from it.
fn ended(child: &mut Child, shown: &str, was_cut: bool) -> Result<()> {
    let status = child.wait().map_err(CliError::failed)?;
    let by_itself = status.code().is_some();
    if status.success() || (was_cut && !by_itself) {
        return Ok(());
    }
    Err(CliError::failed(format_args!("'{shown}' ended with {status}: what it has kept is no backup"))
        .next("see what it says, and try again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_the_backups_were_made() {
        let at = |nanos: i128| name(OffsetDateTime::from_unix_timestamp_nanos(nanos).expect("a time"));
        assert_eq!(at(1_764_408_300_000_001_000), "longhaul-20251129T092500.000001Z.backup");
        let times = [0, 1_000, 999_999_000, 1_000_000_000, 1_764_408_300_000_001_000];
        assert!(times.map(at).is_sorted());
    }
}
