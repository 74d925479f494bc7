//! Opening the file: its parts, lock, format version, repair, boot number, the unfolded end of the log.

use std::fs::Metadata;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, StorageBackend,
    TableError, WriteTransaction,
};

use super::base::{Base, LOG, META, abandon, guarded};
use super::gate::Gated;
use super::later::{LogEnd, Searched, none_is_lost};
use super::layer::Layer;
use super::layout::{FORMAT, HEADER_BYTES, Layout, RINGLESS_FORMAT};
use super::log::read_log;
use super::ring::{Ring, RingRows};
use crate::limits::MIN_COMPACT_BYTES;
use crate::store::error::StoreError;
use crate::store::frame;
use crate::store::options::{Lsn, StoreOptions};
use crate::store::space::Space;

pub(super) const FILE_NAME: &str = "longhaul.redb";

/// A page holds about two thirds of itself in rows, where they come and go.
const ROOM_PER_STORED: (u64, u64) = (3, 2);

const META_FORMAT: &str = "format";
const META_BOOT: &str = "boot";
const META_FOLDED: &str = "folded";
const META_BASE_BYTES: &str = "base-bytes";
const META_COMPACTED: &str = "compacted";
const META_CLOSED: &str = "closed";
const META_RING: &str = "ring";
const META_RING_FILLED: &str = "ring-filled";
const META_REACHED: &str = "reached";

/// What start-up found.
pub(super) struct Opened {
    pub db: Database,
    pub boot: u64,
    /// The last opening ended as it should.
    pub was_closed: bool,
    pub position: Position,
    pub ring: Option<Arc<Ring>>,
    pub log: Unfolded,
}

/// The rows of the log that are not folded.
#[derive(Default)]
pub(super) struct Unfolded {
    pub layer: Layer,
    pub bytes: usize,
    pub rows: u64,
    /// The last commit's number, 0 if there is none.
    pub last_lsn: Lsn,
    /// Where in the ring they end.
    pub head: u64,
    /// Where the last one in the ring begins.
    last_record: Option<u64>,
}

impl Unfolded {
    fn end(&self, meta: &Meta) -> LogEnd {
        let reached = meta.position.reached;
        LogEnd { was_closed: meta.was_closed(), last_lsn: self.last_lsn, reached, head: self.head }
    }
}

/// The numbers of the table `meta`, 0 where there is none yet.
#[derive(Default)]
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
    /// Where in the ring the rows behind `folded` begin.
    pub ring: u64,
    /// How much of the ring had its blocks of the disk by then.
    pub ring_filled: u64,
    /// The log had its rows up to this number by then, on the disk: the base tables may hold any of them.
    pub reached: u64,
}

/// Opens the store on a file, or on what stands for one. On a disk that is full it gives back more of what it does not use.
pub(super) fn open<B: StorageBackend>(
    file: B,
    path: &Path,
    options: StoreOptions,
    is_disk_full: bool,
) -> Result<Opened, StoreError> {
    let Layout { redb, ring } = Layout::of(file, path, options.ring_bytes)?;
    let gated = Gated::new(redb);
    let mut db = database(gated.clone(), path, options.cache_bytes)?;
    let what = format!("opening {}", path.display());
    let failed = |error| StoreError::io(&what, &error);
    let looked = guarded("the file", || {
        let is_new = known_format(&db, ring.as_deref(), path)?.is_none();
        let meta = if is_new { Meta::default() } else { Meta::read(&db, &what)? };
        let log = if is_new { Unfolded::default() } else { replay(&db, ring.as_deref(), &meta, &what)? };
        none_is_lost(log.end(&meta), gated.file(), ring.as_deref(), path, Searched::AT_START)?;
        gated.open().map_err(failed)?;
        if is_new {
            make_tables(&db, ring.as_deref()).map_err(|error| StoreError::of_redb(&what, error))?;
        }
        match &ring {
            // What the process before wrote and did not sync is shown from here on.
            Some(ring) if log.rows > 0 => {
                if let Some(at) = log.last_record {
                    ring.write_again(at).map_err(failed)?;
                }
                ring.sync().map_err(failed)?;
            }
            _ => {}
        }
        // A crashed file ends in room that redb gives back by itself; and who starts after a crash waits.
        if meta.was_closed() {
            compact_if_worthwhile(&mut db, &gated, ring.as_deref(), path, &meta, is_disk_full)?;
        }
        Ok((meta, log))
    });
    Opened::of(db, ring, looked)
}

/// Opens a store to read it. The file is left as it is: whatever redb writes or repairs stays in memory.
pub(super) fn open_to_read(
    file: impl StorageBackend,
    path: &Path,
    cache_bytes: usize,
) -> Result<Opened, StoreError> {
    let Layout { redb, ring } = Layout::of(file, path, 0)?;
    let gated = Gated::new(redb);
    let db = database(gated.clone(), path, cache_bytes)?;
    let what = format!("opening {}", path.display());
    let looked = guarded("the file", || {
        if known_format(&db, ring.as_deref(), path)?.is_none() {
            make_tables(&db, ring.as_deref()).map_err(|error| StoreError::of_redb(&what, error))?;
        }
        let meta = Meta::read(&db, &what)?;
        let log = replay(&db, ring.as_deref(), &meta, &what)?;
        none_is_lost(log.end(&meta), gated.file(), ring.as_deref(), path, Searched::TO_READ)?;
        Ok((meta, log))
    });
    Opened::of(db, ring, looked)
}

/// Reads all of a store and verifies every checksum. What redb would write or repair stays in memory. Gives the
/// number of rows in the base tables and in the log.
pub(super) fn check(
    file: impl StorageBackend,
    path: &Path,
    cache_bytes: usize,
) -> Result<(u64, u64), StoreError> {
    let Layout { redb, ring } = Layout::of(file, path, 0)?;
    let gated = Gated::new(redb);
    let mut db = database(gated.clone(), path, cache_bytes)?;
    let what = format!("checking {}", path.display());
    let checked = guarded("the file", || {
        let is_new = known_format(&db, ring.as_deref(), path)?.is_none();
        let search = |meta: &Meta, log: &Unfolded| {
            none_is_lost(log.end(meta), gated.file(), ring.as_deref(), path, Searched::ALL)
        };
        if is_new {
            return search(&Meta::default(), &Unfolded::default()).map(|()| (0, 0));
        }
        let meta = Meta::read(&db, &what)?;
        let log = replay(&db, ring.as_deref(), &meta, &what)?;
        let lost = search(&meta, &log);
        match db.check_integrity() {
            Ok(true) => {}
            Ok(false) => {
                return Err(StoreError::damaged(path.display(), "redb's own account of its pages is wrong"));
            }
            Err(error) => return Err(StoreError::of_redb(&what, error)),
        }
        lost?;
        let base = Base::new(&db);
        let mut count = 0;
        for &space in Space::ALL {
            let mut rows = base.rows(space, (Bound::Unbounded, Bound::Unbounded), false)?;
            while rows.key().is_some() {
                count += 1;
                rows.advance()?;
            }
        }
        Ok((count, log.rows))
    });
    abandon(db);
    checked
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

impl Opened {
    fn of(
        db: Database,
        ring: Option<Arc<Ring>>,
        looked: Result<(Meta, Unfolded), StoreError>,
    ) -> Result<Self, StoreError> {
        match looked {
            Ok((meta, log)) => {
                let (was_closed, position) = (meta.was_closed(), meta.position);
                Ok(Self { db, boot: meta.boot + 1, was_closed, position, ring, log })
            }
            Err(error) => {
                abandon(db);
                Err(error)
            }
        }
    }
}

/// The format that a store with such a ring has, or without one.
pub(super) fn format_of(ring: Option<&Ring>) -> u32 {
    if ring.is_some() { FORMAT } else { RINGLESS_FORMAT }
}

/// Writes the format, in a file that is to be a store.
pub(super) fn write_format(transaction: &WriteTransaction, format: u32) -> Result<(), redb::Error> {
    transaction.open_table(META)?.insert(META_FORMAT, &format.to_le_bytes()[..])?;
    Ok(())
}

/// Writes the number of this opening, in its first commit, and with it the format: what an older program may read is
/// read by this one, and from here on no older one may.
pub(super) fn write_boot(transaction: &WriteTransaction, boot: u64, format: u32) -> Result<(), redb::Error> {
    write_format(transaction, format)?;
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
    if position.ring > 0 || position.ring_filled > 0 {
        meta.insert(META_RING, &position.ring.to_le_bytes()[..])?;
        meta.insert(META_RING_FILLED, &position.ring_filled.to_le_bytes()[..])?;
    }
    if position.reached > 0 {
        meta.insert(META_REACHED, &position.reached.to_le_bytes()[..])?;
    }
    Ok(())
}

/// `None` for a file that holds nothing yet.
fn known_format(db: &Database, ring: Option<&Ring>, path: &Path) -> Result<Option<u32>, StoreError> {
    match read_format(db)? {
        Some(found) if found > FORMAT => {
            Err(StoreError::NewerFormat { path: path.to_path_buf(), found, supported: FORMAT })
        }
        Some(found) if found > RINGLESS_FORMAT && ring.is_none() => {
            Err(StoreError::damaged(path.display(), "its header and the newest part of its log are missing"))
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

fn make_tables(db: &Database, ring: Option<&Ring>) -> Result<(), redb::Error> {
    let mut transaction = db.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    write_format(&transaction, format_of(ring))?;
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
            position: Position {
                folded: number(META_FOLDED)?,
                base_bytes: number(META_BASE_BYTES)?,
                ring: number(META_RING)?,
                ring_filled: number(META_RING_FILLED)?,
                reached: number(META_REACHED)?,
            },
        })
    }
}

/// Reads the unfolded rows of the log into memory. Their number and bytes are bounded by the pace of folding.
fn replay(db: &Database, ring: Option<&Ring>, meta: &Meta, what: &str) -> Result<Unfolded, StoreError> {
    let failed = |error: redb::Error| StoreError::of_redb(what, error);
    let transaction = db.begin_read().map_err(|error| failed(error.into()))?;
    let table = transaction.open_table(LOG).map_err(|error| failed(error.into()))?;
    let mut log = Unfolded::default();
    let mut in_ring = RingRows::new(ring, meta.position.ring, None);
    log.last_lsn = read_log(&table, &mut in_ring, meta.position.folded, |lsn, row| {
        let row = Arc::new(row.to_vec());
        let batches = frame::read_row(lsn, &row, |op| log.layer.apply(&row, op))
            .map_err(|why| StoreError::damaged(format_args!("log row {lsn}"), why))?;
        log.bytes += row.len();
        log.rows += 1;
        Ok(batches)
    })?;
    (log.head, log.last_record) = (in_ring.at, in_ring.last);
    Ok(log)
}

/// Space that earlier rows left behind is given back only here, where no commit waits.
fn compact_if_worthwhile(
    db: &mut Database,
    file: &impl StorageBackend,
    ring: Option<&Ring>,
    path: &Path,
    meta: &Meta,
    is_disk_full: bool,
) -> Result<(), StoreError> {
    let what = format!("compacting {}", path.display());
    let failed = |error: redb::Error| StoreError::of_redb(&what, error);
    let log_bytes = ring.map_or(0, |ring| HEADER_BYTES + meta.position.ring_filled.min(ring.bytes()));
    let length = || match std::fs::metadata(path) {
        Ok(there) => Ok(occupied(&there).saturating_sub(log_bytes)),
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
        let mut transaction = db.begin_write()?;
        transaction.set_quick_repair(ring.is_some());
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
