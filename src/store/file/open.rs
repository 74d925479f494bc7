//! Opening the file: lock, format version, repair, boot number, the unfolded end of the log.

use std::fs::Metadata;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTable,
    StorageBackend, TableError, WriteTransaction,
};

use super::base::{Base, LOG, META, guarded};
use super::gate::Gated;
use super::later::newest_row;
use super::layer::Layer;
use crate::limits::{MAX_SEARCHED_BYTES, MIN_COMPACT_BYTES};
use crate::store::error::StoreError;
use crate::store::frame;
use crate::store::space::Space;

/// The store format that this code writes, and the newest that it reads.
pub(in crate::store) const FORMAT: u32 = 3;
pub(super) const FILE_NAME: &str = "longhaul.redb";

/// A page holds about two thirds of itself in rows, where they come and go.
const ROOM_PER_STORED: (u64, u64) = (3, 2);

const META_FORMAT: &str = "format";
const META_BOOT: &str = "boot";
const META_FOLDED: &str = "folded";
const META_BASE_BYTES: &str = "base-bytes";
const META_COMPACTED: &str = "compacted";
const META_CLOSED: &str = "closed";

/// What start-up found.
pub(super) struct Opened {
    pub db: Database,
    pub boot: u64,
    /// The last opening ended as it should.
    pub was_closed: bool,
    pub position: Position,
    /// The rows of the log that are not folded.
    pub unfolded: Layer,
    pub unfolded_bytes: usize,
    pub unfolded_rows: u64,
    /// The last commit's number, 0 if there is none.
    pub last_lsn: u64,
}

/// The numbers of the table `meta`, 0 where there is none yet.
pub(super) struct Meta {
    pub boot: u64,
    /// The last opening that ended as it should.
    closed: u64,
    compacted: u64,
    pub position: Position,
}

/// How far folding has come; written in the transaction that goes that far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The base tables hold everything up to this commit.
    pub folded: u64,
    /// Bytes of keys and values in the base tables.
    pub base_bytes: u64,
}

/// Opens the store on a file, or on what stands for one. On a disk that is full it gives back more of what it does not use.
pub(super) fn open<B: StorageBackend>(
    file: B,
    path: &Path,
    cache_bytes: usize,
    is_disk_full: bool,
) -> Result<Opened, StoreError> {
    let gated = Gated::new(file);
    let mut db = database(gated.clone(), path, cache_bytes)?;
    let what = format!("opening {}", path.display());
    guarded("the file", || {
        let found = known_format(&db, path)?;
        none_is_lost(&db, found, gated.file(), path, MAX_SEARCHED_BYTES)?;
        gated.open().map_err(|error| StoreError::io(&what, &error))?;
        if found.is_none() {
            make_tables(&db).map_err(|error| StoreError::of_redb(&what, error))?;
        }
        let meta = Meta::read(&db, &what)?;
        // A crashed file ends in room that redb gives back by itself; and who starts after a crash waits.
        if meta.was_closed() {
            compact_if_worthwhile(&mut db, &gated, path, &meta, is_disk_full)?;
        }
        take_up(db, &meta, &what)
    })
}

/// Opens a store to read it. The file is left as it is: whatever redb writes or repairs stays in memory.
pub(super) fn open_to_read(
    file: impl StorageBackend,
    path: &Path,
    cache_bytes: usize,
) -> Result<Opened, StoreError> {
    let db = database(Gated::new(file), path, cache_bytes)?;
    let what = format!("opening {}", path.display());
    guarded("the file", || {
        if known_format(&db, path)?.is_none() {
            make_tables(&db).map_err(|error| StoreError::of_redb(&what, error))?;
        }
        let meta = Meta::read(&db, &what)?;
        take_up(db, &meta, &what)
    })
}

/// Reads all of a store and verifies every checksum. What redb would write or repair stays in memory. Gives the
/// number of rows in the base tables and in the log.
pub(super) fn check(
    file: impl StorageBackend,
    path: &Path,
    cache_bytes: usize,
) -> Result<(u64, u64), StoreError> {
    let gated = Gated::new(file);
    let mut db = database(gated.clone(), path, cache_bytes)?;
    let what = format!("checking {}", path.display());
    guarded("the file", || {
        let found = known_format(&db, path)?;
        let lost = none_is_lost(&db, found, gated.file(), path, u64::MAX);
        if found.is_none() {
            return lost.map(|()| (0, 0));
        }
        match db.check_integrity() {
            Ok(true) => {}
            Ok(false) => {
                return Err(StoreError::damaged(path.display(), "redb's own account of its pages is wrong"));
            }
            Err(error) => return Err(StoreError::of_redb(&what, error)),
        }
        lost?;
        let meta = Meta::read(&db, &what)?;
        let opened = take_up(db, &meta, &what)?;
        let base = Base::new(&opened.db);
        let mut count = 0;
        for &space in Space::ALL {
            let mut rows = base.rows(space, (Bound::Unbounded, Bound::Unbounded), false)?;
            while rows.key().is_some() {
                count += 1;
                rows.advance()?;
            }
        }
        Ok((count, opened.unfolded_rows))
    })
}

fn database(file: impl StorageBackend, path: &Path, cache_bytes: usize) -> Result<Database, StoreError> {
    guarded("the file", || {
        Builder::new().set_cache_size(cache_bytes).create_with_backend(file).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::Locked { path: path.to_path_buf() },
            DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() == io::ErrorKind::InvalidData =>
            {
                StoreError::damaged(path.display(), error)
            }
            error => StoreError::of_redb(format!("opening {}", path.display()), error),
        })
    })
}

fn take_up(db: Database, meta: &Meta, what: &str) -> Result<Opened, StoreError> {
    let mut opened = Opened {
        db,
        boot: meta.boot + 1,
        was_closed: meta.was_closed(),
        position: meta.position,
        unfolded: Layer::default(),
        unfolded_bytes: 0,
        unfolded_rows: 0,
        last_lsn: meta.position.folded,
    };
    replay(&mut opened, what)?;
    Ok(opened)
}

/// Writes the format, in a file that is to be a store.
pub(super) fn write_format(transaction: &WriteTransaction, format: u32) -> Result<(), redb::Error> {
    transaction.open_table(META)?.insert(META_FORMAT, &format.to_le_bytes()[..])?;
    Ok(())
}

/// Writes the number of this opening, in its first commit, and with it the format: what an older program may read is
/// read by this one, and from here on no older one may.
pub(super) fn write_boot(transaction: &WriteTransaction, boot: u64) -> Result<(), redb::Error> {
    write_format(transaction, FORMAT)?;
    transaction.open_table(META)?.insert(META_BOOT, &boot.to_le_bytes()[..])?;
    Ok(())
}

/// Writes that this opening ends as it should, in its last commit.
pub(super) fn write_closed(transaction: &WriteTransaction, boot: u64) -> Result<(), redb::Error> {
    transaction.open_table(META)?.insert(META_CLOSED, &boot.to_le_bytes()[..])?;
    Ok(())
}

/// Writes how far folding has come, in the transaction that goes that far.
pub(super) fn write_position(transaction: &WriteTransaction, position: Position) -> Result<(), redb::Error> {
    let mut meta = transaction.open_table(META)?;
    meta.insert(META_FOLDED, &position.folded.to_le_bytes()[..])?;
    meta.insert(META_BASE_BYTES, &position.base_bytes.to_le_bytes()[..])?;
    Ok(())
}

/// After a crash: that the file holds no row of the log which was written after commits that are not there. That is
/// proof of a disk that says of a write that it is safe before it is.
fn none_is_lost(
    db: &Database,
    format: Option<u32>,
    file: &impl StorageBackend,
    path: &Path,
    most_bytes: u64,
) -> Result<(), StoreError> {
    let what = format!("opening {}", path.display());
    let mut last = 0;
    if format.is_some() {
        let meta = Meta::read(db, &what)?;
        let bytes = file.len().map_err(|error| StoreError::io(&what, &error))?;
        if meta.was_closed() || bytes > most_bytes {
            return Ok(());
        }
        last = last_lsn(db, meta.position).map_err(|error| StoreError::of_redb(&what, error))?;
    }
    let newest = newest_row(file, last).map_err(|error| StoreError::io(&what, &error))?;
    newest.map_or(Ok(()), |newest| {
        let lost = format!(
            "the commits {} to {} were acknowledged and are gone, since the file has parts of commit {newest}, which \
             was begun after them. The disk, its controller or the machine's host said that they were safe before \
             they were: see \"A disk that lies\" in docs/operators.md",
            last + 1,
            newest - 1,
        );
        Err(StoreError::damaged(path.display(), lost))
    })
}

/// The last commit that the log reaches, or the base tables.
fn last_lsn(db: &Database, position: Position) -> Result<u64, redb::Error> {
    let log = db.begin_read()?.open_table(LOG)?;
    let last = log.last()?.map(|(lsn, row)| (lsn.value(), frame::batches(row.value())));
    Ok(last.map_or(0, |(lsn, batches)| lsn + batches.saturating_sub(1)).max(position.folded))
}

/// `None` for a file that holds nothing yet.
fn known_format(db: &Database, path: &Path) -> Result<Option<u32>, StoreError> {
    match read_format(db)? {
        Some(found) if found > FORMAT => {
            Err(StoreError::NewerFormat { path: path.to_path_buf(), found, supported: FORMAT })
        }
        found => Ok(found),
    }
}

fn read_format(db: &Database) -> Result<Option<u32>, StoreError> {
    let what = "reading the store's format";
    let failed = |error: redb::Error| StoreError::of_redb(what, error);
    let transaction = db.begin_read().map_err(|error| failed(error.into()))?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            let mut tables = transaction.list_tables().map_err(|error| failed(error.into()))?;
            return match tables.next() {
                None => Ok(None),
                Some(_) => Err(StoreError::damaged("table meta", "it is missing: is this a longhaul store?")),
            };
        }
        Err(error) => return Err(failed(error.into())),
    };
    let row = meta.get(META_FORMAT).map_err(|error| failed(error.into()))?;
    let bytes = row.as_ref().and_then(|row| row.value().try_into().ok());
    bytes
        .map(u32::from_le_bytes)
        .map(Some)
        .ok_or_else(|| StoreError::damaged("meta row format", "it is missing"))
}

fn make_tables(db: &Database) -> Result<(), redb::Error> {
    let mut transaction = db.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    write_format(&transaction, FORMAT)?;
    transaction.open_table(LOG)?;
    transaction.commit()?;
    Ok(())
}

impl Meta {
    fn read(db: &Database, what: &str) -> Result<Self, StoreError> {
        let read = || Self::of(&db.begin_read()?);
        read().map_err(|error: redb::Error| StoreError::of_redb(what, error))
    }

    fn was_closed(&self) -> bool {
        self.boot > 0 && self.closed == self.boot
    }

    pub fn of(transaction: &ReadTransaction) -> Result<Self, redb::Error> {
        let meta = transaction.open_table(META)?;
        let number = |name: &str| -> Result<u64, redb::Error> {
            let row = meta.get(name)?;
            let bytes = row.as_ref().map_or(Some([0; 8]), |row| row.value().try_into().ok());
            bytes
                .map(u64::from_le_bytes)
                .ok_or_else(|| redb::Error::Corrupted(format!("meta row {name} does not have eight bytes")))
        };
        Ok(Self {
            boot: number(META_BOOT)?,
            closed: number(META_CLOSED)?,
            compacted: number(META_COMPACTED)?,
            position: Position { folded: number(META_FOLDED)?, base_bytes: number(META_BASE_BYTES)? },
        })
    }
}

/// Reads the unfolded rows of the log into memory. Their number and bytes are bounded by the pace of folding.
fn replay(opened: &mut Opened, what: &str) -> Result<(), StoreError> {
    let failed = |error: redb::Error| StoreError::of_redb(what, error);
    let transaction = opened.db.begin_read().map_err(|error| failed(error.into()))?;
    let log = transaction.open_table(LOG).map_err(|error| failed(error.into()))?;
    let mut next = opened.position.folded + 1;
    for row in log.range(next..).map_err(|error| failed(error.into()))? {
        let (lsn, row) = row.map_err(|error| failed(error.into()))?;
        let (lsn, row) = (lsn.value(), row.value());
        let damaged = |why: String| StoreError::damaged(format!("log row {lsn}"), why);
        if lsn != next {
            return Err(damaged(format!("log row {next} should come first and is missing")));
        }
        let row = Arc::new(row.to_vec());
        let batches = frame::read_row(lsn, &row, |op| opened.unfolded.apply(&row, op)).map_err(damaged)?;
        next += batches;
        opened.unfolded_bytes += row.len();
        opened.unfolded_rows += 1;
    }
    opened.last_lsn = next - 1;
    Ok(())
}

/// Space that earlier rows left behind is given back only here, where no commit waits.
fn compact_if_worthwhile(
    db: &mut Database,
    file: &impl StorageBackend,
    path: &Path,
    meta: &Meta,
    is_disk_full: bool,
) -> Result<(), StoreError> {
    let what = format!("compacting {}", path.display());
    let failed = |error: redb::Error| StoreError::of_redb(&what, error);
    let length = || match std::fs::metadata(path) {
        Ok(there) => Ok(occupied(&there)),
        Err(_) => file.len().map_err(|error| StoreError::io(&what, &error)),
    };
    let (room, stored) = ROOM_PER_STORED;
    let (live, compacted) = (meta.position.base_bytes * room / stored, meta.compacted);
    let found = length()?;
    let dead = found.saturating_sub(live);
    // What compacting could not give back last time, it cannot give back now.
    let is_worthwhile = match is_disk_full {
        true => dead > found / 2,
        false => dead > MIN_COMPACT_BYTES && dead > found / 4 * 3,
    };
    if !is_worthwhile || found <= compacted + compacted / 4 {
        return Ok(());
    }
    db.compact().map_err(|error| failed(error.into()))?;
    let after = length()?;
    tracing::info!(file = %path.display(), before_bytes = found, after_bytes = after, "compacted the store");
    let remember = || {
        let transaction = db.begin_write()?;
        transaction.open_table(META)?.insert(META_COMPACTED, &after.to_le_bytes()[..])?;
        transaction.commit()?;
        Ok(())
    };
    remember().map_err(failed)
}

/// What a file takes of its disk. redb doubles its file when it needs room, and what it does not use of that
/// takes none.
pub(super) fn occupied(file: &Metadata) -> u64 {
    const BLOCK_BYTES: u64 = 512;
    file.len().min(file.blocks().saturating_mul(BLOCK_BYTES))
}
