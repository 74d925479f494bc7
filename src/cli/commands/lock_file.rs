//! What approvals write into the lock file that the configuration names.

use std::path::Path;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::api::ApprovedDocument;
use crate::catalog::{Lock, Locked};
use crate::cli::args::ServerArgs;
use crate::cli::config::replace::{hold, replace};
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
    let nanos = |text: &String| {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(CliError::failed)?;
        u64::try_from(time.unix_timestamp_nanos()).map_err(CliError::failed)
    };
    Ok(Locked {
        component: approved.component.clone(),
        statement: approved.digest.clone(),
        approved: approved.capabilities.clone(),
        expires: approved.expires_at.as_ref().map(nanos).transpose()?,
        bindings: approved.bindings.clone(),
        manifest: approved.manifest.clone(),
        signer: approved.signer.clone(),
        approver: approved.approver.clone(),
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
    replace(path, &lock.text(), MODE).map_err(|error| {
        CliError::failed(format_args!("{} cannot be written: {error}", path.display())).next(
            "see who may write there; it was done all the same, and a start goes by what stands in that file: longhaul \
             tool lock prints what is to stand there",
        )
    })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::catalog::Bindings;

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
                        bindings: Bindings::default(),
                        manifest: None,
                        signer: None,
                        approver: None,
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
}
