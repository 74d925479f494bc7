use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use redb::StorageBackend;

use super::Dice;
use crate::store::file::reserve::{Measured, Volume};

const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;
/// Redb's header begins with it.
const REDB_MARK: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// A disk in memory that remembers every change, and fails when set to. A clone is the same disk.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// What it held before the first change.
    original: Vec<u8>,
    is_recording: bool,
    changes: Vec<Change>,
    calls: u64,
    fault: Option<Fault>,
    capacity: Option<usize>,
    /// Where its blocks are counted.
    blocks: Option<Blocks>,
    syncs_after_failure: u64,
    has_failed: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// This call fails, and no other one.
    Once(u64),
    /// This call fails, and all that follow.
    From(u64),
    /// From this call on others have taken all that was free.
    Full(u64),
}

/// Of a file system on which files take what is written of them, and which others use too.
#[derive(Debug, Default)]
struct Blocks {
    total: usize,
    /// Pages of the store's file that take room.
    used: BTreeSet<usize>,
    reserve: usize,
    others: usize,
}

impl Blocks {
    fn free(&self) -> usize {
        self.total.saturating_sub(self.used.len() * PAGE_BYTES + self.reserve + self.others)
    }

    fn take(&mut self, at: usize, end: usize) -> io::Result<()> {
        let fresh: Vec<usize> =
            (at / PAGE_BYTES..end.div_ceil(PAGE_BYTES)).filter(|page| !self.used.contains(page)).collect();
        if fresh.len() * PAGE_BYTES > self.free() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.used.extend(fresh);
        Ok(())
    }
}

/// What is left of that of which a disk has said that it was safe, and was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lie {
    /// Nothing.
    All,
    /// Any sectors, and any changes of the length.
    Sectors,
    /// Any writes as a whole.
    Writes,
    /// All but the writes of redb's header.
    Headers,
    /// The header's writes alone.
    AllButHeaders,
}

#[derive(Debug, Clone, PartialEq)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
    Sync,
}

/// What is left of a disk's changes after power cuts.
pub(crate) struct Images {
    changes: Vec<Change>,
    /// Number of changes up to the last sync at or before the cut, and the bytes that are safe since.
    synced: usize,
    durable: Vec<u8>,
}

impl Disk {
    pub fn holding(bytes: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.state().bytes = bytes;
        disk
    }

    pub fn recording(bytes: Vec<u8>) -> Self {
        let disk = Self::holding(bytes.clone());
        disk.state().is_recording = true;
        disk.state().original = bytes;
        disk
    }

    /// A disk of so many bytes, of which the file takes what it holds, and a reserve as much as that.
    pub fn limited(bytes: Vec<u8>, total: usize, reserve: usize) -> Self {
        let used = (0..bytes.len().div_ceil(PAGE_BYTES)).collect();
        let disk = Self::holding(bytes);
        disk.state().blocks = Some(Blocks { total, used, reserve, others: 0 });
        disk
    }

    /// The same disk after a crash of the process, as full as it is.
    pub fn after_crash(&self) -> Self {
        let state = self.state();
        let disk = Self::holding(state.bytes.clone());
        disk.state().blocks = state.blocks.as_ref().map(|there| Blocks {
            total: there.total,
            used: there.used.clone(),
            reserve: there.reserve,
            others: there.others,
        });
        disk
    }

    /// Others take all that is free, or give all of theirs back.
    pub fn fill_by_others(&self, is_full: bool) {
        let mut state = self.state();
        state.fault = None;
        if let Some(blocks) = &mut state.blocks {
            blocks.others = if is_full { blocks.others + blocks.free() } else { 0 };
        }
    }

    /// How many changes there have been.
    pub fn changes(&self) -> usize {
        self.state().changes.len()
    }

    pub fn same_changes(&self, other: &Self) -> bool {
        self.state().changes == other.state().changes
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    pub fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// Writes beyond this fail, as on a full disk.
    pub fn fill_up(&self, capacity: usize) {
        self.state().capacity = Some(capacity);
    }

    pub fn has_failed(&self) -> bool {
        self.state().has_failed
    }

    /// A call of what is not a file.
    pub fn pass(&self) -> io::Result<()> {
        self.call().map(drop)
    }

    pub fn syncs_after_failure(&self) -> u64 {
        self.state().syncs_after_failure
    }

    pub fn images(&self) -> Images {
        let state = self.state();
        Images { changes: state.changes.clone(), synced: 0, durable: state.original.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.calls += 1;
        let fails = match state.fault {
            Some(Fault::Once(call)) => state.calls == call,
            Some(Fault::From(call)) => state.calls >= call,
            Some(Fault::Full(call)) if state.calls == call => {
                if let Some(blocks) = &mut state.blocks {
                    blocks.others += blocks.free();
                }
                false
            }
            Some(Fault::Full(_)) | None => false,
        };
        if fails {
            state.has_failed = true;
            return Err(io::Error::other("the disk failed"));
        }
        Ok(state)
    }
}

impl State {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.bytes);
        if self.is_recording {
            self.changes.push(change);
        }
    }

    fn make_room(&self, end: usize) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if end > capacity => Err(io::Error::from(io::ErrorKind::StorageFull)),
            _ => Ok(()),
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write(at, data) => write(bytes, *at, data),
            Change::Length(length) => bytes.resize(*length, 0),
            Change::Sync => {}
        }
    }

    /// Any sectors of it, and a new length or the old one.
    fn apply_some(&self, bytes: &mut Vec<u8>, odds: usize, dice: &mut Dice) {
        match self {
            Change::Write(at, data) => {
                for (number, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                    if dice.below(16) < odds {
                        write(bytes, at + number * SECTOR_BYTES, sector);
                    }
                }
            }
            Change::Length(_) if dice.below(16) < odds => self.apply(bytes),
            Change::Length(_) | Change::Sync => {}
        }
    }
}

impl Images {
    /// As if every so manieth sync had been skipped.
    pub fn skip_syncs(&mut self, every: usize) {
        let mut number = 0;
        for change in &mut self.changes {
            number += usize::from(*change == Change::Sync);
            if *change == Change::Sync && number % every == 0 {
                // Keeps its place, and does nothing.
                *change = Change::Write(0, Vec::new());
            }
        }
    }

    /// Numbers of the changes that are syncs.
    pub fn syncs(&self) -> Vec<usize> {
        let syncs = self.changes.iter().enumerate().filter(|(_, change)| **change == Change::Sync);
        syncs.map(|(number, _)| number).collect()
    }

    /// What a power cut after `cut` changes may leave of a disk that lied from `since` on. `since` must not go back
    /// from one call to the next.
    pub fn lied(&mut self, since: usize, cut: usize, lie: Lie, dice: &mut Dice) -> Vec<u8> {
        for change in &self.changes[self.synced..since] {
            change.apply(&mut self.durable);
        }
        self.synced = since;
        let mut image = self.durable.clone();
        let odds = [1, 8, 15, 16][dice.below(4)];
        for change in &self.changes[since..cut] {
            let is_header = matches!(change, Change::Write(_, data) if data.starts_with(REDB_MARK));
            let is_there = match lie {
                Lie::All => false,
                Lie::Headers => !is_header,
                Lie::AllButHeaders => is_header,
                Lie::Writes => dice.below(16) < odds,
                Lie::Sectors => {
                    change.apply_some(&mut image, odds, dice);
                    false
                }
            };
            if is_there {
                change.apply(&mut image);
            }
        }
        image
    }

    /// What a power cut after `cut` changes may leave: all that was synced, and any sectors of the rest.
    /// `cut` must not go back from one call to the next.
    pub fn cut(&mut self, cut: usize, dice: &mut Dice) -> Vec<u8> {
        for number in self.synced..cut {
            if matches!(self.changes[number], Change::Sync) {
                for change in &self.changes[self.synced..=number] {
                    change.apply(&mut self.durable);
                }
                self.synced = number + 1;
            }
        }
        let mut image = self.durable.clone();
        // Sometimes nearly all of it was written, sometimes nearly nothing.
        let odds = [1, 8, 15, 16][dice.below(4)];
        for change in &self.changes[self.synced..cut] {
            change.apply_some(&mut image, odds, dice);
        }
        image
    }
}

fn write(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at + data.len();
    if end > bytes.len() {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(data);
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.call()?.bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.call()?;
        let at = offset as usize;
        let bytes = at.checked_add(out.len()).and_then(|end| state.bytes.get(at..end));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.call()?;
        state.make_room(length as usize)?;
        if let Some(blocks) = &mut state.blocks {
            blocks.used.retain(|page| page * PAGE_BYTES < length as usize);
        }
        state.change(Change::Length(length as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        {
            let mut state = self.state();
            state.syncs_after_failure += u64::from(state.has_failed);
        }
        self.call()?.change(Change::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.call()?;
        state.make_room(offset as usize + data.len())?;
        if let Some(blocks) = &mut state.blocks {
            blocks.take(offset as usize, offset as usize + data.len())?;
        }
        state.change(Change::Write(offset as usize, data.to_vec()));
        Ok(())
    }
}

impl Volume for Disk {
    fn measure(&self) -> io::Result<Measured> {
        let state = self.state();
        let blocks = state.blocks.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        Ok(Measured {
            free: blocks.free() as u64,
            total: blocks.total as u64,
            file: (blocks.used.len() * PAGE_BYTES) as u64,
            held: blocks.reserve as u64,
        })
    }

    fn hold(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        let Some(blocks) = &mut state.blocks else { return Ok(()) };
        let grows_by = (bytes as usize).saturating_sub(blocks.reserve);
        if grows_by > blocks.free() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        blocks.reserve = bytes as usize;
        Ok(())
    }

    fn held(&self) -> u64 {
        self.state().blocks.as_ref().map_or(0, |blocks| blocks.reserve as u64)
    }
}
