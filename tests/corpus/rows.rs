//! How many rows each space of a store holds, read from the file as `src/store/format.md` describes it and by nothing
//! of the store's own code. The file is not to be in use; redb may repair it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");

/// By their numbers, from 1.
const SPACES: [&str; 28] = [
    "task",
    "status",
    "journal",
    "op",
    "output",
    "log",
    "result",
    "checkpoint",
    "open",
    "wake",
    "by-principal",
    "idempotency",
    "component",
    "blob",
    "blob-ref",
    "setting",
    "state",
    "token",
    "audit",
    "session",
    "event",
    "question",
    "message",
    "ended",
    "child",
    "report",
    "trace",
    "count",
];
const CHECK_BYTES: usize = 8;

type Rows = BTreeMap<&'static str, BTreeSet<Vec<u8>>>;

/// The keys of the rows of each space that has some: what the base tables hold, and over it what the log has that is not
/// folded yet.
pub fn rows(file: &Path) -> Rows {
    let db = Database::open(file).expect("redb opens the file");
    let read = db.begin_read().expect("a snapshot");
    let mut rows = Rows::new();
    for space in SPACES {
        let name = format!("space.{space}");
        let table = match read.open_table(TableDefinition::<&[u8], &[u8]>::new(&name)) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => continue,
            Err(error) => panic!("{name}: {error}"),
        };
        for run in table.iter().expect("runs") {
            let run = run.expect("a run").1;
            let mut input = body(run.value());
            while !input.0.is_empty() {
                rows.entry(space).or_default().insert(input.bytes().to_vec());
                input.bytes();
            }
        }
    }
    let folded = read
        .open_table(META)
        .expect("meta")
        .get("folded")
        .expect("meta")
        .map_or(0, |number| u64::from_le_bytes(number.value().try_into().expect("eight bytes")));
    for row in read.open_table(LOG).expect("the log").range(folded + 1..).expect("rows") {
        apply(body(row.expect("a row").1.value()), &mut rows);
    }
    rows.retain(|_, keys| !keys.is_empty());
    rows
}

/// How many they are.
pub fn count(file: &Path) -> BTreeMap<&'static str, usize> {
    rows(file).into_iter().map(|(space, keys)| (space, keys.len())).collect()
}

/// What one row of the log changes.
fn apply(mut input: Input<'_>, rows: &mut Rows) {
    for _ in 0..input.varint() {
        for _ in 0..input.varint() {
            let kind = input.byte();
            let keys = rows.entry(SPACES[usize::from(input.byte()) - 1]).or_default();
            let key = input.bytes().to_vec();
            match kind {
                1 => {
                    input.bytes();
                    keys.insert(key);
                }
                2 => drop(keys.remove(&key)),
                3 => keys.retain(|there| !there.starts_with(&key)),
                4 => drop(keys.insert(key)),
                kind => panic!("an operation of kind {kind}"),
            }
        }
    }
}

/// What is between the version and the check.
fn body(bytes: &[u8]) -> Input<'_> {
    let mut input = Input(&bytes[..bytes.len() - CHECK_BYTES]);
    assert_eq!(input.byte(), 1, "the version of a row or run");
    input
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().expect("a byte");
        self.0 = rest;
        *first
    }

    fn varint(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::try_from(self.varint()).expect("a length");
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }
}
