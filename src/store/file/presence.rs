//! What there is in a folder, without opening it: neither the file nor its lock is touched.

use std::io;
use std::ops::Bound;
use std::path::Path;

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::open::{FILE_NAME, occupied};
use crate::private::{self, Purpose};
use crate::store::error::StoreError;

/// Whether there is a store, and whether a process has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Missing,
    /// It is not open.
    Free {
        file_bytes: u64,
    },
    InUse {
        file_bytes: u64,
    },
}

pub(in crate::store) fn presence(folder: &Path) -> Result<Presence, StoreError> {
    let path = folder.join(FILE_NAME);
    let failed = |error: &io::Error| StoreError::io(format!("looking at {}", path.display()), error);
    let opened = private::check_folder(folder, Purpose::Read).and_then(|_| private::open_to_read(&path));
    let file = match opened {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Presence::Missing);
        }
        Err(error) => return Err(failed(&error)),
    };
    let file_bytes = occupied(&file.metadata().map_err(|error| failed(&error))?);
    let in_use = FileBackend::new(file)
        .map_err(|error| StoreError::of_redb(format!("looking at {}", path.display()), error))?
        .query_lock_range(Bound::Unbounded, Bound::Unbounded)
        .map_err(|error| failed(&io::Error::other(error.to_string())))?;
    Ok(if in_use { Presence::InUse { file_bytes } } else { Presence::Free { file_bytes } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreOptions};

    #[test]
    fn a_store_is_seen_without_being_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let seen = || Store::presence(folder.path()).expect("readable");
        assert_eq!(seen(), Presence::Missing);
        assert!(!folder.path().join(FILE_NAME).exists());
        let store = Store::open(folder.path(), StoreOptions::default()).expect("opened");
        assert!(matches!(seen(), Presence::InUse { file_bytes: 1.. }));
        store.close_blocking().expect("closed");
        assert!(matches!(seen(), Presence::Free { file_bytes: 1.. }));
        // Looking left no lock behind.
        Store::open(folder.path(), StoreOptions::default()).expect("opened again");
    }
}
