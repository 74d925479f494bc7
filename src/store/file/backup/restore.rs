//! Putting a backup into a folder as a new store: complete under another name, read again, then named.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, Durability, WriteTransaction};

use super::super::base::{self, LOG, guarded};
use super::super::folder::{ring_on, sync_name};
use super::super::layout::{FORMAT, Layout};
use super::super::names::Names;
use super::super::open::{self, FILE_NAME, Position};
use super::error::BackupError;
use super::read::{Record, read};
use super::stream::Head;
use super::summary::BackupSummary;
use crate::limits::{RESTORE_COMMIT_BYTES, RESTORED_BOOT_GAP, RING_BYTES, STORE_CACHE_BYTES};
use crate::store::error::StoreError;

const UNFINISHED_NAME: &str = "longhaul.redb.restoring";

/// Makes the store of a backup in `folder`, where there must be none. `draw` is a random number: the openings of the
/// store are counted on from a number so far ahead that neither the store that the backup is of comes there, nor
/// another one made of the same backup.
pub(in crate::store) fn restore(
    input: impl Read,
    folder: &Path,
    draw: u64,
) -> Result<BackupSummary, BackupError> {
    restore_in(&Names::default(), input, folder, draw)
}

pub(in crate::store::file) fn restore_in(
    names: &Names,
    input: impl Read,
    folder: &Path,
    draw: u64,
) -> Result<BackupSummary, BackupError> {
    let made = names.make_folder(folder).and_then(|_| names.sync_above(folder));
    made.map_err(|error| StoreError::io(format_args!("making the folder {}", folder.display()), &error))?;
    let path = folder.join(FILE_NAME);
    if path.symlink_metadata().is_ok() {
        return Err(BackupError::Occupied { path });
    }
    let unfinished = Unfinished::new(names, folder)?;
    let summary = fill(&unfinished, BufReader::new(input), draw)?;
    let what = format!("restoring {}", path.display());
    let failed = |error: io::Error| StoreError::io(&what, &error);
    let check = unfinished.backend()?;
    let checked = open::check(check, &unfinished.path, STORE_CACHE_BYTES)?;
    if checked != (summary.rows, summary.log_rows) {
        let found = format!("{checked:?} of {:?} rows and commits", (summary.rows, summary.log_rows));
        return Err(StoreError::damaged(path.display(), found).into());
    }
    names.sync_file(&unfinished.file).map_err(failed)?;
    unfinished.name(names, &path)?;
    sync_name(names, &path)?;
    Ok(summary)
}

/// A store that nothing takes for one yet; removed when dropped.
struct Unfinished {
    path: PathBuf,
    file: File,
}

impl Unfinished {
    fn new(names: &Names, folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(UNFINISHED_NAME);
        match names.create_new(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(BackupError::Leftover { path }),
            Err(error) => Err(StoreError::io(format_args!("making {}", path.display()), &error).into()),
        }
    }

    fn backend(&self) -> Result<FileBackend, StoreError> {
        let what = || format!("opening {}", self.path.display());
        let file = self.file.try_clone().map_err(|error| StoreError::io(what(), &error))?;
        FileBackend::new(file).map_err(|error| StoreError::of_redb(what(), error))
    }

    /// Gives it its name, unless something has that by now.
    fn name(&self, names: &Names, path: &Path) -> Result<(), BackupError> {
        let failed = |error| StoreError::io(format_args!("naming {}", path.display()), &error);
        match names.link(&self.path, path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(BackupError::Occupied { path: path.to_owned() })
            }
            // Some file systems have no second names.
            Err(_) if path.symlink_metadata().is_err() => {
                names.rename(&self.path, path).map_err(failed).map_err(BackupError::from)
            }
            Err(error) => Err(failed(error).into()),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // One that has got its name has lost this one, or never had another.
        let _ = fs::remove_file(&self.path);
    }
}

fn fill(unfinished: &Unfinished, input: impl Read, draw: u64) -> Result<BackupSummary, BackupError> {
    let ring_bytes = ring_on(&unfinished.file, RING_BYTES);
    let ring_bytes =
        ring_bytes.map_err(|error| StoreError::io("looking at the disk of the restored store", &error))?;
    let layout = Layout::of(unfinished.backend()?, &unfinished.path, ring_bytes)?;
    let made = Builder::new().set_cache_size(STORE_CACHE_BYTES).create_with_backend(layout.redb);
    let db = made.map_err(|error| failed(error.into()))?;
    let mut rows = Rows { db: &db, transaction: None, bytes: 0 };
    let mut head = None;
    let begin = |found: &Head| {
        head = Some(*found);
        Ok(())
    };
    let summary = read(input, begin, |_, record| {
        guarded("the file", || rows.put(record).map_err(failed)).map_err(BackupError::from)
    })?;
    let head = head.ok_or(BackupError::Foreign)?;
    guarded("the file", || rows.end(&head, boot(&head, draw)?).map_err(failed))?;
    Ok(summary)
}

/// Counted on by the first opening.
fn boot(head: &Head, draw: u64) -> Result<u64, StoreError> {
    let boot = head.boot.checked_add(RESTORED_BOOT_GAP + draw % RESTORED_BOOT_GAP);
    // Numbers of leases and of rows of the audit have half a word for it.
    boot.filter(|boot| *boot < u64::from(u32::MAX))
        .ok_or_else(|| StoreError::damaged("the backup", format!("it is of opening {}", head.boot)))
}

/// Writes rows as they come, a transaction for every so many bytes.
struct Rows<'a> {
    db: &'a Database,
    transaction: Option<WriteTransaction>,
    bytes: usize,
}

impl Rows<'_> {
    fn put(&mut self, record: Record<'_>) -> Result<(), redb::Error> {
        let transaction = match self.transaction.take() {
            Some(transaction) => transaction,
            None => begin(self.db)?,
        };
        self.bytes += match record {
            Record::Run { space, key, run } => {
                transaction.open_table(base::table(space))?.insert(key, run)?;
                key.len() + run.len()
            }
            Record::Log { lsn, row } => {
                transaction.open_table(LOG)?.insert(lsn, row)?;
                row.len()
            }
        };
        if self.bytes < RESTORE_COMMIT_BYTES {
            self.transaction = Some(transaction);
            return Ok(());
        }
        self.bytes = 0;
        Ok(transaction.commit()?)
    }

    /// Without these rows it is no store.
    fn end(mut self, head: &Head, boot: u64) -> Result<(), redb::Error> {
        let transaction = match self.transaction.take() {
            Some(transaction) => transaction,
            None => begin(self.db)?,
        };
        transaction.open_table(LOG)?;
        open::write_boot(&transaction, boot, FORMAT)?;
        let position = Position { folded: head.folded, base_bytes: head.base_bytes, ..Position::default() };
        open::write_position(&transaction, position)?;
        Ok(transaction.commit()?)
    }
}

fn begin(db: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = db.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    Ok(transaction)
}

fn failed(error: redb::Error) -> StoreError {
    StoreError::of_redb("writing the restored store", error)
}
