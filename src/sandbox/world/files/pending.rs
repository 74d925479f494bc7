//! What a stream took and has not written yet.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::descriptor::Place;
use crate::files::FileError;

pub struct Pending {
    pub place: Arc<Place>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where the next byte goes; `None` is the end of the file.
    offset: Option<u64>,
    taken: Bytes,
    failed: Option<FileError>,
}

impl Pending {
    /// `offset` is `None` where it appends.
    pub fn new(place: Arc<Place>, offset: Option<u64>) -> Self {
        Self { place, state: Mutex::new(State { offset, ..State::default() }) }
    }

    pub fn failed(&self) -> Option<FileError> {
        self.state.lock().failed
    }

    pub fn is_empty(&self) -> bool {
        self.state.lock().taken.is_empty()
    }

    pub fn put(&self, bytes: Bytes) {
        self.state.lock().taken = bytes;
    }

    /// The bytes, and where they go.
    pub fn take(&self) -> Option<(Option<u64>, Bytes)> {
        let mut state = self.state.lock();
        let taken = std::mem::take(&mut state.taken);
        (!taken.is_empty()).then_some((state.offset, taken))
    }

    pub fn wrote(&self, written: Result<usize, FileError>) {
        let mut state = self.state.lock();
        match written {
            Ok(length) => state.offset = state.offset.map(|offset| offset.saturating_add(length as u64)),
            Err(error) => state.failed = Some(error),
        }
    }
}
