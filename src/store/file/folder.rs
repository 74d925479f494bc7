//! The store's file in its folder: found there, or made whole and given its name.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use redb::backends::FileBackend;
use rustix::fs::fstatvfs;

use super::layout;
use super::names::Names;
use super::open::FILE_NAME;
use crate::limits::{MIN_RING_BYTES, RING_PART_OF_DISK};
use crate::store::error::StoreError;

const NEW_FILE_NAME: &str = "longhaul.redb.new";

/// The file in `folder`, made if there is none, readable by its owner alone.
pub(super) fn open_file(names: &Names, folder: &Path, ring_bytes: u64) -> Result<File, StoreError> {
    let path = folder.join(FILE_NAME);
    names.make_folder(folder).map_err(|error| match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { path: folder.to_owned(), why: error.to_string().into() }
        }
        _ => failed("making the folder", folder, &error),
    })?;
    match names.open(&path) {
        Ok(file) => {
            // redb would begin a new store in it. It gets its name when it is complete.
            let there = file.metadata().map_err(|error| failed("opening", &path, &error))?;
            if there.len() == 0 {
                return Err(StoreError::damaged(path.display(), "it is empty, and no crash leaves it so"));
            }
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_file(names, folder, &path, ring_bytes),
        Err(error) if is_read_only(&error) => {
            Err(StoreError::ReadOnly { path, why: error.to_string().into() })
        }
        Err(error) => Err(failed("opening", &path, &error)),
    }
}

fn make_file(names: &Names, folder: &Path, path: &Path, ring_bytes: u64) -> Result<File, StoreError> {
    names.sync_above(folder).map_err(|error| failed("syncing the folders above", folder, &error))?;
    // Made complete under another name: a crash half way leaves no file that looks like a damaged store.
    let new_path = folder.join(NEW_FILE_NAME);
    let file = names.create(&new_path).map_err(|error| failed("making", &new_path, &error))?;
    let copy = file.try_clone().map_err(|error| failed("making", &new_path, &error))?;
    let ring_bytes = ring_on(&copy, ring_bytes).map_err(|error| failed("making", &new_path, &error))?;
    let backend = FileBackend::new(copy);
    let backend =
        backend.map_err(|error| StoreError::of_redb(format!("making {}", new_path.display()), error))?;
    layout::make(backend, &new_path, ring_bytes)?;
    names.sync_file(&file).map_err(|error| failed("syncing", &new_path, &error))?;
    let renamed = names.rename(&new_path, path);
    // Another process may have done the same at the same time; the one whose file has the name has won.
    let is_ours = || Ok::<_, io::Error>(std::fs::symlink_metadata(path)?.ino() == file.metadata()?.ino());
    if !is_ours().unwrap_or(false) {
        renamed.map_err(|error| failed("renaming", &new_path, &error))?;
        return Err(StoreError::Locked { path: path.to_owned() });
    }
    Ok(file)
}

/// How large a ring of at most so many bytes is on the disk of a file.
pub(super) fn ring_on(file: &File, most: u64) -> io::Result<u64> {
    let there = fstatvfs(file)?;
    let total = there.f_blocks.saturating_mul(there.f_frsize);
    Ok(most.min((total / RING_PART_OF_DISK).max(MIN_RING_BYTES)))
}

/// The file's name is safe from here on. A file that was closed as it should be had one that was.
pub(super) fn sync_name(names: &Names, path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    names.sync_folder(folder).map_err(|error| failed("syncing the folder", folder, &error))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::io(format!("{what} {}", path.display()), error)
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}
