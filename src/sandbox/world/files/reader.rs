//! A stream that reads a file.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use super::calls::Files;
use super::descriptor::Place;
use super::fault::Fault;
use crate::files::{Answer, Call, FileError};
use crate::limits;

pub struct Reader {
    files: Files,
    place: Arc<Place>,
    offset: u64,
    /// What was read ahead, live, for a guest that does not wait in its reads; it sees it only by a record.
    ahead: Option<Result<Answer, FileError>>,
}

impl Reader {
    pub fn new(files: Files, place: Arc<Place>, offset: u64) -> Self {
        Self { files, place, offset, ahead: None }
    }

    fn call(&self, size: usize, most: usize) -> Call {
        let length = u32::try_from(size.min(most)).unwrap_or(u32::MAX);
        Call::Read { file: self.place.named(), offset: self.offset, length }
    }

    /// `is_end` where nothing more comes, and not only nothing yet.
    fn taken(&mut self, answered: Result<Answer, FileError>, is_end: bool) -> StreamResult<Bytes> {
        match answered {
            Ok(Answer::Bytes(bytes)) if bytes.is_empty() && is_end => Err(StreamError::Closed),
            Ok(Answer::Bytes(bytes)) => {
                self.offset = self.offset.saturating_add(bytes.len() as u64);
                Ok(bytes.into())
            }
            // The end of the file, where a read does not wait.
            Ok(Answer::Done) => Err(StreamError::Closed),
            Ok(_) => Ok(Bytes::new()),
            Err(error) => Err(Fault::from(error).into()),
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        let replays = self.files.0.journal.task("files").is_ok_and(|task| task.is_replaying());
        if self.ahead.is_none() && !replays {
            let call = self.call(limits::MAX_RECORDED_READ_BYTES, limits::MAX_RECORDED_READ_BYTES);
            let ahead = self.files.live(self.place.folder, &call).await;
            // A wait can end no guest: where a folder cannot be asked, the read fails.
            self.ahead = Some(ahead.unwrap_or(Err(FileError::Io)));
        }
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let call = self.call(size, limits::MAX_RECORDED_READ_BYTES);
        let ahead = self.ahead.take();
        let answer = move || match ahead {
            Some(Ok(Answer::Bytes(bytes))) if bytes.is_empty() => Ok(Answer::Done),
            Some(Ok(Answer::Bytes(mut bytes))) => {
                bytes.truncate(size);
                Ok(Answer::Bytes(bytes))
            }
            Some(Err(error)) => Err(error),
            // Not there yet.
            _ => Ok(Answer::Bytes(Vec::new())),
        };
        let answered = self
            .files
            .seen_at_once(self.place.folder, &call, answer)
            .map_err(|stop| StreamError::Trap(stop.into()))?;
        self.taken(answered, false)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        self.ahead = None;
        let trap = |stop: crate::sandbox::stop::Stop| StreamError::Trap(stop.into());
        self.files.write_pending().await.map_err(trap)?;
        let call = self.call(size, limits::MAX_FILE_CALL_BYTES);
        let answered = self.files.seen(self.place.folder, call).await.map_err(trap)?;
        self.taken(answered, true)
    }
}
