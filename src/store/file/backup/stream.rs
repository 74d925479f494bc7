//! The bytes of a backup: records, each with its kind and length, and a digest of all at the end.

use std::io::{self, Read, Write};

use super::error::BackupError;
use super::summary::BackupSummary;
use crate::limits::MAX_BACKUP_RECORD_BYTES;

const MAGIC: [u8; 16] = *b"longhaul-backup\n";
const VERSION: u8 = 1;
const DIGEST_BYTES: usize = 32;

/// Kinds of records, in the order in which they come.
pub(super) const HEAD: u8 = 1;
pub(super) const RUN: u8 = 2;
pub(super) const LOG: u8 = 3;
pub(super) const END: u8 = 4;
/// In the place of the rest: why there is none, in words.
pub(super) const UNFINISHED: u8 = 5;

/// The first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::file) struct Head {
    /// Of the store.
    pub format: u32,
    pub boot: u64,
    pub made_at: u64,
    pub folded: u64,
    pub base_bytes: u64,
}

/// What was counted by the last record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub rows: u64,
    pub log_rows: u64,
    pub last_lsn: u64,
}

impl Counts {
    pub fn summary(self, head: &Head, bytes: u64, digest: [u8; DIGEST_BYTES]) -> BackupSummary {
        let Self { rows, log_rows, last_lsn } = self;
        BackupSummary { made_at: head.made_at, boot: head.boot, rows, log_rows, last_lsn, bytes, digest }
    }
}

/// Writes records; only one that is ended is a backup.
pub(super) struct Output<W> {
    out: W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Output<W> {
    pub fn begin(out: W, head: &Head) -> Result<Self, BackupError> {
        let mut output = Self { out, hasher: blake3::Hasher::new(), bytes: 0 };
        output.put(&MAGIC)?;
        output.put(&[VERSION])?;
        let Head { format, boot, made_at, folded, base_bytes } = *head;
        output.record(
            HEAD,
            &[
                &format.to_le_bytes(),
                &boot.to_le_bytes(),
                &made_at.to_le_bytes(),
                &folded.to_le_bytes(),
                &base_bytes.to_le_bytes(),
            ],
        )?;
        Ok(output)
    }

    /// The payload is given in parts.
    pub fn record(&mut self, kind: u8, parts: &[&[u8]]) -> Result<(), BackupError> {
        self.announce(kind, parts.iter().map(|part| part.len()).sum())?;
        parts.iter().try_for_each(|part| self.put(part))
    }

    pub fn end(mut self, counts: Counts) -> Result<(u64, [u8; DIGEST_BYTES]), BackupError> {
        let numbers = [counts.rows, counts.log_rows, counts.last_lsn].map(u64::to_le_bytes);
        self.announce(END, numbers.as_flattened().len() + DIGEST_BYTES)?;
        self.put(numbers.as_flattened())?;
        let digest = *self.hasher.finalize().as_bytes();
        self.put(&digest)?;
        self.out.flush().map_err(BackupError::write)?;
        Ok((self.bytes, digest))
    }

    /// Tells the reader why there is no end. Where that fails too, what is missing says enough.
    pub fn give_up(mut self, why: &BackupError) {
        let _ = self.record(UNFINISHED, &[why.to_string().as_bytes()]);
        let _ = self.out.flush();
    }

    fn announce(&mut self, kind: u8, length: usize) -> Result<(), BackupError> {
        if length > MAX_BACKUP_RECORD_BYTES {
            return Err(BackupError::altered("a row of the store", format!("it has {length} bytes")));
        }
        self.put(&[kind])?;
        self.put(&(length as u32).to_le_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(BackupError::write)
    }
}

const _: () = assert!(MAX_BACKUP_RECORD_BYTES < u32::MAX as usize);

/// Reads records; believes nothing that it has not seen whole.
pub(super) struct Input<R> {
    input: R,
    hasher: blake3::Hasher,
    pub bytes: u64,
    payload: Vec<u8>,
}

impl<R: Read> Input<R> {
    pub fn begin(input: R) -> Result<(Self, Head), BackupError> {
        let mut input = Self { input, hasher: blake3::Hasher::new(), bytes: 0, payload: Vec::new() };
        let magic: [u8; 16] = match input.array() {
            Err(BackupError::CutOff { .. }) => return Err(BackupError::Foreign),
            read => read?,
        };
        if magic != MAGIC {
            return Err(BackupError::Foreign);
        }
        match input.array()? {
            [VERSION] => {}
            [found] => return Err(BackupError::Newer { found, supported: VERSION }),
        }
        let (kind, payload) = input.next()?;
        let head = match kind {
            HEAD => head(payload),
            UNFINISHED => return Err(unfinished(payload)),
            _ => None,
        };
        let head = head.ok_or_else(|| BackupError::altered("its head", "it does not read as one"))?;
        Ok((input, head))
    }

    /// The next record that is none of the last.
    pub fn next(&mut self) -> Result<(u8, &[u8]), BackupError> {
        let [kind] = self.array()?;
        let length = u32::from_le_bytes(self.array()?) as usize;
        if length > MAX_BACKUP_RECORD_BYTES {
            return Err(BackupError::altered(self.place(), format!("a record of {length} bytes")));
        }
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        let digest_bytes = if kind == END { DIGEST_BYTES.min(length) } else { 0 };
        self.fill(&mut payload, length - digest_bytes)?;
        self.hasher.update(&payload);
        let digest = *self.hasher.finalize().as_bytes();
        self.fill(&mut payload, digest_bytes)?;
        self.bytes += length as u64;
        if kind == END && !payload.ends_with(&digest) {
            return Err(BackupError::altered("its end", "the digest is not that of what was read"));
        }
        self.payload = payload;
        Ok((kind, &self.payload))
    }

    /// Nothing may stand behind the end.
    pub fn finish(mut self, last: &[u8]) -> Result<(Counts, u64, [u8; DIGEST_BYTES]), BackupError> {
        let odd = || BackupError::altered("its end", "it does not read as one");
        let (numbers, digest) = last.split_last_chunk::<DIGEST_BYTES>().ok_or_else(odd)?;
        let (numbers, rest) = numbers.as_chunks::<8>();
        let (&[rows, log_rows, last_lsn], []) = (numbers, rest) else { return Err(odd()) };
        let [rows, log_rows, last_lsn] = [rows, log_rows, last_lsn].map(u64::from_le_bytes);
        match self.input.read(&mut [0]) {
            Ok(0) => Ok((Counts { rows, log_rows, last_lsn }, self.bytes, *digest)),
            Ok(_) => Err(BackupError::altered("its end", "more stands behind it")),
            Err(error) => Err(BackupError::Read(error.into())),
        }
    }

    pub fn place(&self) -> String {
        format!("byte {}", self.bytes)
    }

    fn fill(&mut self, payload: &mut Vec<u8>, length: usize) -> Result<(), BackupError> {
        // Grows with what is there, not with what is claimed.
        let read = self.input.by_ref().take(length as u64).read_to_end(payload);
        match read.map_err(|error| BackupError::Read(error.into()))? {
            read if read == length => Ok(()),
            read => Err(BackupError::CutOff { bytes: self.bytes + read as u64 }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => BackupError::CutOff { bytes: self.bytes },
            _ => BackupError::Read(error.into()),
        })?;
        self.hasher.update(&bytes);
        self.bytes += N as u64;
        Ok(bytes)
    }
}

fn head(payload: &[u8]) -> Option<Head> {
    let (format, numbers) = payload.split_first_chunk::<4>()?;
    let (&[boot, made_at, folded, base_bytes], []) = numbers.as_chunks::<8>() else { return None };
    let [boot, made_at, folded, base_bytes] = [boot, made_at, folded, base_bytes].map(u64::from_le_bytes);
    Some(Head { format: u32::from_le_bytes(*format), boot, made_at, folded, base_bytes })
}

pub(super) fn unfinished(payload: &[u8]) -> BackupError {
    BackupError::Unfinished(String::from_utf8_lossy(payload).into_owned())
}
