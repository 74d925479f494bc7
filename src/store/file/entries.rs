//! The entries of one space in key order, made for what mostly comes: rows of many tasks in turn, each behind the
//! others of its task. One tree of all keys would be deep, and each row would look for its place in cold memory.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, VecDeque, btree_map, vec_deque};
use std::ops::{Bound, Range};

use super::entry::Entry;
use super::key::Key;

/// Ids have so many bytes, and most keys begin with one.
const STEM_BYTES: usize = 16;
/// A list that is longer takes new rows at its end alone; one that gets another becomes a tree.
const MAX_UNORDERED_LIST: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Entries {
    /// By the first bytes of their keys. No tail is empty.
    tails: BTreeMap<u128, Tail>,
    count: usize,
}

/// The entries whose keys begin alike.
#[derive(Debug)]
enum Tail {
    List(VecDeque<(Key, Entry)>),
    Tree(BTreeMap<Key, Entry>),
}

pub(super) type Rows<'a> = Box<dyn DoubleEndedIterator<Item = (&'a Key, &'a Entry)> + 'a>;

enum TailRows<'a> {
    List(vec_deque::Iter<'a, (Key, Entry)>),
    Tree(btree_map::Range<'a, Key, Entry>),
}

impl Entries {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn get(&self, key: &[u8]) -> Option<&Entry> {
        match self.tails.get(&stem(key))? {
            Tail::List(list) => {
                let at = list.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
                list.get(at).map(|(_, entry)| entry)
            }
            Tail::Tree(tree) => tree.get(key),
        }
    }

    /// Gives what was there before.
    pub fn insert(&mut self, key: Key, entry: Entry) -> Option<Entry> {
        let old = match self.tails.entry(stem(&key)) {
            Place::Vacant(place) => {
                let mut list = VecDeque::with_capacity(1);
                list.push_back((key, entry));
                place.insert(Tail::List(list));
                None
            }
            Place::Occupied(place) => place.into_mut().insert(key, entry),
        };
        self.count += usize::from(old.is_none());
        old
    }

    pub fn iter(&self) -> Rows<'_> {
        self.range((Bound::Unbounded, Bound::Unbounded))
    }

    /// Those between bounds that leave something between them.
    pub fn range(&self, (from, to): (Bound<&[u8]>, Bound<&[u8]>)) -> Rows<'_> {
        let stems = stems(from, to);
        let (from, to) = (from.map(Key::from_slice), to.map(Key::from_slice));
        Box::new(self.tails.range(stems).flat_map(move |(_, tail)| tail.range(deref(&from), deref(&to))))
    }

    /// Removes those between bounds, and shows each.
    pub fn remove_range(
        &mut self,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        mut gone: impl FnMut(&Key, &Entry),
    ) {
        let before = self.count;
        let mut gone = |(key, entry): (Key, Entry)| {
            self.count -= 1;
            gone(&key, &entry);
        };
        for (_, tail) in self.tails.range_mut(stems(from, to)) {
            match tail {
                Tail::List(list) => list.drain(positions(list, from, to)).for_each(&mut gone),
                Tail::Tree(tree) => {
                    let range = (from.map(Key::from_slice), to.map(Key::from_slice));
                    tree.extract_if(range, |_, _| true).for_each(&mut gone);
                }
            }
        }
        if self.count < before {
            self.tails.extract_if(stems(from, to), |_, tail| tail.len() == 0).for_each(drop);
        }
    }

    /// Removes the first `count`, and shows each.
    pub fn remove_first(&mut self, mut count: usize, mut gone: impl FnMut(&Key, &Entry)) {
        let mut gone = |(key, entry): (Key, Entry)| gone(&key, &entry);
        while count > 0
            && let Some(mut first) = self.tails.first_entry()
        {
            let these = count.min(first.get().len());
            match first.get_mut() {
                Tail::List(list) => list.drain(..these).for_each(&mut gone),
                Tail::Tree(tree) => {
                    std::iter::from_fn(|| tree.pop_first()).take(these).for_each(&mut gone);
                }
            }
            if first.get().len() == 0 {
                first.remove();
            }
            count -= these;
            self.count -= these;
        }
    }
}

impl Tail {
    fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Tree(tree) => tree.len(),
        }
    }

    fn insert(&mut self, key: Key, entry: Entry) -> Option<Entry> {
        let list = match self {
            Self::List(list) => list,
            Self::Tree(tree) => return tree.insert(key, entry),
        };
        if list.back().is_none_or(|(last, _)| *last < key) {
            list.push_back((key, entry));
            return None;
        }
        match list.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(at) => list.get_mut(at).map(|(_, there)| std::mem::replace(there, entry)),
            Err(at) if list.len() < MAX_UNORDERED_LIST => {
                list.insert(at, (key, entry));
                None
            }
            Err(_) => {
                let mut tree: BTreeMap<_, _> = std::mem::take(list).into_iter().collect();
                tree.insert(key, entry);
                *self = Self::Tree(tree);
                None
            }
        }
    }

    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> TailRows<'_> {
        match self {
            Self::List(list) => TailRows::List(list.range(positions(list, from, to))),
            Self::Tree(tree) => TailRows::Tree(tree.range::<[u8], _>((from, to))),
        }
    }
}

impl<'a> Iterator for TailRows<'a> {
    type Item = (&'a Key, &'a Entry);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::List(rows) => rows.next().map(|(key, entry)| (key, entry)),
            Self::Tree(rows) => rows.next(),
        }
    }
}

impl DoubleEndedIterator for TailRows<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::List(rows) => rows.next_back().map(|(key, entry)| (key, entry)),
            Self::Tree(rows) => rows.next_back(),
        }
    }
}

/// A key's first bytes, with zeros behind one that is shorter: they sort as the keys do.
fn stem(key: &[u8]) -> u128 {
    let mut stem = [0; STEM_BYTES];
    let length = key.len().min(STEM_BYTES);
    stem[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(stem)
}

/// The stems that keys between those bounds may have.
fn stems(from: Bound<&[u8]>, to: Bound<&[u8]>) -> (Bound<u128>, Bound<u128>) {
    let stem_at = |bound| match bound {
        Bound::Included(key) | Bound::Excluded(key) => Bound::Included(stem(key)),
        Bound::Unbounded => Bound::Unbounded,
    };
    (stem_at(from), stem_at(to))
}

/// Where a list has the keys between those bounds.
fn positions(list: &VecDeque<(Key, Entry)>, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Range<usize> {
    let before = |bound: &[u8]| list.partition_point(|(key, _)| **key < *bound);
    let through = |bound: &[u8]| list.partition_point(|(key, _)| **key <= *bound);
    let start = match from {
        Bound::Included(key) => before(key),
        Bound::Excluded(key) => through(key),
        Bound::Unbounded => 0,
    };
    let end = match to {
        Bound::Included(key) => through(key),
        Bound::Excluded(key) => before(key),
        Bound::Unbounded => list.len(),
    };
    start..end.max(start)
}

fn deref(bound: &Bound<Key>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &**key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

    #[derive(Clone, Debug)]
    enum Act {
        Insert(Vec<u8>),
        /// So many rows behind the last one.
        Append(u8),
        Remove(Bounds),
        RemoveFirst(usize),
        Read(Bounds),
    }

    /// Around the length of a stem, and often with one in common.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        let behind = prop::collection::vec(prop::sample::select(vec![0u8, 1, 255]), 0..5);
        (prop::sample::select(vec![0usize, 3, 14, 16]), 0u8..2, behind).prop_map(|(length, byte, behind)| {
            let mut key = vec![byte; length];
            key.extend(behind);
            key
        })
    }

    fn bounds() -> impl Strategy<Value = Bounds> {
        let bound = || {
            (0..3, key()).prop_map(|(kind, key)| match kind {
                0 => Bound::Included(key),
                1 => Bound::Excluded(key),
                _ => Bound::Unbounded,
            })
        };
        let has_room = |bounds: &Bounds| match bounds {
            (Bound::Included(from), Bound::Included(to)) => from <= to,
            (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
                from < to
            }
            _ => true,
        };
        (bound(), bound()).prop_filter("something lies between", has_room)
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            6 => key().prop_map(Act::Insert),
            1 => any::<u8>().prop_map(Act::Append),
            1 => bounds().prop_map(Act::Remove),
            1 => (0usize..100).prop_map(Act::RemoveFirst),
            2 => bounds().prop_map(Act::Read),
        ]
    }

    fn slices(bounds: &Bounds) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice))
    }

    fn keys<'a>(rows: impl Iterator<Item = (&'a Key, &'a Entry)>) -> Vec<Vec<u8>> {
        rows.map(|(key, _)| key.to_vec()).collect()
    }

    proptest! {
        #[test]
        fn they_are_one_ordered_map(acts in prop::collection::vec(act(), 0..60)) {
            let mut entries = Entries::default();
            let mut model = BTreeMap::<Vec<u8>, Entry>::new();
            for act in acts {
                let mut gone = Vec::new();
                match act {
                    Act::Insert(key) => {
                        let entry = Entry::Value(key.clone().into());
                        let old = entries.insert(Key::from_slice(&key), entry.clone());
                        prop_assert_eq!(old, model.insert(key, entry));
                    }
                    Act::Append(count) => {
                        for number in 0..count {
                            let key = [&[1; 16][..], b"\xff\xff\xff\xff\xff", &[number]].concat();
                            entries.insert(Key::from_slice(&key), Entry::Deleted);
                            model.insert(key, Entry::Deleted);
                        }
                    }
                    Act::Remove(bounds) => {
                        entries.remove_range(slices(&bounds), |key, _| gone.push(key.to_vec()));
                        let rest = model.extract_if(bounds, |_, _| true);
                        prop_assert_eq!(gone, rest.map(|(key, _)| key).collect::<Vec<_>>());
                    }
                    Act::RemoveFirst(count) => {
                        entries.remove_first(count, |key, _| gone.push(key.to_vec()));
                        let first = std::iter::from_fn(|| model.pop_first()).take(count);
                        prop_assert_eq!(gone, first.map(|(key, _)| key).collect::<Vec<_>>());
                    }
                    Act::Read(bounds) => {
                        let mut found = keys(entries.range(slices(&bounds)));
                        let rows = model.range::<[u8], _>(slices(&bounds));
                        prop_assert_eq!(&found, &rows.map(|(key, _)| key.clone()).collect::<Vec<_>>());
                        found.reverse();
                        prop_assert_eq!(found, keys(entries.range(slices(&bounds)).rev()));
                    }
                }
                prop_assert_eq!(entries.len(), model.len());
                prop_assert!(entries.tails.values().all(|tail| tail.len() > 0));
            }
            prop_assert_eq!(keys(entries.iter()), model.keys().cloned().collect::<Vec<_>>());
            prop_assert!(model.iter().all(|(key, entry)| entries.get(key) == Some(entry)));
            prop_assert!(entries.get(b"never").is_none());
        }
    }

    #[test]
    fn a_long_list_that_gets_a_row_in_between_becomes_a_tree() {
        let mut entries = Entries::default();
        let key = |number: usize| Key::from_slice(&[&[7; 16][..], &number.to_be_bytes()].concat()[..]);
        for number in (0..3 * MAX_UNORDERED_LIST).map(|number| 2 * number) {
            entries.insert(key(number), Entry::Deleted);
        }
        assert!(matches!(entries.tails.values().next(), Some(Tail::List(_))));
        assert_eq!(entries.insert(key(2), Entry::InBase), Some(Entry::Deleted));
        entries.insert(key(3), Entry::Deleted);
        assert!(matches!(entries.tails.values().next(), Some(Tail::Tree(_))));
        assert_eq!(entries.len(), 3 * MAX_UNORDERED_LIST + 1);
        assert_eq!(entries.get(&key(2)), Some(&Entry::InBase));
        assert!(entries.iter().map(|(key, _)| key).is_sorted());
    }
}
