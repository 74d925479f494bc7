//! The pieces of an answer that is not there whole: as they stand on disk, and as they are held against what comes when
//! the rest of it is asked for again.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::sandbox::egress::Failure;

/// Its first byte on disk.
const VERSION: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    Data(Vec<u8>),
    /// It was complete.
    End,
    /// There is no more of it, and why.
    Broken(Failure),
}

impl Piece {
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Data(_))
    }

    pub fn encode(&self) -> Result<Vec<u8>, String> {
        postcard::to_extend(self, vec![VERSION]).map_err(|error| error.to_string())
    }

    /// `None` where the bytes are no piece.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        postcard::from_bytes(rest).ok()
    }
}

/// What was read of an answer before its connection was lost: not held, but known again.
#[derive(Clone, Default)]
pub struct Read {
    bytes: u64,
    hasher: blake3::Hasher,
}

impl Read {
    pub fn add(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.hasher.update(piece);
    }

    /// For the answer to the same request, sent once more.
    pub fn again(&self) -> Again {
        Again { left: self.bytes, hasher: blake3::Hasher::new(), expected: self.hasher.finalize() }
    }
}

/// The answer does not begin as it did before.
#[derive(Debug, PartialEq, Eq)]
pub struct Differs;

/// Takes off what was read before. Nothing behind it is shown until all of that was the same.
pub struct Again {
    left: u64,
    hasher: blake3::Hasher,
    expected: blake3::Hash,
}

impl Again {
    /// What of these bytes was not read before, perhaps nothing.
    pub fn beyond(&mut self, mut piece: Bytes) -> Result<Bytes, Differs> {
        if self.left == 0 {
            return Ok(piece);
        }
        let known = usize::try_from(self.left).map_or(piece.len(), |left| left.min(piece.len()));
        let known = piece.split_to(known);
        self.hasher.update(&known);
        self.left -= known.len() as u64;
        if self.left == 0 && self.hasher.finalize() != self.expected {
            return Err(Differs);
        }
        Ok(piece)
    }

    /// It is complete: it must not be shorter than what was read.
    pub fn end(&self) -> Result<(), Differs> {
        if self.left == 0 { Ok(()) } else { Err(Differs) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    fn again(read: &[&str], comes: &[&str]) -> Result<String, Differs> {
        let mut before = Read::default();
        read.iter().for_each(|piece| before.add(piece.as_bytes()));
        let mut again = before.again();
        let mut beyond = Vec::new();
        for piece in comes {
            beyond.extend(again.beyond(Bytes::copy_from_slice(piece.as_bytes()))?);
        }
        again.end()?;
        Ok(String::from_utf8_lossy(&beyond).into_owned())
    }

    #[test]
    fn what_was_read_is_skipped_however_it_comes() {
        assert_eq!(again(&["ab", "cd"], &["a", "bcde", "f"]).as_deref(), Ok("ef"));
        assert_eq!(again(&["ab"], &["ab"]).as_deref(), Ok(""), "it had been read to its end");
        assert_eq!(again(&[], &["ab"]).as_deref(), Ok("ab"), "nothing had been read");
        assert_eq!(again(&[], &[]).as_deref(), Ok(""));
    }

    #[test]
    fn another_answer_is_not_taken_for_the_same() {
        assert_eq!(again(&["ab", "cd"], &["abce", "f"]), Err(Differs));
        assert_eq!(again(&["abcd"], &["abc"]), Err(Differs), "it is shorter");
        assert_eq!(again(&["abcd"], &[]), Err(Differs));
    }

    #[test]
    fn the_longest_piece_fits_its_row() {
        let longest = Piece::Data(vec![255; limits::MAX_STREAMED_PIECE_BYTES]).encode().unwrap();
        assert!(longest.len() <= limits::MAX_INLINE_PAYLOAD_BYTES, "{}", longest.len());
    }

    #[test]
    fn a_piece_is_read_as_it_was_written() {
        for piece in [Piece::Data(vec![0, 1, 2]), Piece::End, Piece::Broken(Failure::Incomplete)] {
            let bytes = piece.encode().unwrap();
            assert_eq!(Piece::decode(&bytes), Some(piece));
        }
        let mut newer = Piece::End.encode().unwrap();
        newer[0] += 1;
        assert_eq!((Piece::decode(&newer), Piece::decode(&[])), (None, None));
    }
}
