use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;

const INLINE_BYTES: usize = 30;

/// A row's key. Short ones, which most are, lie where they are compared: a map of them that is searched
/// follows no pointer a key, which is half of what an insertion costs.
#[derive(Clone)]
pub(super) enum Key {
    Inline { length: u8, bytes: [u8; INLINE_BYTES] },
    Heap(Box<[u8]>),
}

const _: () = assert!(size_of::<Key>() == 32);

impl From<&[u8]> for Key {
    fn from(key: &[u8]) -> Self {
        if key.len() > INLINE_BYTES {
            return Self::Heap(key.into());
        }
        let mut bytes = [0; INLINE_BYTES];
        bytes[..key.len()].copy_from_slice(key);
        Self::Inline { length: key.len() as u8, bytes }
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Self::Heap(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self
    }
}

/// The bytes of an inline key as numbers that sort as they do; the last two overlap.
#[inline]
fn words(bytes: &[u8; INLINE_BYTES]) -> [u64; 4] {
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_be_bytes(word)
    };
    [word(0), word(8), word(16), word(INLINE_BYTES - 8)]
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            // What is behind the end is zero, so that only keys that end in zeros are told apart by length.
            (Self::Inline { length, bytes }, Self::Inline { length: other_length, bytes: other }) => {
                words(bytes).cmp(&words(other)).then(length.cmp(other_length))
            }
            _ => (**self).cmp(&**other),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_bytes_wherever_they_lie() {
        let ends_in_zero = [&[b'a'; 29][..], &[0]].concat();
        let bytes = [
            &b""[..],
            b"\0",
            b"\0\0",
            b"a",
            b"a\0",
            b"a\0\0\0\0\0\0\0\0b",
            b"a\x01",
            b"aaaaaaaa",
            b"aaaaaaaa\0",
            &[b'a'; 23],
            &[b'a'; 29],
            &ends_in_zero,
            &[b'a'; 30],
            &[b'a'; 31],
            &[b'a'; 40],
            b"b",
            b"\xff",
        ];
        let keys: Vec<Key> = bytes.iter().map(|key| Key::from(*key)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        assert!(keys.iter().zip(bytes).all(|(key, bytes)| **key == *bytes));
    }
}
