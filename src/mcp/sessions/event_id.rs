//! Event ids: a place in a stream, sealed, so that a client cannot guess, change or move one. They hold for one session
//! and its owner; to all others they are as good as made up.

use rmcp::model::RequestId;
use serde::{Deserialize, Serialize};

use crate::clock::UnixNanos;
use crate::engine::ReportAt;
use crate::limits;
use crate::mcp::questions::respondent::Asked;

/// Where a reader stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Place {
    /// In the stream that answers a request.
    Request { stream: u64, request: Option<Id>, cursor: Cursor },
    /// In the stream that the session has besides its requests.
    Session { incarnation: u64, event: u64, at: UnixNanos },
    /// In the stream that answers a request, on which these were asked and are not over as far as it has said.
    Asking { stream: u64, request: Option<Id>, cursor: Cursor, sent_questions: Vec<Asked> },
}

/// How far a request's stream was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    /// The task's last report.
    pub report: ReportAt,
    /// The last progress on the wire, which may only grow.
    pub progress: Option<f64>,
    /// The task was named to the client.
    pub named: bool,
    /// The last of the messages that are no reports, and the slot's life in which they are counted.
    pub message: u64,
    pub life: u64,
    pub answered: bool,
}

/// A JSON-RPC id, or a progress token, in a form that can be stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Id {
    Number(i64),
    Text(String),
}

impl From<&RequestId> for Id {
    fn from(id: &RequestId) -> Self {
        match id {
            RequestId::Number(number) => Self::Number(*number),
            RequestId::String(text) => Self::Text(text.to_string()),
        }
    }
}

impl From<Id> for RequestId {
    fn from(id: Id) -> Self {
        match id {
            Id::Number(number) => Self::Number(number),
            Id::Text(text) => Self::String(text.into()),
        }
    }
}

impl Id {
    /// One that fits into a header, with all else.
    pub fn short(id: &RequestId) -> Option<Self> {
        Some(Self::from(id))
            .filter(|id| !matches!(id, Self::Text(text) if text.len() > limits::MAX_ID_IN_EVENT_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::wire::seal::Seal;

    #[test]
    fn an_id_holds_for_its_session_alone_and_bears_no_change() {
        let key = Seal::new([7; 32]);
        let request = Id::short(&RequestId::String("call-1".into()));
        let place = Place::Request { stream: 3, request, cursor: Cursor::default() };
        let id = key.seal(&["mine"], &place);
        assert_eq!(key.open(&["mine"], &id), Some(place));
        assert_eq!(key.open::<Place>(&["yours"], &id), None);
        assert_eq!(Seal::new([8; 32]).open::<Place>(&["mine"], &id), None);
        for wrong in ["", "0", "AAAA", &id[1..], &format!("{id}A")] {
            assert_eq!(key.open::<Place>(&["mine"], wrong), None, "{wrong}");
        }
        for at in 0..id.len() {
            let mut forged = id.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).expect("ASCII");
            // The last character has bits that stand for nothing; what is refused as no base64 is as well.
            assert!(forged == id || key.open::<Place>(&["mine"], &forged).is_none(), "{at}");
        }
    }
}
