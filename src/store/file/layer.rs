//! Rows in memory that are not folded into the base tables yet.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::entries::Entries;
use super::entry::{Entry, Value};
use super::key::Key;
use crate::store::frame::{Logged, range_within};
use crate::store::space::Space;

/// What memory an entry takes besides its key and value, about. Only paces folding.
const ENTRY_BYTES: usize = 72;

/// A layer's verdict on a key.
pub(super) enum Found<'a> {
    Value(&'a [u8]),
    Deleted,
    InBase,
    /// This layer does not know it: ask the one below.
    Below,
}

/// Newer rows over whatever is below. An entry goes before the layer's own deleted prefixes, which hide only
/// what is below the layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub spaces: [SpaceLayer; Space::COUNT],
    /// About the bytes of memory held.
    pub weight: usize,
}

#[derive(Debug, Default)]
pub(super) struct SpaceLayer {
    pub entries: Entries,
    /// No prefix here is the beginning of another one.
    pub prefixes: BTreeSet<Key>,
}

impl Default for Layer {
    fn default() -> Self {
        Self { spaces: std::array::from_fn(|_| SpaceLayer::default()), weight: 0 }
    }
}

impl Layer {
    pub fn get(&self, space: Space, key: &[u8]) -> Found<'_> {
        let rows = self.space(space);
        match rows.entries.get(key) {
            Some(Entry::Value(value)) => Found::Value(value),
            Some(Entry::Deleted) => Found::Deleted,
            Some(Entry::InBase) => Found::InBase,
            None if rows.hides(key) => Found::Deleted,
            None => Found::Below,
        }
    }

    pub fn space(&self, space: Space) -> &SpaceLayer {
        &self.spaces[space.index()]
    }

    pub fn set(&mut self, space: Space, key: Key, entry: Entry) {
        let key_bytes = key.len();
        self.weight += weigh(key_bytes, &entry);
        if let Some(old) = self.spaces[space.index()].entries.insert(key, entry) {
            self.weight -= weigh(key_bytes, &old);
        }
    }

    pub fn delete_prefix(&mut self, space: Space, prefix: Key) {
        let rows = &mut self.spaces[space.index()];
        let mut freed = 0;
        let end = prefix_end(&prefix);
        let range = (Bound::Included(&*prefix), end.as_ref().map(|end| &**end));
        rows.entries.remove_range(range, |key, entry| freed += weigh(key.len(), entry));
        self.weight -= freed;
        if rows.hides(&prefix) {
            return;
        }
        for inner in rows.prefixes.extract_if(within(&prefix, &end), |_| true) {
            self.weight -= inner.len() + ENTRY_BYTES;
        }
        self.weight += prefix.len() + ENTRY_BYTES;
        rows.prefixes.insert(prefix);
    }

    /// Does what stands in a log row.
    pub fn apply(&mut self, row: &Arc<Vec<u8>>, op: Logged<'_>) {
        match op {
            Logged::Put { space, key, value } => {
                let value = Value::new(row.clone(), range_within(row, value));
                self.set(space, Key::from_slice(key), Entry::Value(value));
            }
            Logged::Delete { space, key } => self.set(space, Key::from_slice(key), Entry::Deleted),
            Logged::DeletePrefix { space, prefix } => self.delete_prefix(space, Key::from_slice(prefix)),
            Logged::Direct { space, key } => self.set(space, Key::from_slice(key), Entry::InBase),
        }
    }

    /// Drops the first `count` entries of a space, which the base tables hold by now.
    pub fn drop_entries(&mut self, space: Space, count: usize) {
        let mut freed = 0;
        let entries = &mut self.spaces[space.index()].entries;
        entries.remove_first(count, |key, entry| freed += weigh(key.len(), entry));
        self.weight -= freed;
    }

    /// Drops the first `count` deleted prefixes of a space, which the base tables hold nothing of by now.
    pub fn drop_prefixes(&mut self, space: Space, count: usize) {
        for _ in 0..count {
            if let Some(prefix) = self.spaces[space.index()].prefixes.pop_first() {
                self.weight -= prefix.len() + ENTRY_BYTES;
            }
        }
    }
}

impl SpaceLayer {
    /// Whether a deleted prefix hides the key's rows below this layer.
    pub fn hides(&self, key: &[u8]) -> bool {
        // As no prefix begins another one, only the last one up to the key can cover it.
        let up_to = (Bound::Unbounded, Bound::Included(key));
        self.prefixes.range::<[u8], _>(up_to).next_back().is_some_and(|prefix| key.starts_with(prefix))
    }
}

/// Where the keys that start with `prefix` end.
pub(super) fn prefix_end(prefix: &[u8]) -> Bound<Key> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bound::Excluded(Key::from_slice(&end));
        }
    }
    Bound::Unbounded
}

pub(super) fn weigh(key_bytes: usize, entry: &Entry) -> usize {
    let value_bytes = if let Entry::Value(value) = entry { value.len() } else { 0 };
    key_bytes + value_bytes + ENTRY_BYTES
}

fn within<'a>(prefix: &'a Key, end: &'a Bound<Key>) -> (Bound<&'a Key>, Bound<&'a Key>) {
    (Bound::Included(prefix), end.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: &[u8]) -> Key {
        Key::from_slice(bytes)
    }

    fn is_deleted(layer: &Layer, key: &[u8]) -> bool {
        matches!(layer.get(Space::Op, key), Found::Deleted)
    }

    #[test]
    fn a_deleted_prefix_hides_what_is_below_but_no_later_entry() {
        let mut layer = Layer::default();
        layer.set(Space::Op, key(b"ab1"), Entry::Value(vec![1].into()));
        layer.delete_prefix(Space::Op, key(b"ab"));
        assert!(is_deleted(&layer, b"ab1") && is_deleted(&layer, b"ab") && is_deleted(&layer, b"ab\xff"));
        assert!(matches!(layer.get(Space::Op, b"ac"), Found::Below));
        assert!(matches!(layer.get(Space::Wake, b"ab1"), Found::Below));
        layer.set(Space::Op, key(b"ab1"), Entry::Value(vec![2].into()));
        assert!(matches!(layer.get(Space::Op, b"ab1"), Found::Value(value) if *value == [2]));
    }

    #[test]
    fn prefixes_never_begin_one_another_and_weigh_nothing_when_gone() {
        let mut layer = Layer::default();
        for prefix in [&b"abc"[..], b"ab\xff", b"b", b"ab", b"abd", b"\xff", b"\xff\xff"] {
            layer.delete_prefix(Space::Op, key(prefix));
        }
        let prefixes: Vec<_> = layer.space(Space::Op).prefixes.iter().map(|prefix| &**prefix).collect();
        assert_eq!(prefixes, [&b"ab"[..], b"b", b"\xff"]);
        assert!(is_deleted(&layer, b"\xff\xff\xff") && !is_deleted(&layer, b"a"));
        layer.set(Space::Op, key(b"k"), Entry::Deleted);
        layer.set(Space::Op, key(b"k"), Entry::InBase);
        layer.delete_prefix(Space::Op, key(b""));
        layer.drop_prefixes(Space::Op, 1);
        assert_eq!(layer.weight, 0);
    }
}
