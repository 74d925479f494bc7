//! Moving frozen rows into the base tables, a slice at a time.

use std::ops::Bound;

use redb::{Table, WriteTransaction};

use super::base::{Base, seal, table};
use super::error::StoreError;
use super::layer::{Entry, Layer, prefix_end, weigh};
use super::snapshot::Overlay;
use super::space::Space;

/// A frozen layer on its way into the base tables.
#[derive(Debug)]
pub(super) struct Fold {
    /// The last commit whose rows the frozen layer holds.
    pub through: u64,
    pub log_bytes: usize,
    pub log_rows: u64,
    /// Weight of the layer when it was frozen.
    pub weight: usize,
    /// Where removing the rows of the first deleted prefix goes on, if it is half done.
    pub cursor: Option<Vec<u8>>,
}

/// How much one commit folds: until `weight` is gone, and at least `rows` rows or `bytes` bytes of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub weight: usize,
    pub rows: usize,
    pub bytes: usize,
}

/// What a slice did; true once its transaction is committed.
#[derive(Debug, Default)]
pub(super) struct Slice {
    /// First deleted prefixes and first entries of each space that the frozen layer need not hold any more.
    pub done: Vec<(Space, usize, usize)>,
    pub cursor: Option<Vec<u8>>,
    pub finished: bool,
    /// Bytes that the base tables gained and lost.
    pub gained: u64,
    pub lost: u64,
}

impl Budget {
    pub const ALL: Self = Self { weight: usize::MAX, rows: usize::MAX, bytes: usize::MAX };

    fn spend(&mut self, weight: usize, bytes: usize) {
        self.weight = self.weight.saturating_sub(weight);
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn is_spent(&self) -> bool {
        self.weight == 0 && (self.rows == 0 || self.bytes == 0)
    }
}

/// Fold one slice: first what deleted prefixes hide, then the entries, in key order. `base` is the state
/// before `transaction`. A row that the active layer goes before is left alone: its own turn will come, and
/// until then, as after a crash, the active layer answers for it.
pub(super) fn fold_slice(
    transaction: &WriteTransaction,
    overlay: &Overlay,
    base: &Base<'_>,
    mut cursor: Option<Vec<u8>>,
    mut budget: Budget,
) -> Result<Slice, StoreError> {
    let mut slice = Slice::default();
    for &space in Space::ALL {
        let mut target = Target::new(transaction, space);
        let mut done = 0;
        for prefix in &overlay.frozen.space(space).prefixes {
            if !budget.is_spent() {
                cursor = remove_prefix(&mut target, overlay, base, prefix, cursor.take(), &mut budget)?;
            }
            if budget.is_spent() || cursor.is_some() {
                break;
            }
            done += 1;
        }
        let is_half_done = done < overlay.frozen.space(space).prefixes.len();
        slice.add(&target, space, done, 0);
        if is_half_done {
            slice.cursor = cursor;
            return Ok(slice);
        }
    }
    for &space in Space::ALL {
        let mut target = Target::new(transaction, space);
        let active = overlay.active.space(space);
        let mut done = 0;
        for (key, entry) in &overlay.frozen.space(space).entries {
            if budget.is_spent() {
                slice.add(&target, space, 0, done);
                return Ok(slice);
            }
            match entry {
                _ if active.supersedes(key) => {}
                Entry::Value(value) => target.put(key, value)?,
                Entry::Deleted if base.contains(space, key)? => target.remove(key)?,
                Entry::Deleted | Entry::InBase => {}
            }
            let weight = weigh(key.len(), entry);
            budget.spend(weight, weight);
            done += 1;
        }
        slice.add(&target, space, 0, done);
    }
    slice.finished = true;
    Ok(slice)
}

/// Remove what the base holds under a deleted prefix; gives where to go on if the budget ended before.
fn remove_prefix(
    target: &mut Target<'_>,
    overlay: &Overlay,
    base: &Base<'_>,
    prefix: &[u8],
    cursor: Option<Vec<u8>>,
    budget: &mut Budget,
) -> Result<Option<Vec<u8>>, StoreError> {
    let space = target.space;
    let end = prefix_end(prefix);
    let from = cursor.as_deref().unwrap_or(prefix);
    let range = (Bound::Included(from), end.as_ref().map(|end| &**end));
    // A large value written after the deletion is in the base already.
    let is_newer = |key: &[u8]| {
        let in_base = |layer: &Layer| matches!(layer.space(space).entries.get(key), Some(Entry::InBase));
        in_base(&overlay.active) || in_base(&overlay.frozen)
    };
    budget.spend(prefix.len(), 0);
    let Some(mut rows) = base.range(space, range)? else { return Ok(None) };
    while let Some((key, row)) = Base::step(&mut rows, space, false)? {
        let key = key.value();
        if budget.is_spent() {
            return Ok(Some(key.to_vec()));
        }
        if !is_newer(key) {
            target.remove(key)?;
        }
        budget.spend(0, key.len() + row.value().len());
    }
    Ok(None)
}

impl Slice {
    fn add(&mut self, target: &Target<'_>, space: Space, prefixes: usize, entries: usize) {
        self.gained += target.gained;
        self.lost += target.lost;
        if prefixes + entries > 0 {
            self.done.push((space, prefixes, entries));
        }
    }
}

/// A base table to write to, opened when something is written.
pub(super) struct Target<'a> {
    transaction: &'a WriteTransaction,
    space: Space,
    table: Option<Table<'a, &'static [u8], &'static [u8]>>,
    row: Vec<u8>,
    pub gained: u64,
    pub lost: u64,
}

impl<'a> Target<'a> {
    pub fn new(transaction: &'a WriteTransaction, space: Space) -> Self {
        Self { transaction, space, table: None, row: Vec::new(), gained: 0, lost: 0 }
    }

    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let space = self.space;
        let mut row = std::mem::take(&mut self.row);
        seal(&mut row, space, key, value);
        let lost = {
            let old = self.table()?.insert(key, row.as_slice()).map_err(|error| failed(space, error))?;
            old.map_or(0, |old| key.len() + old.value().len())
        };
        self.lost += lost as u64;
        self.gained += (key.len() + row.len()) as u64;
        self.row = row;
        Ok(())
    }

    pub fn remove(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let space = self.space;
        let old = self.table()?.remove(key).map_err(|error| failed(space, error))?;
        let lost = old.map_or(0, |old| key.len() + old.value().len());
        self.lost += lost as u64;
        Ok(())
    }

    fn table(&mut self) -> Result<&mut Table<'a, &'static [u8], &'static [u8]>, StoreError> {
        if self.table.is_none() {
            let opened = self.transaction.open_table(table(self.space));
            self.table = Some(opened.map_err(|error| failed(self.space, error))?);
        }
        self.table.as_mut().ok_or(StoreError::Closed)
    }
}

fn failed(space: Space, error: impl Into<redb::Error>) -> StoreError {
    StoreError::of_redb(format!("writing space {space}"), error)
}
