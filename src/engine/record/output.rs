//! Named outputs: partial results that only grow.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::engine::journal::records::put_varint;
use crate::engine::memory::entry::Live;
use crate::engine::rows;
use crate::limits;
use crate::store::Space;
use crate::task::{OutputMeta, Status, TaskId};

/// One step of a guest on one of its outputs.
#[derive(Clone, Copy, Debug)]
pub enum OutputOp<'a> {
    /// A whole output at once.
    Write {
        name: &'a str,
        mime_type: &'a str,
        data: &'a [u8],
    },
    Open {
        name: &'a str,
        mime_type: &'a str,
    },
    Append {
        name: &'a str,
        data: &'a [u8],
    },
    Close {
        name: &'a str,
    },
}

/// Why it was not done; for the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum OutputError {
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Limit(String),
    #[error("{0}")]
    NotFound(String),
}

/// What the journal keeps of it: enough to know each output's length at any record.
#[derive(Debug, Serialize, Deserialize)]
pub struct OutputRecord {
    pub name: String,
    pub mime_type: String,
    pub bytes: u64,
    pub done: bool,
    answer: Result<(), OutputError>,
}

/// The same where it is written: its texts stand elsewhere. Field by field as [`OutputRecord`], whose bytes these are.
#[derive(Serialize)]
struct OutputRecordRef<'a> {
    name: &'a str,
    mime_type: &'a str,
    bytes: u64,
    done: bool,
    answer: &'a Result<(), OutputError>,
}

/// A record's payload, of which most are short.
pub(in crate::engine) type RecordBytes = SmallVec<[u8; 128]>;

impl OutputRecord {
    /// Whether it changed the output.
    pub fn is_done_well(&self) -> bool {
        self.answer.is_ok()
    }
}

impl OutputOp<'_> {
    pub fn name(&self) -> &str {
        match self {
            Self::Write { name, .. }
            | Self::Open { name, .. }
            | Self::Append { name, .. }
            | Self::Close { name } => name,
        }
    }

    pub(in crate::engine) fn describe(&self) -> String {
        let verb = match self {
            Self::Write { .. } => "write",
            Self::Open { .. } => "open",
            Self::Append { .. } => "append to",
            Self::Close { .. } => "close",
        };
        format!("{verb} output {:?}", self.name())
    }

    /// `what` is how it is described.
    pub(in crate::engine) fn hash(&self, what: &str) -> u64 {
        let parts: [&[u8]; 3] = match self {
            Self::Write { name, mime_type, data } => [name.as_bytes(), mime_type.as_bytes(), data],
            Self::Open { name, mime_type } => [name.as_bytes(), mime_type.as_bytes(), b""],
            Self::Append { name, data } => [name.as_bytes(), b"", data],
            Self::Close { name } => [name.as_bytes(), b"", b""],
        };
        call_hash(what, &parts)
    }
}

/// 64 bits that stand for a call and its arguments. A divergence check, not a defence: the journal is ours.
pub fn call_hash(what: &str, parts: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(what.as_bytes());
    let mut length: SmallVec<[u8; 16]> = SmallVec::new();
    for part in parts {
        length.clear();
        put_varint(&mut length, part.len() as u64);
        hasher.update(&length).update(part);
    }
    let hash = hasher.finalize();
    hash.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

/// Changes the status and adds the bytes to what the next commit writes.
pub(in crate::engine) fn apply(
    id: TaskId,
    status: &mut Status,
    live: &mut Live,
    op: &OutputOp<'_>,
) -> Result<(), OutputError> {
    match op {
        OutputOp::Write { name, mime_type, data } => {
            check_growth(status, data.len())?;
            let number = open(status, name, mime_type)?;
            grow(id, status, live, number, data);
            status.outputs[number].done = true;
        }
        OutputOp::Open { name, mime_type } => {
            open(status, name, mime_type)?;
        }
        OutputOp::Append { name, data } => {
            let number = find_open(status, name)?;
            check_growth(status, data.len())?;
            grow(id, status, live, number, data);
        }
        OutputOp::Close { name } => {
            let number = find_open(status, name)?;
            status.outputs[number].done = true;
        }
    }
    Ok(())
}

pub(in crate::engine) fn record(
    op: &OutputOp<'_>,
    status: &Status,
    answer: &Result<(), OutputError>,
) -> RecordBytes {
    let meta = status.outputs.iter().find(|output| output.name == op.name());
    let record = OutputRecordRef {
        name: op.name(),
        mime_type: meta.map_or("", |meta| meta.mime_type.as_str()),
        bytes: meta.map_or(0, |meta| meta.bytes),
        done: meta.is_some_and(|meta| meta.done),
        answer,
    };
    postcard::to_extend(&record, RecordBytes::new()).unwrap_or_default()
}

pub(in crate::engine) fn decode(payload: &[u8]) -> Option<OutputRecord> {
    postcard::from_bytes(payload).ok()
}

pub(in crate::engine) fn decode_replayed(payload: &[u8]) -> Option<Result<(), OutputError>> {
    decode(payload).map(|record| record.answer)
}

fn open(status: &mut Status, name: &str, mime_type: &str) -> Result<usize, OutputError> {
    if name.is_empty() || name.len() > limits::MAX_OUTPUT_NAME_BYTES || name.chars().any(char::is_control) {
        let bound = limits::MAX_OUTPUT_NAME_BYTES;
        return Err(OutputError::Invalid(format!(
            "{name:?} is no name for an output: 1 to {bound} bytes of text without control characters"
        )));
    }
    if name == "log" {
        return Err(OutputError::Invalid("'log' is the task's log: choose another name".to_owned()));
    }
    let is_type = mime_type.len() <= 127
        && mime_type.split_once('/').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
    if !is_type || !mime_type.is_ascii() || mime_type.chars().any(char::is_control) {
        return Err(OutputError::Invalid(format!("{mime_type:?} is no media type such as text/plain")));
    }
    if status.outputs.iter().any(|output| output.name == name) {
        return Err(OutputError::Invalid(format!("the output {name:?} is there already: append to it")));
    }
    if status.outputs.len() >= limits::MAX_OUTPUTS {
        return Err(OutputError::Limit(format!("a task has at most {} outputs", limits::MAX_OUTPUTS)));
    }
    status.outputs.push(OutputMeta {
        name: name.to_owned(),
        mime_type: mime_type.to_owned(),
        bytes: 0,
        done: false,
    });
    Ok(status.outputs.len() - 1)
}

fn find_open(status: &Status, name: &str) -> Result<usize, OutputError> {
    let Some(number) = status.outputs.iter().position(|output| output.name == name) else {
        return Err(OutputError::NotFound(format!("there is no output {name:?}: open it first")));
    };
    if status.outputs[number].done {
        return Err(OutputError::Invalid(format!("the output {name:?} is closed")));
    }
    Ok(number)
}

fn check_growth(status: &Status, bytes: usize) -> Result<(), OutputError> {
    let present: u64 = status.outputs.iter().map(|output| output.bytes).sum();
    if present.saturating_add(bytes as u64) > limits::MAX_OUTPUT_BYTES {
        return Err(OutputError::Limit(format!(
            "all outputs together are at most {} bytes",
            limits::MAX_OUTPUT_BYTES
        )));
    }
    Ok(())
}

fn grow(id: TaskId, status: &mut Status, live: &mut Live, number: usize, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let meta = &mut status.outputs[number];
    live.writes.push((Space::Output, rows::output_key(id, number, meta.bytes).to_vec(), data.to_vec()));
    meta.bytes += data.len() as u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_as_it_is_read() {
        let name = "n".repeat(200);
        let answers = [Ok(()), Err(OutputError::Limit("too much".to_owned()))];
        for (name, answer) in [("out", &answers[0]), (name.as_str(), &answers[1])] {
            let mut status = Status::new(0, [0; 32]);
            let mime_type = "text/plain".to_owned();
            status.outputs.push(OutputMeta { name: name.to_owned(), mime_type, bytes: 300, done: true });
            let written = record(&OutputOp::Close { name }, &status, answer);
            let read = decode(&written).expect("a record");
            assert_eq!(written.as_slice(), postcard::to_stdvec(&read).expect("encoded"));
            assert_eq!((read.name.as_str(), read.mime_type.as_str()), (name, "text/plain"));
            assert_eq!((read.bytes, read.done, &read.answer), (300, true, answer));
        }
    }

    /// Journals on disk have them.
    #[test]
    fn hashes_of_calls_are_what_they_were() {
        let op = OutputOp::Write { name: "out", mime_type: "text/plain", data: &[7; 300] };
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"write output \"out\"\x03out\x0atext/plain\xac\x02").update(&[7; 300]);
        let mut first = [0; 8];
        hasher.finalize_xof().fill(&mut first);
        assert_eq!(op.hash(&op.describe()), u64::from_le_bytes(first));
        assert_eq!(call_hash("wait", &[]), u64::from_le_bytes(first_bytes(b"wait")));
    }

    fn first_bytes(of: &[u8]) -> [u8; 8] {
        blake3::hash(of).as_bytes()[..8].try_into().expect("eight bytes")
    }
}
