//! The base tables: names, the check of each row, and reading them within one read transaction.

use std::cell::{OnceCell, RefCell};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::{
    AccessGuard, Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, TableError,
};

use super::error::StoreError;
use super::space::Space;

pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const LOG: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("log");

const CHECK_BYTES: usize = 4;

pub(super) type Rows = redb::Range<'static, &'static [u8], &'static [u8]>;
type RowGuard = (AccessGuard<'static, &'static [u8]>, AccessGuard<'static, &'static [u8]>);
type BaseTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

pub(super) fn table(space: Space) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(space.table())
}

/// A row as its base table holds it: the value and a check over space, key and value, put into `out`.
pub(super) fn seal(out: &mut Vec<u8>, space: Space, key: &[u8], value: &[u8]) {
    out.clear();
    out.extend_from_slice(value);
    out.extend_from_slice(&check(space, key, value));
}

/// The value of a base row, if it is the one that was written there.
pub(super) fn unseal<'a>(space: Space, key: &[u8], row: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let damaged = |why: &str| StoreError::damaged_row(space, key, why);
    let bytes = row.len().checked_sub(CHECK_BYTES).ok_or_else(|| damaged("the row is too short"))?;
    let (value, found) = row.split_at(bytes);
    if check(space, key, value) == found {
        Ok(value)
    } else {
        Err(damaged("the row does not match its check"))
    }
}

/// Run what calls into redb. It panics on some kinds of damage; that is reported like the others.
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
        let Some(table) = self.table(space)? else { return Ok(None) };
        guarded("a base table", || match table.get(key).map_err(|error| failed(space, error))? {
            Some(row) => Ok(Some(unseal(space, key, row.value())?.into())),
            None => Ok(None),
        })
    }

    pub fn contains(&self, space: Space, key: &[u8]) -> Result<bool, StoreError> {
        let Some(table) = self.table(space)? else { return Ok(false) };
        guarded("a base table", || Ok(table.get(key).map_err(|error| failed(space, error))?.is_some()))
    }

    /// The rows of a range that is not empty by its bounds.
    pub fn range(
        &self,
        space: Space,
        range: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Result<Option<Rows>, StoreError> {
        let Some(table) = self.table(space)? else { return Ok(None) };
        guarded("a base table", || {
            table.range::<&[u8]>(range).map(Some).map_err(|error| failed(space, error))
        })
    }

    /// The next row, from the front or from the back.
    pub fn step(rows: &mut Rows, space: Space, reverse: bool) -> Result<Option<RowGuard>, StoreError> {
        guarded("a base table", || {
            let row = if reverse { rows.next_back() } else { rows.next() };
            let row = row.transpose().map_err(|error| failed(space, error))?;
            if let Some((key, value)) = &row {
                // A damaged page may point outside itself, which shows here and nowhere later.
                let _ = (key.value(), value.value());
            }
            Ok(row)
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

fn check(space: Space, key: &[u8], value: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[space.id()]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK_BYTES]);
    check
}
