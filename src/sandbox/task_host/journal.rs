//! Its journal and its clock.

use std::sync::Arc;

use super::port::{Recorded, TaskHost};
use crate::engine::{Next, StepKind};
use crate::sandbox::wire::Request;

impl TaskHost {
    pub fn seed(&self) -> [u8; 32] {
        match self {
            Self::Here(recorder) => recorder.seed(),
            Self::There(remote) => remote.look(Request::Seed),
        }
    }

    pub fn created_at(&self) -> u64 {
        match self {
            Self::Here(recorder) => recorder.created_at(),
            Self::There(remote) => remote.look(Request::CreatedAt),
        }
    }

    pub fn now(&self) -> Recorded<u64> {
        match self {
            Self::Here(recorder) => recorder.now(),
            Self::There(remote) => remote.ask(Request::Now),
        }
    }

    pub fn raw_now(&self) -> u64 {
        match self {
            Self::Here(recorder) => recorder.raw_now(),
            Self::There(remote) => remote.look(Request::RawNow),
        }
    }

    pub fn is_replaying(&self) -> bool {
        match self {
            Self::Here(recorder) => recorder.is_replaying(),
            Self::There(remote) => remote.look(Request::IsReplaying),
        }
    }

    pub fn next_step(&self, step: Option<(StepKind, &str)>, call: (u8, u64), what: &str) -> Recorded<Next> {
        match self {
            Self::Here(recorder) => recorder.next_step(step, call, what),
            Self::There(remote) => remote.ask(Request::NextStep { step, call, what }),
        }
    }

    pub fn record(&self, kind: u8, hash: u64, payload: &[u8]) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.record(kind, hash, payload),
            Self::There(remote) => remote.ask(Request::Record { kind, hash, payload }),
        }
    }

    pub fn expect_live(&self, what: &str) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.expect_live(what),
            Self::There(remote) => remote.ask(Request::ExpectLive { what }),
        }
    }

    pub fn finish(&self) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.finish(),
            Self::There(remote) => remote.ask(Request::Finish),
        }
    }

    pub fn replays_alone(&self) -> bool {
        match self {
            Self::Here(recorder) => recorder.replays_alone(),
            Self::There(remote) => remote.replays_alone(),
        }
    }

    pub fn end_of_replay(&self) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.end_of_replay(),
            Self::There(remote) => remote.ask(Request::EndOfReplay),
        }
    }

    pub fn epoch(&self) -> Recorded<u32> {
        match self {
            Self::Here(recorder) => recorder.epoch(),
            Self::There(remote) => remote.ask(Request::Epoch),
        }
    }

    pub async fn barrier(&self) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.barrier().await,
            Self::There(remote) => remote.call(Request::Barrier).await,
        }
    }

    pub async fn flush_if_full(&self) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.flush_if_full().await,
            Self::There(remote) => remote.call(Request::FlushIfFull).await,
        }
    }

    pub fn restored(&self) -> Option<Arc<[u8]>> {
        match self {
            Self::Here(recorder) => recorder.restored(),
            Self::There(remote) => remote.look::<Option<Vec<u8>>>(Request::Restored).map(Arc::from),
        }
    }

    pub async fn checkpoint(&self, state: Vec<u8>) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.checkpoint(state).await,
            Self::There(remote) => remote.call(Request::Checkpoint { state: &state }).await,
        }
    }
}
