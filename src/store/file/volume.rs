//! The file system that a store's file lies on, and the file next to it that holds the reserve.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{FallocateFlags, StatVfs, fallocate, fstatvfs};
use rustix::io::Errno;

use super::open::occupied;
use super::reserve::{Measured, Volume};
use crate::private;

pub(super) const RESERVE_NAME: &str = "longhaul.reserve";

pub(super) fn measured(there: &StatVfs, file: u64, held: u64) -> Measured {
    Measured {
        free: there.f_bavail.saturating_mul(there.f_frsize),
        total: there.f_blocks.saturating_mul(there.f_frsize),
        file,
        held,
    }
}

#[derive(Debug)]
pub(super) struct FolderVolume {
    /// The store's.
    file: File,
    path: PathBuf,
    /// Made when it is needed first.
    reserve: OnceLock<File>,
}

impl FolderVolume {
    /// Of the store's file in `folder`.
    pub fn new(folder: &Path, file: &File) -> io::Result<Self> {
        let path = folder.join(RESERVE_NAME);
        let reserve = OnceLock::new();
        // One that cannot be opened is made again when it is to be filled.
        if let Ok(there) = private::open(&path, OpenOptions::new().read(true).write(true)) {
            let _ = reserve.set(there);
        }
        Ok(Self { file: file.try_clone()?, path, reserve })
    }

    fn reserve(&self) -> io::Result<&File> {
        match self.reserve.get() {
            Some(file) => Ok(file),
            None => {
                let made = private::create(&self.path)?;
                Ok(self.reserve.get_or_init(|| made))
            }
        }
    }
}

impl Volume for FolderVolume {
    fn measure(&self) -> io::Result<Measured> {
        let there = fstatvfs(&self.file)?;
        Ok(measured(&there, occupied(&self.file.metadata()?), self.held()))
    }

    fn hold(&self, bytes: u64) -> io::Result<()> {
        let held = self.held();
        let file = self.reserve()?;
        if bytes <= held {
            return file.set_len(bytes);
        }
        let filled = match fallocate(file, FallocateFlags::empty(), 0, bytes) {
            // Not every file system can; what is written takes its room too.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(file, bytes),
            filled => filled.map_err(io::Error::from),
        };
        if filled.is_err() {
            // Half of it would be of less use than the room for others.
            file.set_len(held)?;
        }
        filled
    }

    fn held(&self) -> u64 {
        self.reserve.get().and_then(|file| file.metadata().ok()).map_or(0, |there| occupied(&there))
    }
}

fn write_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    file.set_len(0)?;
    io::Seek::rewind(&mut file)?;
    let mut left = bytes;
    while left > 0 {
        let part = left.min(ZEROS.len() as u64);
        file.write_all(&ZEROS[..part as usize])?;
        left -= part;
    }
    Ok(())
}
