//! What is stored of a session and of the calls that it may come back to.

use rmcp::model::{InitializeRequestParams, RequestId};
use serde::{Deserialize, Serialize};

use super::event_id::Id;
use crate::clock::UnixNanos;
use crate::engine::{EngineError, ReportAt, Shelf, ShelfWrite};
use crate::store::{Space, codec};
use crate::task::TaskId;

const VERSION: u8 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionRow {
    /// Whose it is.
    pub owner: String,
    /// What the client said when it began, as JSON.
    initialize: String,
    /// The severity of `logging/setLevel`; see `report::severity`.
    pub log_level: u8,
    pub subscriptions: Vec<String>,
    pub used_at: UnixNanos,
}

/// A `tools/call` that made a task: all that its stream is told follows from this and the task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallRow {
    pub request: Id,
    /// The name of the principal that called.
    pub owner: String,
    pub task: TaskId,
    /// Where its stream begins.
    pub from: ReportAt,
    pub tool: String,
    pub progress_token: Option<Id>,
    /// As in the session when the call came.
    pub log_level: u8,
    pub reply: CallReply,
    /// The client can come back by an idempotency key.
    pub keyed: bool,
    pub created_at: UnixNanos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallReply {
    Link,
    /// The result, if it comes in time.
    Waits {
        /// `None` is without end.
        at_most_seconds: Option<u64>,
        /// No longer than to the first answer to a question of the task.
        until_answered: bool,
    },
}

impl SessionRow {
    pub fn new(owner: String, initialize: &InitializeRequestParams, log_level: u8, now: UnixNanos) -> Self {
        let initialize = serde_json::to_string(initialize).unwrap_or_default();
        Self { owner, initialize, log_level, subscriptions: Vec::new(), used_at: now }
    }

    pub fn initialize(&self) -> Option<InitializeRequestParams> {
        serde_json::from_str(&self.initialize).ok()
    }

    pub fn read(id: &str, row: &[u8]) -> Result<Self, EngineError> {
        Ok(codec::decode(VERSION, Space::Session, id.as_bytes(), row)?)
    }

    pub fn put(&self, id: &str) -> Result<ShelfWrite, EngineError> {
        Ok(ShelfWrite::Put(Shelf::Session, id.as_bytes().to_vec(), codec::encode(VERSION, self)?))
    }
}

impl CallRow {
    pub fn request(&self) -> RequestId {
        self.request.clone().into()
    }

    /// Whether its time has passed, so that it was answered with a link if the task goes on.
    pub fn wait_is_over(&self, now: UnixNanos) -> bool {
        match self.reply {
            CallReply::Link => true,
            CallReply::Waits { at_most_seconds: None, .. } => false,
            CallReply::Waits { at_most_seconds: Some(seconds), .. } => {
                now.saturating_sub(self.created_at) >= seconds.saturating_mul(1_000_000_000)
            }
        }
    }

    pub fn progress_token(&self) -> Option<RequestId> {
        self.progress_token.clone().map(Into::into)
    }

    pub fn read(key: &[u8], row: &[u8]) -> Result<Self, EngineError> {
        Ok(codec::decode(VERSION, Space::Event, key, row)?)
    }

    pub fn put(&self, session: &str, stream: u64) -> Result<ShelfWrite, EngineError> {
        Ok(ShelfWrite::Put(Shelf::Event, call_key(session, stream), codec::encode(VERSION, self)?))
    }
}

/// `session | 0 | stream BE`
pub fn call_key(session: &str, stream: u64) -> Vec<u8> {
    let mut key = calls_prefix(session);
    key.extend_from_slice(&stream.to_be_bytes());
    key
}

/// All calls of a session.
pub fn calls_prefix(session: &str) -> Vec<u8> {
    let mut key = session.as_bytes().to_vec();
    key.push(0);
    key
}

/// The session and the stream of a call.
pub fn parse_call_key(key: &[u8]) -> Option<(&str, u64)> {
    let (rest, stream) = key.split_last_chunk::<8>()?;
    let session = std::str::from_utf8(rest.strip_suffix(&[0])?).ok()?;
    Some((session, u64::from_be_bytes(*stream)))
}
