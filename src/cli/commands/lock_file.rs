//! What approvals write into the lock file that the configuration names.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::api::ApprovedDocument;
use crate::catalog::{Lock, Locked};
use crate::cli::args::ServerArgs;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Result};

/// It is made to be committed: it holds no secret.
const MODE: u32 = 0o644;

/// An error where the lock file cannot be read, before anything is done that is to be written into it.
pub fn check(server: &ServerArgs, context: &Context) -> Result<()> {
    change(server, context, |_| false)
}

/// Writes an approval down, where the configuration names a lock file.
pub fn note_approved(approved: &ApprovedDocument, server: &ServerArgs, context: &Context) -> Result<()> {
    let locked = locked(approved)?;
    change(server, context, |lock| {
        let is_new = lock.component(&approved.name) != Some(&locked);
        lock.insert(&approved.name, locked);
        is_new
    })
}

/// Takes a component out of it.
pub fn note_revoked(name: &str, server: &ServerArgs, context: &Context) -> Result<()> {
    change(server, context, |lock| lock.remove(name))
}

/// As the file has it.
pub fn locked(approved: &ApprovedDocument) -> Result<Locked> {
    let ApprovedDocument { digest, component, capabilities, expires_at, .. } = approved;
    let nanos = |text: &String| {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(CliError::failed)?;
        u64::try_from(time.unix_timestamp_nanos()).map_err(CliError::failed)
    };
    Ok(Locked {
        component: component.clone(),
        statement: digest.clone(),
        approved: capabilities.clone(),
        expires: expires_at.as_ref().map(nanos).transpose()?,
    })
}

/// `with` says whether anything is to be written. A server that was named by its address has another configuration.
fn change(server: &ServerArgs, context: &Context, with: impl FnOnce(&mut Lock) -> bool) -> Result<()> {
    let Some(path) = context.settings.lock_file.as_deref().filter(|_| server.url().is_none()) else {
        return Ok(());
    };
    if edit(path, with)? {
        eprintln!("written: {}", path.display());
    }
    Ok(())
}

/// Whether anything was written.
fn edit(path: &Path, with: impl FnOnce(&mut Lock) -> bool) -> Result<bool> {
    // Of two approvals at one moment the second reads what the first has written.
    let _alone = hold(path).map_err(|error| {
        CliError::failed(format_args!("{} cannot be changed: {error}", path.display()))
            .next("see whether its folder is there and can be read; then the same again")
    })?;
    let mut lock = Lock::read(path).map_err(CliError::usage)?;
    if !with(&mut lock) {
        return Ok(false);
    }
    replace(path, &lock.text()).map_err(|error| {
        CliError::failed(format_args!("{} cannot be written: {error}", path.display())).next(
            "see who may write there; it was done all the same, and a start goes by what stands in that file: longhaul \
             tool lock prints what is to stand there",
        )
    })?;
    Ok(true)
}

/// The right to change the file, until it is dropped: another process waits for it. It is held by the file's folder, since
/// the file itself is another one after each change.
fn hold(path: &Path) -> io::Result<File> {
    let folder = resolved(path)?.parent().filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned);
    let folder = File::open(folder.as_deref().unwrap_or(Path::new(".")))?;
    folder.lock()?;
    Ok(folder)
}

/// Where the file itself stands, or will.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound if !path.is_symlink() => Ok(path.to_owned()),
        _ => Err(error),
    })
}

/// Puts the text in the file's place at one stroke; a link stays one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = resolved(path)?;
    let mode = fs::metadata(&path).map_or(MODE, |there| there.permissions().mode() & 0o777);
    let mut fresh = path.clone().into_os_string();
    fresh.push(format!(".{}.new", std::process::id()));
    let fresh = PathBuf::from(fresh);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&fresh, &path)
    };
    let done = write();
    if done.is_err() {
        // What is in the way matters more than what is left behind.
        let _ = fs::remove_file(&fresh);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approvals_at_one_moment_lose_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("longhaul.lock");
        let names: Vec<String> = (0..8).map(|number| format!("plugin-{number}")).collect();
        let digest = format!("blake3:{}", "0".repeat(64));
        let together = std::sync::Barrier::new(names.len());
        std::thread::scope(|threads| {
            for name in &names {
                threads.spawn(|| {
                    together.wait();
                    let locked = Locked {
                        component: digest.clone(),
                        statement: digest.clone(),
                        approved: Vec::new(),
                        expires: None,
                    };
                    let added = edit(&file, |lock| {
                        lock.insert(name, locked);
                        true
                    });
                    assert!(added.expect("written"));
                });
            }
        });
        let lock = Lock::read(&file).expect("read");
        assert!(names.iter().all(|name| lock.component(name).is_some()), "{}", lock.text());
        let left = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 1, "no other file is left");
    }

    #[test]
    fn the_file_is_replaced_at_one_stroke_and_keeps_its_mode_and_its_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("kept.lock"), folder.path().join("longhaul.lock"));
        replace(&file, "one").expect("written");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, MODE);
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("set");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        replace(&link, "two").expect("written");
        assert_eq!(fs::read_to_string(&file).expect("read"), "two");
        assert!(link.is_symlink());
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o640);
        fs::remove_file(&file).expect("removed");
        assert!(replace(&link, "three").is_err(), "a link to nowhere is none of ours to fill");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left behind");
    }
}
