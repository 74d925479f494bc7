//! What a call came to, as it stands in the journal.

use serde::{Deserialize, Serialize};

use crate::files::{Answer, Call, FileError};
use crate::limits;
use crate::sandbox::stop::Stop;

/// A format on disk.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recorded {
    Answered(Answer),
    Failed(FileError),
    /// Of a long read.
    Hashed {
        length: u64,
        hash: [u8; 32],
    },
}

impl Recorded {
    pub fn of(answered: &Result<Answer, FileError>) -> Self {
        match answered {
            Ok(Answer::Bytes(bytes)) if bytes.len() > limits::MAX_RECORDED_READ_BYTES => {
                Self::Hashed { length: bytes.len() as u64, hash: *blake3::hash(bytes).as_bytes() }
            }
            Ok(answer) => Self::Answered(answer.clone()),
            Err(error) => Self::Failed(*error),
        }
    }

    pub fn encode(&self) -> Result<Vec<u8>, Stop> {
        postcard::to_stdvec(self).map_err(|error| Stop::HostFault(error.to_string()))
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Stop> {
        postcard::from_bytes(bytes).map_err(|_| unreadable())
    }
}

pub fn unreadable() -> Stop {
    Stop::HostFault("the journal's record of a file is unreadable".to_owned())
}

/// A record for people.
pub fn describe(payload: &[u8]) -> Option<String> {
    Some(match postcard::from_bytes(payload).ok()? {
        Recorded::Failed(error) => error.to_string(),
        Recorded::Hashed { length, .. } => format!("{length} bytes, by their hash"),
        Recorded::Answered(answer) => match answer {
            Answer::Done => "done".to_owned(),
            Answer::Seen(stat) | Answer::SeenSince(stat, _) => format!("there, {} bytes", stat.size),
            Answer::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Answer::Text(_) => "a link".to_owned(),
            Answer::Entries(entries) => format!("{} entries", entries.len()),
        },
    })
}

/// What a call is about.
pub fn path(call: &Call) -> &str {
    match call {
        Call::Look { at, .. } | Call::SetTimes { at, .. } => &at.path,
        Call::Read { file, .. }
        | Call::Write { file, .. }
        | Call::Append { file, .. }
        | Call::SetSize { file, .. }
        | Call::Sync { file } => &file.path,
        Call::List { folder } => &folder.path,
        Call::Open { path, .. }
        | Call::ReadLink { path }
        | Call::MakeFolder { path }
        | Call::RemoveFolder { path }
        | Call::RemoveFile { path } => path,
        Call::Rename { to, .. } | Call::Link { to, .. } => to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_read_is_kept_whole_and_a_long_one_by_its_hash() {
        let most = limits::MAX_RECORDED_READ_BYTES;
        for (length, is_whole) in [(0, true), (most, true), (most + 1, false)] {
            let recorded = Recorded::of(&Ok(Answer::Bytes(vec![7; length])));
            assert_eq!(matches!(recorded, Recorded::Answered(_)), is_whole, "{length}");
            let bytes = recorded.encode().expect("bytes");
            assert_eq!(Recorded::decode(&bytes).ok().as_ref(), Some(&recorded));
            assert_eq!(bytes.len() < 64, length < 64 || !is_whole);
        }
        assert!(Recorded::decode(&[9, 9]).is_err());
        assert_ne!(
            Recorded::of(&Ok(Answer::Bytes(vec![1; most + 1]))),
            Recorded::of(&Ok(Answer::Bytes(vec![2; most + 1])))
        );
    }
}
