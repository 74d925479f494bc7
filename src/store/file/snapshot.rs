use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use redb::Database;

use super::base::Base;
use super::entries::Rows;
use super::entry::Entry;
use super::key::Key;
use super::layer::{Found, Layer, prefix_end};
use crate::store::error::StoreError;
use crate::store::space::Space;

/// What memory holds over the base tables.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// Takes the new rows.
    pub active: Layer,
    /// Older than `active`, and on its way into the base tables.
    pub frozen: Layer,
}

/// The file and what memory holds over it, as of one moment.
pub(in crate::store) struct Snapshot<'a> {
    overlay: &'a Overlay,
    base: Base<'a>,
}

impl<'a> Snapshot<'a> {
    pub(super) fn new(overlay: &'a Overlay, db: &'a Database) -> Self {
        Self { overlay, base: Base::new(db) }
    }

    pub(super) fn base(&self) -> &Base<'a> {
        &self.base
    }

    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Arc<[u8]>>, StoreError> {
        for layer in [&self.overlay.active, &self.overlay.frozen] {
            match layer.get(space, key) {
                Found::Value(value) => return Ok(Some(value.into())),
                Found::Deleted => return Ok(None),
                Found::InBase => {
                    let value = self.base.get(space, key)?;
                    return value.map(Some).ok_or_else(|| missing(space, key));
                }
                Found::Below => {}
            }
        }
        self.base.get(space, key)
    }

    pub fn contains(&self, space: Space, key: &[u8]) -> Result<bool, StoreError> {
        for layer in [&self.overlay.active, &self.overlay.frozen] {
            match layer.get(space, key) {
                Found::Value(_) | Found::InBase => return Ok(true),
                Found::Deleted => return Ok(false),
                Found::Below => {}
            }
        }
        self.base.contains(space, key)
    }

    pub fn scan_prefix(
        &self,
        space: Space,
        prefix: &[u8],
        reverse: bool,
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let end = prefix_end(prefix);
        let range = (Bound::Included(prefix), end.as_ref().map(|end| &**end));
        self.scan(space, range, reverse, visit)
    }

    /// The range leaves something between its bounds.
    pub fn scan(
        &self,
        space: Space,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let (active, frozen) = (self.overlay.active.space(space), self.overlay.frozen.space(space));
        let mut newest = MemoryRows::new(active.entries.range(range), reverse);
        let mut older = MemoryRows::new(frozen.entries.range(range), reverse);
        let mut oldest = self.base.rows(space, range, reverse)?;
        loop {
            let heads = [newest.key(), older.key(), oldest.key()];
            let heads = heads.iter().flatten();
            let Some(&key) = (if reverse { heads.max() } else { heads.min() }) else { return Ok(()) };
            let at = |head: Option<&[u8]>| head == Some(key);
            let (in_newest, in_older, in_oldest) = (at(newest.key()), at(older.key()), at(oldest.key()));
            let entry = match (newest.entry(), older.entry()) {
                (Some(entry), _) if in_newest => Some(entry),
                _ if active.hides(key) => Some(&Entry::Deleted),
                (_, Some(entry)) if in_older => Some(entry),
                _ if frozen.hides(key) => Some(&Entry::Deleted),
                _ => None,
            };
            let flow = match entry {
                Some(Entry::Value(value)) => visit(key, value),
                Some(Entry::Deleted) => ControlFlow::Continue(()),
                Some(Entry::InBase) | None => match oldest.value() {
                    Some(value) if in_oldest => visit(key, value),
                    _ => return Err(missing(space, key)),
                },
            };
            if flow.is_break() {
                return Ok(());
            }
            if in_newest {
                newest.advance();
            }
            if in_older {
                older.advance();
            }
            if in_oldest {
                oldest.advance()?;
            }
        }
    }
}

struct MemoryRows<'a> {
    rows: Rows<'a>,
    head: Option<(&'a Key, &'a Entry)>,
    reverse: bool,
}

impl<'a> MemoryRows<'a> {
    fn new(rows: Rows<'a>, reverse: bool) -> Self {
        let mut rows = Self { rows, head: None, reverse };
        rows.advance();
        rows
    }

    fn key(&self) -> Option<&'a [u8]> {
        self.head.map(|(key, _)| &**key)
    }

    fn entry(&self) -> Option<&'a Entry> {
        self.head.map(|(_, entry)| entry)
    }

    fn advance(&mut self) {
        self.head = if self.reverse { self.rows.next_back() } else { self.rows.next() };
    }
}

fn missing(space: Space, key: &[u8]) -> StoreError {
    StoreError::damaged_row(space, key, "its large value is missing")
}
