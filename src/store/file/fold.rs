//! Moving frozen rows into the base tables, a slice at a time.

use std::iter::Peekable;
use std::ops::Bound;

use redb::{ReadableTable, Table, WriteTransaction};

use super::base::{Base, table};
use super::entries;
use super::entry::Entry;
use super::key::Key;
use super::layer::{Layer, SpaceLayer, prefix_end, weigh};
use super::run::{Rows, write_runs};
use super::snapshot::Overlay;
use crate::limits::MAX_RUN_BYTES;
use crate::store::error::StoreError;
use crate::store::space::Space;

/// A frozen layer on its way into the base tables.
#[derive(Debug)]
pub(super) struct Fold {
    /// The last commit whose rows the frozen layer holds.
    pub through: u64,
    /// Where in the ring the rows behind those begin.
    pub ring_until: u64,
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

/// Folds one slice: first what deleted prefixes hide, then the entries, in key order. `base` is the state
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
        let entries = &overlay.frozen.space(space).entries;
        let mut active = Newer::new(overlay.active.space(space));
        let mut changes: Vec<Change<'_>> = Vec::new();
        let mut done = 0;
        for (key, entry) in entries.iter() {
            if budget.is_spent() {
                break;
            }
            match entry {
                _ if active.supersedes(key) => {}
                Entry::Value(value) => changes.push((key, Some(value))),
                Entry::Deleted if base.contains(space, key)? => changes.push((key, None)),
                Entry::Deleted | Entry::InBase => {}
            }
            let weight = weigh(key.len(), entry);
            budget.spend(weight, weight);
            done += 1;
        }
        target.change(&changes)?;
        slice.add(&target, space, 0, done);
        if done < entries.len() {
            return Ok(slice);
        }
    }
    slice.finished = true;
    Ok(slice)
}

/// What goes before rows that are asked for in key order: mostly the next one is near.
struct Newer<'a> {
    layer: &'a SpaceLayer,
    rows: Peekable<entries::Rows<'a>>,
}

impl<'a> Newer<'a> {
    fn new(layer: &'a SpaceLayer) -> Self {
        Self { layer, rows: layer.entries.iter().peekable() }
    }

    fn supersedes(&mut self, key: &Key) -> bool {
        const STEPS: usize = 8;
        let mut steps = 0;
        while self.rows.next_if(|(row, _)| *row < key).is_some() {
            steps += 1;
            if steps == STEPS {
                self.rows = self.layer.entries.range((Bound::Included(&**key), Bound::Unbounded)).peekable();
            }
        }
        self.rows.peek().is_some_and(|(row, _)| *row == key) || self.layer.hides(key)
    }
}

/// Removes what the base holds under a deleted prefix; gives where to go on if the budget ended before.
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
    let mut rows = base.rows(space, range, false)?;
    let mut gone: Vec<Key> = Vec::new();
    while let (Some(key), Some(value)) = (rows.key(), rows.value())
        && !budget.is_spent()
    {
        if !is_newer(key) {
            gone.push(Key::from_slice(key));
        }
        budget.spend(0, key.len() + value.len());
        rows.advance()?;
    }
    let changes: Vec<Change<'_>> = gone.iter().map(|key| (&**key, None)).collect();
    target.change(&changes)?;
    budget.spend(prefix.len(), 0);
    Ok(rows.key().map(<[u8]>::to_vec))
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

/// A key and its new value, or that it has none any more.
pub(super) type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// A base table to write to, opened when something is written.
pub(super) struct Target<'a> {
    transaction: &'a WriteTransaction,
    space: Space,
    table: Option<Table<'a, &'static [u8], &'static [u8]>>,
    pub gained: u64,
    pub lost: u64,
}

impl<'a> Target<'a> {
    pub fn new(transaction: &'a WriteTransaction, space: Space) -> Self {
        Self { transaction, space, table: None, gained: 0, lost: 0 }
    }

    /// Makes changes, which are in order and one a key.
    pub fn change(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        let mut rest = changes;
        while let Some((first, _)) = rest.first() {
            let space = self.space;
            let failed = |error| failed(space, error);
            let table = self.table()?;
            // All changes before the next run belong to this one.
            let next =
                table.range::<&[u8]>((Bound::Excluded(*first), Bound::Unbounded)).map_err(failed)?.next();
            let count = match next.transpose().map_err(failed)? {
                Some((next, _)) => rest.partition_point(|(key, _)| *key < next.value()),
                None => rest.len(),
            };
            let before = table.range::<&[u8]>(..=*first).map_err(failed)?.next_back();
            let before = before.transpose().map_err(failed)?;
            let mut old = None;
            if let Some((key, run)) = &before {
                let rows = Rows::of(space, key.value(), run.value())?;
                let ends_before = rows.key(run.value(), rows.len() - 1) < *first;
                // What follows a run that is full enough begins a new one.
                if !ends_before || run.value().len() < MAX_RUN_BYTES / 2 {
                    old = Some((run.value().to_vec(), rows));
                }
            }
            drop(before);
            let (these, behind) = rest.split_at(count);
            rest = behind;
            match old {
                Some((run, rows)) => self.rewrite(&run, &rows, these)?,
                None => {
                    let rows: Vec<_> =
                        these.iter().filter_map(|(key, value)| Some((*key, (*value)?))).collect();
                    self.write(&rows, false)?;
                }
            }
        }
        Ok(())
    }

    /// Merge changes into a run.
    fn rewrite(&mut self, run: &[u8], rows: &Rows, changes: &[Change<'_>]) -> Result<(), StoreError> {
        let mut merged = Vec::with_capacity(rows.len() + changes.len());
        let mut changes = changes.iter().peekable();
        let mut has_changed = false;
        for number in 0..rows.len() {
            let (key, value) = (rows.key(run, number), rows.value(run, number));
            while let Some((new, value)) = changes.next_if(|(new, _)| *new < key) {
                has_changed |= value.is_some();
                merged.extend(value.map(|value| (*new, value)));
            }
            match changes.next_if(|(new, _)| *new == key) {
                Some((_, value)) => {
                    has_changed = true;
                    merged.extend(value.map(|value| (key, value)));
                }
                None => merged.push((key, value)),
            }
        }
        for (new, value) in changes {
            has_changed |= value.is_some();
            merged.extend(value.map(|value| (*new, value)));
        }
        if !has_changed {
            return Ok(());
        }
        let first = rows.key(run, 0);
        if merged.first().is_none_or(|(key, _)| *key != first) {
            let space = self.space;
            self.table()?.remove(first).map_err(|error| failed(space, error))?;
            self.lost += (first.len() + run.len()) as u64;
        }
        self.write(&merged, true)
    }

    fn write(&mut self, rows: &[(&[u8], &[u8])], evenly: bool) -> Result<(), StoreError> {
        let space = self.space;
        let (mut gained, mut lost) = (0, 0);
        let table = self.table()?;
        write_runs(space, rows, evenly, |key, run| {
            let old = table.insert(key, run).map_err(|error| failed(space, error))?;
            lost += old.map_or(0, |old| key.len() + old.value().len());
            gained += key.len() + run.len();
            Ok(())
        })?;
        self.gained += gained as u64;
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
