//! The base tables: names, the check of each row, and reading them within one read transaction.

use std::cell::{OnceCell, RefCell};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use redb::{
    AccessGuard, Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, TableError,
};

use super::key::Key;
use super::run::Rows;
use crate::store::error::StoreError;
use crate::store::space::Space;

pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const LOG: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("log");

type Runs = redb::Range<'static, &'static [u8], &'static [u8]>;
type Bytes = AccessGuard<'static, &'static [u8]>;
type BaseTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

pub(super) fn table(space: Space) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(space.table())
}

/// Runs what calls into redb. It panics on some kinds of damage; that is reported like the others.
pub(super) fn guarded<T>(
    what: &'static str,
    call: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        Err(StoreError::damaged(what, format!("it cannot be read ({words})")))
    })
}

/// Gives up a database that is damaged, or was only read, without the commit with which redb ends one. Where its account of
/// free pages is wrong, redb panics in that commit, and once more while it unwinds, which would end the process.
pub(super) fn abandon(db: Database) {
    // After a write transaction that a panic drops, redb leaves the file to the next opening.
    let marked: thread::Result<()> = catch_unwind(AssertUnwindSafe(|| {
        let _transaction = db.begin_write();
        resume_unwind(Box::new(()))
    }));
    // An earlier panic has left locks with which it panics here; not while it unwinds.
    let dropped = catch_unwind(AssertUnwindSafe(move || drop(db)));
    drop((marked, dropped));
}

/// The base tables as of one moment. Nothing is opened before the first question.
pub(super) struct Base<'a> {
    db: &'a Database,
    transaction: OnceCell<ReadTransaction>,
    tables: RefCell<Vec<(Space, Option<Arc<BaseTable>>)>>,
}

impl<'a> Base<'a> {
    pub fn new(db: &'a Database) -> Self {
        Self { db, transaction: OnceCell::new(), tables: RefCell::default() }
    }

    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.find(space, key, |value| value.into())
    }

    pub fn contains(&self, space: Space, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.find(space, key, |_| ())?.is_some())
    }

    /// The rows of a range that is not empty by its bounds.
    pub fn rows(
        &self,
        space: Space,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
    ) -> Result<BaseRows, StoreError> {
        let (from, to) = (range.0.map(Key::from_slice), range.1.map(Key::from_slice));
        let mut rows = BaseRows { runs: None, run: None, space, reverse, from, to };
        let Some(table) = self.table(space)? else { return Ok(rows) };
        rows.runs = guarded("a base table", || {
            let failed = |error| failed(space, error);
            // The range may begin within a run.
            let first = match range.0 {
                Bound::Included(from) | Bound::Excluded(from) => {
                    table.range::<&[u8]>(..=from).map_err(failed)?.next_back().transpose().map_err(failed)?
                }
                Bound::Unbounded => None,
            };
            let from = first.as_ref().map_or(range.0, |(key, _)| Bound::Included(key.value()));
            table.range::<&[u8]>((from, range.1)).map(Some).map_err(failed)
        })?;
        rows.advance()?;
        Ok(rows)
    }

    fn find<T>(
        &self,
        space: Space,
        key: &[u8],
        with: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        let Some(table) = self.table(space)? else { return Ok(None) };
        guarded("a base table", || {
            let failed = |error| failed(space, error);
            let run = table.range::<&[u8]>(..=key).map_err(failed)?.next_back();
            let Some((first, run)) = run.transpose().map_err(failed)? else { return Ok(None) };
            let run = run.value();
            let rows = Rows::of(space, first.value(), run)?;
            Ok(rows.find(run, key).ok().map(|number| with(rows.value(run, number))))
        })
    }

    pub fn transaction(&self) -> Result<&ReadTransaction, StoreError> {
        if let Some(transaction) = self.transaction.get() {
            return Ok(transaction);
        }
        let begun = guarded("the file", || {
            self.db.begin_read().map_err(|error| StoreError::of_redb("beginning to read the store", error))
        })?;
        Ok(self.transaction.get_or_init(|| begun))
    }

    fn table(&self, space: Space) -> Result<Option<Arc<BaseTable>>, StoreError> {
        if let Some((_, table)) = self.tables.borrow().iter().find(|(known, _)| *known == space) {
            return Ok(table.clone());
        }
        let transaction = self.transaction()?;
        let opened = guarded("a base table", || match transaction.open_table(table(space)) {
            Ok(table) => Ok(Some(Arc::new(table))),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(StoreError::of_redb(format!("reading space {space}"), error)),
        })?;
        self.tables.borrow_mut().push((space, opened.clone()));
        Ok(opened)
    }
}

fn failed(space: Space, error: redb::StorageError) -> StoreError {
    StoreError::of_redb(format!("reading space {space}"), error)
}

/// Rows of a base table, one at a time.
pub(super) struct BaseRows {
    runs: Option<Runs>,
    /// The run that is read, and the number of the current row.
    run: Option<(Bytes, Rows, usize)>,
    space: Space,
    reverse: bool,
    from: Bound<Key>,
    to: Bound<Key>,
}

impl BaseRows {
    pub fn key(&self) -> Option<&[u8]> {
        self.run.as_ref().map(|(run, rows, number)| rows.key(run.value(), *number))
    }

    pub fn value(&self) -> Option<&[u8]> {
        self.run.as_ref().map(|(run, rows, number)| rows.value(run.value(), *number))
    }

    pub fn advance(&mut self) -> Result<(), StoreError> {
        loop {
            self.run = match self.run.take() {
                Some((run, rows, number)) if !self.reverse && number + 1 < rows.len() => {
                    Some((run, rows, number + 1))
                }
                Some((run, rows, number)) if self.reverse && number > 0 => Some((run, rows, number - 1)),
                _ => self.next_run()?,
            };
            // A run may begin before the range and end behind it.
            let Some(key) = self.key() else { return Ok(()) };
            let is_before = match &self.from {
                Bound::Included(from) => key < &**from,
                Bound::Excluded(from) => key <= &**from,
                Bound::Unbounded => false,
            };
            let is_behind = match &self.to {
                Bound::Included(to) => key > &**to,
                Bound::Excluded(to) => key >= &**to,
                Bound::Unbounded => false,
            };
            if if self.reverse { is_before } else { is_behind } {
                (self.runs, self.run) = (None, None);
                return Ok(());
            }
            if !is_before && !is_behind {
                return Ok(());
            }
        }
    }

    fn next_run(&mut self) -> Result<Option<(Bytes, Rows, usize)>, StoreError> {
        let (space, reverse) = (self.space, self.reverse);
        let Some(runs) = &mut self.runs else { return Ok(None) };
        guarded("a base table", || {
            let run = if reverse { runs.next_back() } else { runs.next() };
            let Some((key, run)) = run.transpose().map_err(|error| failed(space, error))? else {
                return Ok(None);
            };
            let rows = Rows::of(space, key.value(), run.value())?;
            let number = if reverse { rows.len() - 1 } else { 0 };
            Ok(Some((run, rows, number)))
        })
    }
}
