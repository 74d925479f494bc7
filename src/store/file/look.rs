//! How the disk of a store stands, without opening the store.

use std::io;
use std::path::Path;

use rustix::fs::statvfs;

use super::open::{FILE_NAME, occupied};
use super::room::{Owed, Room};
use super::volume::{RESERVE_NAME, measured};
use crate::store::options::{DiskBounds, DiskUsage};

/// How the disk of `folder` stands, whose store need not be open, nor there.
pub(in crate::store) fn disk_of(folder: &Path, bounds: DiskBounds) -> io::Result<DiskUsage> {
    let there = statvfs(folder)?;
    let file = |name: &str| folder.join(name).metadata().map_or(0, |there| occupied(&there));
    let disk = measured(&there, file(FILE_NAME), file(RESERVE_NAME));
    let (wanted_reserve_bytes, watermark_bytes) = bounds.on(disk.total);
    Ok(DiskUsage {
        free_bytes: disk.free,
        total_bytes: disk.total,
        reserve_bytes: disk.held,
        wanted_reserve_bytes,
        watermark_bytes,
        is_full: !Room::of(disk, Owed::default(), bounds).has_free_room(),
        refused: 0,
    })
}
