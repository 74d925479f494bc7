//! What is stored of a session and of the calls that it may come back to.

use rmcp::model::{InitializeRequestParams, RequestId};
use serde::{Deserialize, Serialize};

use super::event_id::Id;
use crate::clock::UnixNanos;
use crate::engine::{EngineError, ReportAt, WingSpace, WingWrite};
use crate::mcp::wire::client_settings::Links;
use crate::store::{Space, codec};
use crate::task::TaskId;

const SESSION_VERSION: u8 = 1;
/// 1 had no links, which were blocks.
const CALL_VERSION: u8 = 2;

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

/// A `tools/call` that made a task: all that its stream gets follows from this and the task.
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
    /// The client can come back by an idempotency key, or the task was another call's before.
    pub keyed: bool,
    pub created_at: UnixNanos,
    /// As the call's address had it; it stands behind the rest.
    #[serde(skip)]
    pub links: Links,
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
        Ok(codec::decode(SESSION_VERSION, Space::Session, id.as_bytes(), row)?)
    }

    pub fn put(&self, id: &str) -> Result<WingWrite, EngineError> {
        Ok(WingWrite::Put(WingSpace::Session, id.as_bytes().to_vec(), codec::encode(SESSION_VERSION, self)?))
    }
}

impl CallRow {
    pub fn request(&self) -> RequestId {
        self.request.clone().into()
    }

    /// Its wait is over while its task goes on: a link answers it, or the result where that is there by then.
    pub fn waited(&self) -> Self {
        let reply = match self.reply {
            CallReply::Link => CallReply::Link,
            CallReply::Waits { until_answered, .. } => {
                CallReply::Waits { at_most_seconds: Some(0), until_answered }
            }
        };
        Self { reply, ..self.clone() }
    }

    /// Whether it waits for its task, or did so up to the task's end.
    pub fn waits(&self) -> bool {
        !matches!(self.reply, CallReply::Link | CallReply::Waits { at_most_seconds: Some(0), .. })
    }

    pub fn progress_token(&self) -> Option<RequestId> {
        self.progress_token.clone().map(Into::into)
    }

    pub fn read(key: &[u8], row: &[u8]) -> Result<Self, EngineError> {
        if codec::version(Space::Event, key, row)? == 1 {
            return Ok(codec::decode(1, Space::Event, key, row)?);
        }
        let (call, links): (Self, Links) = codec::decode(CALL_VERSION, Space::Event, key, row)?;
        Ok(Self { links, ..call })
    }

    pub fn put(&self, session: &str, stream: u64) -> Result<WingWrite, EngineError> {
        let row = codec::encode(CALL_VERSION, &(self, self.links))?;
        Ok(WingWrite::Put(WingSpace::Event, call_key(session, stream), row))
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

/// All rows of a session.
pub fn all_of(session: &str) -> Vec<WingWrite> {
    vec![
        WingWrite::Delete(WingSpace::Session, session.as_bytes().to_vec()),
        WingWrite::DeletePrefix(WingSpace::Event, calls_prefix(session)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(links: Links) -> CallRow {
        CallRow {
            request: (&RequestId::Number(7)).into(),
            owner: "local".to_owned(),
            task: TaskId::from_bytes([3; 16]),
            from: ReportAt::default(),
            tool: "stages".to_owned(),
            progress_token: None,
            log_level: 2,
            reply: CallReply::Waits { at_most_seconds: Some(4), until_answered: false },
            keyed: true,
            created_at: 9,
            links,
        }
    }

    #[test]
    fn a_call_keeps_how_it_is_answered_and_one_of_an_earlier_version_has_blocks() {
        let read = |row: &[u8]| CallRow::read(b"k", row).expect("a call");
        for links in [Links::Block, Links::Text] {
            let WingWrite::Put(_, _, row) = call(links).put("s", 1).expect("a row") else { panic!("a put") };
            let there = read(&row);
            assert_eq!((there.links, there.reply, there.created_at), (links, call(links).reply, 9));
        }
        let earlier = codec::encode(1, &call(Links::Text)).expect("a row");
        assert_eq!((read(&earlier).links, read(&earlier).keyed), (Links::Block, true));
    }
}
