//! What a guest holds of a folder: descriptors, which are names and nothing open anywhere, and lists.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::fault::Done;
use crate::files::{Entry, FileError, FileKind, Identity, Named};
use crate::limits;

/// Where a file is that a guest has open. A guest that renames it, or a folder on the way to it, has it open still.
#[derive(Debug)]
pub struct Place {
    pub folder: u32,
    path: Mutex<String>,
    /// `None` of the granted folder itself.
    identity: Option<Identity>,
}

impl Place {
    pub fn path(&self) -> String {
        self.path.lock().clone()
    }

    pub fn named(&self) -> Named {
        Named { path: self.path(), identity: self.identity }
    }
}

pub struct Descriptor {
    pub place: Arc<Place>,
    pub kind: FileKind,
    pub read: bool,
    pub write: bool,
}

impl Descriptor {
    pub fn file(&self) -> Done<&Arc<Place>> {
        match self.kind {
            FileKind::File => Ok(&self.place),
            FileKind::Folder => Err(FileError::IsDirectory.into()),
            FileKind::Link | FileKind::Other => Err(FileError::BadDescriptor.into()),
        }
    }

    pub fn folder(&self) -> Done<&Arc<Place>> {
        if self.kind == FileKind::Folder { Ok(&self.place) } else { Err(FileError::NotDirectory.into()) }
    }

    /// The path in the granted folder of one that is within this folder.
    pub fn within(&self, path: &str) -> Done<String> {
        let base = self.folder()?.path();
        match path {
            "" => return Err(FileError::NoEntry.into()),
            _ if path.starts_with('/') => return Err(FileError::NotPermitted.into()),
            _ if path.contains('\0') => return Err(FileError::Invalid.into()),
            _ => {}
        }
        let mut depth = 0i64;
        for part in path.split('/') {
            depth += match part {
                "" | "." => 0,
                ".." => -1,
                _ => 1,
            };
            // The kernel holds to the granted folder; a descriptor is of a folder within it.
            if depth < 0 {
                return Err(FileError::NotPermitted.into());
            }
        }
        let whole = if base.is_empty() { path.to_owned() } else { format!("{base}/{path}") };
        if whole.len() > limits::MAX_FILE_PATH_BYTES {
            return Err(FileError::NameTooLong.into());
        }
        Ok(whole)
    }
}

/// All places that a guest has open.
#[derive(Debug, Default)]
pub struct Places(Vec<Weak<Place>>);

impl Places {
    pub fn add(&mut self, folder: u32, path: String, identity: Option<Identity>) -> Arc<Place> {
        self.0.retain(|place| place.strong_count() > 0);
        let place = Arc::new(Place { folder, path: Mutex::new(path), identity });
        self.0.push(Arc::downgrade(&place));
        place
    }

    pub fn renamed(&self, folder: u32, from: &str, to: &str) {
        let (from, to) = (from.trim_end_matches('/'), to.trim_end_matches('/'));
        for place in self.0.iter().filter_map(Weak::upgrade).filter(|place| place.folder == folder) {
            let mut path = place.path.lock();
            let rest = match path.strip_prefix(from) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.to_owned(),
                _ => continue,
            };
            *path = format!("{to}{rest}");
        }
    }
}

/// What all lists that a guest has open take.
#[derive(Debug, Default)]
pub struct Lists(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    lists: usize,
    bytes: usize,
}

/// A list of a folder, with what is left to read of it.
#[derive(Debug)]
pub struct Listing {
    rest: std::vec::IntoIter<Entry>,
    bytes: usize,
    of: Arc<Lists>,
}

impl Listing {
    /// Or why the guest may not have it open besides those that it has.
    pub fn open(of: &Arc<Lists>, entries: Vec<Entry>) -> Result<Self, FileError> {
        let bytes = entries.iter().map(|entry| size_of::<Entry>() + entry.name.len()).sum();
        let mut taken = of.0.lock();
        let is_full = taken.lists >= limits::MAX_OPEN_LISTS
            || taken.bytes.saturating_add(bytes) > limits::MAX_OPEN_LISTS_BYTES;
        if is_full {
            return Err(FileError::Overflow);
        }
        (taken.lists, taken.bytes) = (taken.lists + 1, taken.bytes + bytes);
        drop(taken);
        Ok(Self { rest: entries.into_iter(), bytes, of: of.clone() })
    }

    pub fn next_entry(&mut self) -> Option<Entry> {
        self.rest.next()
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        let mut taken = self.of.0.lock();
        (taken.lists, taken.bytes) = (taken.lists - 1, taken.bytes - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fault::Fault;
    use super::*;

    fn folder(places: &mut Places, path: &str) -> Descriptor {
        let place = places.add(0, path.to_owned(), None);
        Descriptor { place, kind: FileKind::Folder, read: true, write: false }
    }

    #[test]
    fn a_path_stays_within_its_descriptor() {
        let mut places = Places::default();
        let (root, sub) = (folder(&mut places, ""), folder(&mut places, "a/b"));
        for (path, whole) in [("x", "a/b/x"), ("x/../y", "a/b/x/../y"), ("./x/", "a/b/./x/")] {
            assert_eq!(sub.within(path).ok().as_deref(), Some(whole));
            assert_eq!(root.within(path).ok().as_deref(), Some(path));
        }
        for path in ["..", "../b", "x/../../y", "/etc", "/", "", "a\0b"] {
            for descriptor in [&root, &sub] {
                assert!(matches!(descriptor.within(path), Err(Fault::Code(_))), "{path:?}");
            }
        }
    }

    #[test]
    fn what_lists_take_is_bounded_until_they_are_dropped() {
        let lists = Arc::default();
        let entries = |count: usize, length: usize| {
            vec![Entry { name: "x".repeat(length), kind: FileKind::File }; count]
        };
        let mut open: Vec<Listing> = (0..limits::MAX_OPEN_LISTS)
            .map(|_| Listing::open(&lists, entries(1, 1)).expect("it has room"))
            .collect();
        assert_eq!(Listing::open(&lists, entries(0, 0)).err(), Some(FileError::Overflow));
        open.pop();
        assert!(Listing::open(&lists, entries(0, 0)).is_ok(), "and dropped again");
        open.clear();

        let longest = || entries(limits::MAX_LISTED_ENTRIES, 255);
        let mut long: Vec<Listing> = std::iter::from_fn(|| Listing::open(&lists, longest()).ok()).collect();
        assert!((1..limits::MAX_OPEN_LISTS).contains(&long.len()), "{}", long.len());
        let taken: usize = long.iter().map(|list| list.bytes).sum();
        assert!(taken <= limits::MAX_OPEN_LISTS_BYTES);
        assert_eq!(long[0].next_entry().map(|entry| entry.name.len()), Some(255));
        // What was read of it takes its room still.
        assert_eq!(Listing::open(&lists, longest()).err(), Some(FileError::Overflow));
        long.pop();
        assert!(Listing::open(&lists, longest()).is_ok());
    }

    #[test]
    fn what_is_renamed_is_open_still() {
        let mut places = Places::default();
        let paths = ["a", "a/b", "ab", "a/b/c"].map(|path| places.add(0, path.to_owned(), None));
        let other = places.add(1, "a".to_owned(), None);
        places.renamed(0, "a/", "x/y");
        assert_eq!(paths.map(|place| place.path()), ["x/y", "x/y/b", "ab", "x/y/b/c"]);
        assert_eq!(other.path(), "a");
    }
}
