//! Questions as requests to a client with a handshake. The id of such a request names the question and is sealed:
//! an answer under it counts at every process that serves the store, whether or not that process asked. rmcp numbers
//! the requests that it sends and forgets them with the process, so these do not pass through it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use rmcp::ErrorData;
use rmcp::model::{CancelledNotification, CancelledNotificationParam, ServerNotification};
use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage, RequestId, ServerJsonRpcMessage, ServerRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::asks::{self, BY_PROTOCOL};
use crate::api::InputRequest as Question;
use crate::authority::Principal;
use crate::engine::questions::Given;
use crate::engine::{EngineError, TaskEngine};
use crate::limits;
use crate::mcp::wire::seal::Seal;
use crate::task::{QuestionKind, TaskId};

/// By this a bridge knows ids that hold at the next server too.
pub const ID_PREFIX: &str = "question-";

/// Tells a question's seal from an event's.
const SEALED_FOR: &str = "question";

/// A question, by the task that asks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QuestionId {
    pub task: TaskId,
    pub number: u64,
}

/// A question as it is put to a client; put again with the next `offer` where the answer did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asked {
    pub question: QuestionId,
    pub kind: QuestionKind,
    pub offer: u32,
}

impl Asked {
    /// The first offer of a question that stands in this task's document.
    pub fn first(task: TaskId, question: &Question) -> Self {
        let asker = question.task.as_deref().and_then(|child| child.parse().ok()).unwrap_or(task);
        let question_id = QuestionId { task: asker, number: question.number };
        Self { question: question_id, kind: question.kind, offer: 0 }
    }
}

/// What came of putting a question to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replied {
    /// It is answered, or no more.
    Over,
    /// The answer did not fit: the person may try again.
    Unfit,
    /// This client does not do it.
    Refused,
}

/// A client that can be asked, through all its connections.
pub struct Respondent {
    seal: Arc<Seal>,
    /// Whose client it is.
    owner: String,
    /// Its session over HTTP. Over pipes each connection of the owner's own programs is as good as another.
    session: String,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    /// The newest reply to each question, the oldest of these first.
    replies: VecDeque<(QuestionId, Reply)>,
    /// How many calls have a question on the way; over pipes it goes out once for all of them.
    asking: HashMap<Asked, usize>,
}

#[derive(Clone, Copy)]
struct Reply {
    offer: u32,
    /// `None` while the answer is on its way to the disk.
    replied: Option<Replied>,
    /// A refusal that a call has heeded: another call may ask again.
    is_heeded: bool,
}

impl Respondent {
    pub fn of_session(seal: Arc<Seal>, owner: &str, session: &str) -> Self {
        Self::new(seal, owner.to_owned(), session.to_owned())
    }

    pub fn over_pipes(seal: Arc<Seal>, principal: &Principal) -> Self {
        Self::new(seal, principal.name().to_owned(), String::new())
    }

    fn new(seal: Arc<Seal>, owner: String, session: String) -> Self {
        Self { seal, owner, session, state: Mutex::default(), changed: watch::Sender::new(()) }
    }

    /// The same for the same question, whichever process asks.
    pub fn id(&self, asked: &Asked) -> RequestId {
        RequestId::String(format!("{ID_PREFIX}{}", self.seal.seal(&self.owner(), asked)).into())
    }

    /// `None` for all that this client was not asked.
    pub fn open(&self, id: &RequestId) -> Option<Asked> {
        let RequestId::String(text) = id else { return None };
        self.seal.open(&self.owner(), text.strip_prefix(ID_PREFIX)?)
    }

    fn owner(&self) -> [&str; 3] {
        [SEALED_FOR, &self.owner, &self.session]
    }

    pub fn request(&self, asked: &Asked, request: ServerRequest) -> ServerJsonRpcMessage {
        ServerJsonRpcMessage::request(request, self.id(asked))
    }

    /// Says to the client that the question is over.
    pub fn cancellation(&self, asked: &Asked) -> ServerNotification {
        const REASON: &str = "it is answered or withdrawn";
        let params = CancelledNotificationParam::new(Some(self.id(asked)), Some(REASON.to_owned()));
        ServerNotification::CancelledNotification(CancelledNotification::new(params))
    }

    /// The question that a client's message answers, and the answer.
    pub fn reply_in(&self, message: &ClientJsonRpcMessage) -> Option<(Asked, Result<Value, ErrorData>)> {
        match message {
            JsonRpcMessage::Response(response) => {
                let result = serde_json::to_value(&response.result).unwrap_or(Value::Null);
                Some((self.open(&response.id)?, Ok(result)))
            }
            JsonRpcMessage::Error(error) => Some((self.open(error.id.as_ref()?)?, Err(error.error.clone()))),
            _ => None,
        }
    }

    /// Takes a client's answer; if it counts, it is on disk when this returns. The error is the server's own: the
    /// same may be sent again.
    pub async fn take(
        &self,
        engine: &TaskEngine,
        by: &Principal,
        asked: Asked,
        answer: Result<Value, ErrorData>,
    ) -> Result<(), EngineError> {
        crate::crash_point!("replying");
        // From here on a call need not tell its client that the question is over.
        self.note(asked, None);
        let taken = take(engine, by, asked, answer).await;
        match taken {
            Ok(replied) => self.note(asked, Some(replied)),
            Err(error) => {
                self.state.lock().replies.retain(|(question, _)| *question != asked.question);
                return Err(error);
            }
        }
        crate::crash_point!("replied");
        Ok(())
    }

    fn note(&self, asked: Asked, replied: Option<Replied>) {
        {
            let mut state = self.state.lock();
            state.replies.retain(|(question, _)| *question != asked.question);
            if state.replies.len() == limits::MAX_NOTED_REPLIES {
                state.replies.pop_front();
            }
            let reply = Reply { offer: asked.offer, replied, is_heeded: false };
            state.replies.push_back((asked.question, reply));
        }
        self.changed.send_replace(());
    }

    /// The offer under which a call is to ask the question now; `None` where the client has refused it to this call.
    pub fn next_offer(&self, first: Asked) -> Option<Asked> {
        let mut state = self.state.lock();
        let reply = state.replies.iter_mut().find(|(question, _)| *question == first.question);
        let Some((_, reply)) = reply else { return Some(first) };
        match reply.replied {
            Some(Replied::Refused) if !std::mem::replace(&mut reply.is_heeded, true) => None,
            Some(_) => Some(Asked { offer: reply.offer + 1, ..first }),
            None => Some(Asked { offer: reply.offer, ..first }),
        }
        .filter(|asked| asked.offer < limits::MAX_OFFERS)
    }

    /// What the client replies, under this id or a later one. Safe to drop.
    pub async fn reply(&self, asked: Asked) -> Replied {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(replied) = self.replied(asked) {
                return replied;
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn replied(&self, asked: Asked) -> Option<Replied> {
        let mut state = self.state.lock();
        let replies = state.replies.iter_mut();
        let (_, reply) = replies.rev().find(|(question, _)| *question == asked.question)?;
        let replied = reply.replied.filter(|_| reply.offer >= asked.offer)?;
        reply.is_heeded = true;
        Some(replied)
    }

    /// Whether this client has said something to it, and needs no word of its end.
    pub fn has_replied(&self, asked: Asked) -> bool {
        let state = self.state.lock();
        state.replies.iter().any(|(there, reply)| *there == asked.question && reply.offer >= asked.offer)
    }

    /// A call begins to ask; whether it is the first on this connection.
    pub fn begin(&self, asked: Asked) -> bool {
        let mut state = self.state.lock();
        let calls = state.asking.entry(asked).or_default();
        *calls += 1;
        *calls == 1
    }

    /// A call asks no longer; whether it was the last.
    pub fn end(&self, asked: Asked) -> bool {
        let mut state = self.state.lock();
        let Some(calls) = state.asking.get_mut(&asked) else { return false };
        *calls -= 1;
        let is_last = *calls == 0;
        if is_last {
            state.asking.remove(&asked);
        }
        is_last
    }
}

async fn take(
    engine: &TaskEngine,
    by: &Principal,
    asked: Asked,
    answer: Result<Value, ErrorData>,
) -> Result<Replied, EngineError> {
    let given = match answer {
        Ok(result) => match asks::given(asked.kind, &result) {
            Ok(given) => given,
            Err(_) => return Ok(Replied::Unfit),
        },
        // A model's owner said no; another channel may still have an answer to a person's question.
        Err(error) if asked.kind != QuestionKind::Elicit && !engine.has_sampler() => {
            Given::Unavailable(format!("the client answered: {}", error.message))
        }
        Err(_) => return Ok(Replied::Refused),
    };
    let QuestionId { task, number } = asked.question;
    match engine.answer_numbered(by, task, number, given, BY_PROTOCOL).await {
        Err(EngineError::BadAnswer { .. }) => Ok(Replied::Unfit),
        // What came too late is reported by the task itself.
        Ok(())
        | Err(
            EngineError::NoSuchTask(_)
            | EngineError::NoSuchQuestion { .. }
            | EngineError::QuestionOver { .. }
            | EngineError::WrongState { .. },
        ) => Ok(Replied::Over),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respondent(owner: &str, session: &str) -> Respondent {
        Respondent::of_session(Arc::new(Seal::new([7; 32])), owner, session)
    }

    fn asked(number: u64, offer: u32) -> Asked {
        let question = QuestionId { task: TaskId::from_bytes([1; 16]), number };
        Asked { question, kind: QuestionKind::Elicit, offer }
    }

    #[test]
    fn an_id_is_of_use_to_the_client_alone_that_was_asked() {
        let (mine, first) = (respondent("me", "s"), asked(1, 0));
        let id = mine.id(&first);
        assert_eq!(mine.open(&id), Some(first));
        // Another process that serves the store.
        assert_eq!(respondent("me", "s").id(&first), id);
        for other in [respondent("me", "t"), respondent("you", "s"), respondent("m", "es")] {
            assert_eq!(other.open(&id), None);
        }
        let others = [asked(2, 0), asked(1, 1), Asked { kind: QuestionKind::Roots, ..first }];
        assert!(others.iter().all(|other| mine.id(other) != id));
        let RequestId::String(text) = id else { panic!("a text") };
        let changed = (0..text.len() - 1).map(|at| {
            let mut forged = text.as_bytes().to_vec();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(forged).expect("ASCII")
        });
        let mut forged: Vec<String> = changed.collect();
        forged.extend([String::new(), ID_PREFIX.to_owned(), text[1..].to_owned()]);
        for forged in forged {
            assert_eq!(mine.open(&RequestId::String(forged.clone().into())), None, "{forged}");
        }
        assert_eq!(mine.open(&RequestId::Number(0)), None);
        // An event of that session is no question.
        let seal = Seal::new([7; 32]);
        let event = format!("{ID_PREFIX}{}", seal.seal(&["s"], &first));
        assert_eq!(mine.open(&RequestId::String(event.into())), None);
    }

    #[tokio::test]
    async fn a_reply_reaches_whoever_waits_and_whoever_asks_later() {
        let client = respondent("me", "s");
        let first = asked(1, 0);
        client.note(first, None);
        assert!(client.has_replied(first) && client.replied(first).is_none());
        client.note(first, Some(Replied::Unfit));
        assert_eq!(client.reply(first).await, Replied::Unfit);
        assert_eq!(client.next_offer(first), Some(asked(1, 1)));
        let second = asked(1, 1);
        assert!(
            client.replied(second).is_none() && !client.has_replied(second),
            "that is yet to be answered"
        );
        // An offer of an earlier life may be ahead of this one's.
        client.note(asked(1, 2), Some(Replied::Refused));
        assert_eq!(client.next_offer(first), None, "no more than so many");
        client.note(asked(2, 0), Some(Replied::Refused));
        assert_eq!(client.next_offer(asked(2, 0)), None);
        assert_eq!(client.next_offer(asked(2, 0)), Some(asked(2, 1)), "another call may try");
        assert_eq!(client.next_offer(asked(3, 0)), Some(asked(3, 0)));
        for number in 10..10 + limits::MAX_NOTED_REPLIES as u64 {
            client.note(asked(number, 0), Some(Replied::Over));
        }
        assert!(!client.has_replied(first));
    }

    #[test]
    fn several_calls_ask_once_over_pipes() {
        let client = respondent("me", "");
        assert!(client.begin(asked(1, 0)) && !client.begin(asked(1, 0)) && client.begin(asked(2, 0)));
        assert!(!client.end(asked(1, 0)) && client.end(asked(1, 0)) && !client.end(asked(1, 0)));
    }
}
