//! The file of an export. It may come from anywhere: each part has a bound, which is looked at before any of it is read,
//! and what it says is checked again where it is unpacked.
//!
//! `longhaul task\n`, a version byte, then parts: `kind u8, length u64 LE, bytes`. The last is of kind 0: the BLAKE3 of
//! all before it. Kinds: 1 head (JSON), 2 component, 3 task (postcard), 4 records, 5 an operation (postcard; any number),
//! 6 checkpoint (postcard; at most one).

use std::io::Read;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::PackError;
use super::task::{Exported, ExportedHead, PackedCheckpoint, PackedOp, PackedTask};
use crate::limits;
use crate::task::Variable;

const MAGIC: &[u8] = b"longhaul task\n";
const VERSION: u8 = 1;

const END: u8 = 0;
const HEAD: u8 = 1;
const COMPONENT: u8 = 2;
const TASK: u8 = 3;
const RECORDS: u8 = 4;
const OP: u8 = 5;
const CHECKPOINT: u8 = 6;
/// Only where the task sees one.
const ENVIRONMENT: u8 = 7;

/// What a part is called, and how many bytes it may have.
fn bound(kind: u8) -> Option<(&'static str, u64)> {
    Some(match kind {
        END => ("the end", 32),
        HEAD => ("the head", limits::MAX_PACKED_HEAD_BYTES),
        COMPONENT => ("the component", limits::MAX_COMPONENT_BYTES as u64),
        TASK => ("the task", limits::MAX_PACKED_TASK_BYTES),
        RECORDS => ("the journal", limits::MAX_PACKED_RECORDS_BYTES),
        OP => ("an operation", limits::MAX_PACKED_OP_BYTES),
        CHECKPOINT => ("the checkpoint", limits::MAX_PACKED_CHECKPOINT_BYTES),
        ENVIRONMENT => ("the environment", limits::MAX_PACKED_ENVIRONMENT_BYTES),
        _ => return None,
    })
}

impl Exported {
    /// The file's bytes.
    ///
    /// # Errors
    /// [`PackError::TooLarge`] where a part has more than is read again.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PackError> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        let head = serde_json::to_vec(&self.head).map_err(|error| PackError::damaged("the head", error))?;
        put(&mut out, HEAD, &head)?;
        put(&mut out, COMPONENT, &self.component)?;
        put(&mut out, TASK, &encoded("the task", &self.task)?)?;
        put(&mut out, RECORDS, &self.records)?;
        if self.ops.len() > limits::MAX_PACKED_OPS {
            return Err(too_many_ops(self.ops.len()));
        }
        for op in &self.ops {
            put(&mut out, OP, &encoded("an operation", op)?)?;
        }
        if let Some(checkpoint) = &self.checkpoint {
            put(&mut out, CHECKPOINT, &encoded("the checkpoint", checkpoint)?)?;
        }
        if !self.environment.is_empty() {
            put(&mut out, ENVIRONMENT, &encoded("the environment", &self.environment)?)?;
        }
        let hash = *blake3::hash(&out).as_bytes();
        put(&mut out, END, &hash)?;
        Ok(out)
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(input: impl Read) -> Result<Self, PackError> {
        let mut reader = Reader { input, hasher: blake3::Hasher::new() };
        let mut begin = [0; MAGIC.len() + 1];
        reader.fill(&mut begin, "its beginning").map_err(|error| match error {
            PackError::CutOff(_) => PackError::NotOne,
            error => error,
        })?;
        match begin.split_last() {
            Some((&VERSION, MAGIC)) => {}
            Some((found, MAGIC)) => return Err(PackError::Version { found: *found, known: VERSION }),
            _ => return Err(PackError::NotOne),
        }
        let mut parts = Parts::default();
        loop {
            let so_far = reader.hasher.finalize();
            let (kind, bytes) = reader.part()?;
            if kind == END {
                if bytes != so_far.as_bytes() {
                    return Err(PackError::damaged("the file", "its checksum is another one"));
                }
                break;
            }
            parts.add(kind, bytes)?;
        }
        if reader.input.read(&mut [0])? > 0 {
            return Err(PackError::damaged("the file", "something stands behind its end"));
        }
        parts.whole()
    }
}

#[derive(Default)]
struct Parts {
    head: Option<ExportedHead>,
    component: Option<Vec<u8>>,
    task: Option<PackedTask>,
    records: Option<Vec<u8>>,
    ops: Vec<PackedOp>,
    op_bytes: u64,
    checkpoint: Option<PackedCheckpoint>,
    environment: Option<Vec<Variable>>,
}

impl Parts {
    fn add(&mut self, kind: u8, bytes: Vec<u8>) -> Result<(), PackError> {
        let was_there = match kind {
            HEAD => {
                let head = serde_json::from_slice(&bytes);
                self.head.replace(head.map_err(|error| PackError::damaged("the head", error))?).is_some()
            }
            COMPONENT => self.component.replace(bytes).is_some(),
            TASK => self.task.replace(decoded("the task", &bytes)?).is_some(),
            RECORDS => self.records.replace(bytes).is_some(),
            CHECKPOINT => self.checkpoint.replace(decoded("the checkpoint", &bytes)?).is_some(),
            ENVIRONMENT => self.environment.replace(decoded("the environment", &bytes)?).is_some(),
            _ => {
                self.op_bytes = self.op_bytes.saturating_add(bytes.len() as u64);
                if self.op_bytes > limits::MAX_PACKED_RECORDS_BYTES {
                    return Err(PackError::TooLarge {
                        what: "all operations together",
                        found: self.op_bytes,
                        limit: limits::MAX_PACKED_RECORDS_BYTES,
                    });
                }
                self.ops.push(decoded("an operation", &bytes)?);
                if self.ops.len() > limits::MAX_PACKED_OPS {
                    return Err(too_many_ops(self.ops.len()));
                }
                false
            }
        };
        if was_there { Err(PackError::damaged("the file", "a part is there twice")) } else { Ok(()) }
    }

    fn whole(self) -> Result<Exported, PackError> {
        let missing = || PackError::damaged("the file", "a part is missing");
        Ok(Exported {
            head: self.head.ok_or_else(missing)?,
            component: self.component.ok_or_else(missing)?,
            task: self.task.ok_or_else(missing)?,
            records: self.records.ok_or_else(missing)?,
            ops: self.ops,
            checkpoint: self.checkpoint,
            environment: self.environment.unwrap_or_default(),
        })
    }
}

struct Reader<R> {
    input: R,
    hasher: blake3::Hasher,
}

impl<R: Read> Reader<R> {
    fn part(&mut self) -> Result<(u8, Vec<u8>), PackError> {
        let mut begin = [0; 9];
        self.fill(&mut begin, "the head of a part")?;
        let [kind, length @ ..] = begin;
        let unknown = || PackError::damaged("the file", format!("there is no part of kind {kind}"));
        let (what, limit) = bound(kind).ok_or_else(unknown)?;
        let length = u64::from_le_bytes(length);
        check(what, length, limit)?;
        // It grows as it is read: the length may be a lie.
        let mut bytes = Vec::new();
        self.input.by_ref().take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(PackError::CutOff(what));
        }
        self.hasher.update(&bytes);
        Ok((kind, bytes))
    }

    fn fill(&mut self, bytes: &mut [u8], what: &'static str) -> Result<(), PackError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => PackError::CutOff(what),
            _ => PackError::Io(error),
        })?;
        self.hasher.update(bytes);
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) -> Result<(), PackError> {
    let (what, limit) = bound(kind).unwrap_or(("a part", 0));
    check(what, bytes.len() as u64, limit)?;
    out.push(kind);
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

fn check(what: &'static str, found: u64, limit: u64) -> Result<(), PackError> {
    if found > limit { Err(PackError::TooLarge { what, found, limit }) } else { Ok(()) }
}

fn too_many_ops(found: usize) -> PackError {
    PackError::damaged("the file", format!("it has {found} operations, more than {}", limits::MAX_PACKED_OPS))
}

fn encoded(what: &'static str, value: &impl Serialize) -> Result<Vec<u8>, PackError> {
    postcard::to_stdvec(value).map_err(|error| PackError::damaged(what, error))
}

fn decoded<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, PackError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(PackError::damaged(what, "something stands behind it")),
        Err(error) => Err(PackError::damaged(what, error)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::task::PackedState;
    use super::*;
    use crate::task::{ComponentId, TaskId};

    pub fn exported() -> Exported {
        let head = ExportedHead {
            longhaul: "0.1.0".into(),
            redacted: false,
            task: "t".into(),
            tool: "tool".into(),
            definition: None,
            component: ComponentId::of_bytes(b"bytes").to_string(),
            state: "failed".into(),
            reason: Some("trap".into()),
            error: None,
            attempt: 1,
            records: 2,
            first_record: 0,
            created_at: 1,
            exported_at: 2,
        };
        let op = PackedOp { number: 0, at: 0, hash: 7, sends: 0, state: PackedState::Done(vec![1, 2]) };
        Exported {
            head,
            component: b"bytes".to_vec(),
            task: PackedTask {
                id: TaskId::new(1, &[1; 10]),
                binding: "tool:x".into(),
                arguments: "{\"word\": \"Paris\"}".into(),
                limits: Default::default(),
                grant: Default::default(),
                effects: Default::default(),
                seed: [3; 32],
                asked: 0,
                keys: Vec::new(),
                asked_by: Vec::new(),
                reports: 0,
                log_end: None,
                awake_nanos: 0,
                logical_nanos: 0,
            },
            records: vec![0, 1, 0, 0, 1, 0],
            ops: vec![op],
            environment: vec![("LANG".into(), "en".into())],
            checkpoint: None,
        }
    }

    #[test]
    fn a_file_comes_back() {
        let exported = exported();
        let bytes = exported.to_bytes().expect("a file");
        assert_eq!(Exported::read(&bytes[..]).expect("read"), exported);
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_found() {
        let bytes = exported().to_bytes().expect("a file");
        for at in 0..bytes.len() {
            assert!(Exported::read(&bytes[..at]).is_err(), "cut at {at}");
            let mut changed = bytes.clone();
            changed[at] ^= 0x40;
            assert!(Exported::read(&changed[..]).is_err(), "changed at {at}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(Exported::read(&longer[..]).is_err());
    }

    #[test]
    fn a_part_is_not_read_past_its_bound() {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        for (kind, length) in
            [(HEAD, u64::MAX), (COMPONENT, limits::MAX_COMPONENT_BYTES as u64 + 1), (TASK, 1 << 40)]
        {
            let mut file = bytes.clone();
            file.push(kind);
            file.extend_from_slice(&length.to_le_bytes());
            // What it promises never comes: a reader that asked for the memory first would not get here.
            let found = Exported::read((&file[..]).chain(std::io::repeat(0)));
            assert!(matches!(found, Err(PackError::TooLarge { .. })), "{kind}");
        }
        let mut file = bytes.clone();
        file.extend_from_slice(&[COMPONENT, 200, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert!(matches!(Exported::read(&file[..]), Err(PackError::CutOff("the component"))));
        let mut file = bytes.clone();
        file.extend_from_slice(&[99, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(matches!(Exported::read(&file[..]), Err(PackError::Damaged { .. })));
        bytes[MAGIC.len()] = 9;
        assert!(matches!(Exported::read(&bytes[..]), Err(PackError::Version { found: 9, .. })));
        assert!(matches!(Exported::read(&b"no such thing at all"[..]), Err(PackError::NotOne)));
    }
}
