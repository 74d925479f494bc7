//! One request of a session that is being answered, for each reader of its stream, now or later.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rmcp::model::{RequestId, ServerJsonRpcMessage};
use tokio::sync::watch;

use super::event_id::Cursor;
use super::rows::CallRow;
use crate::limits;
use crate::mcp::questions::respondent::Asked;

pub struct Slot {
    pub stream: u64,
    /// As the client named it.
    pub request: RequestId,
    /// Tells it from what stood in its place before a restart, whose messages were others.
    life: u64,
    state: Mutex<SlotState>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct SlotState {
    /// It made a task: reports and answer follow from that.
    call: Option<Arc<CallRow>>,
    /// Messages that follow from nothing stored, numbered from 1; of many without a reader, the last.
    messages: VecDeque<(u64, Arc<ServerJsonRpcMessage>)>,
    said: u64,
    /// What the call's task asks this client now.
    questions: Vec<(Asked, Arc<ServerJsonRpcMessage>)>,
    /// That is all it asks: what was asked besides is over. Not so before the call has looked.
    has_looked: bool,
    answer: Option<Arc<ServerJsonRpcMessage>>,
    /// The call waits no longer: its answer is what its task has come to, or a link.
    settled: bool,
    /// A reader was given the answer.
    answered: bool,
    /// The client gave the request up: nothing more is sent.
    given_up: bool,
}

pub struct Settles {
    slot: Arc<Slot>,
}

impl Drop for Settles {
    fn drop(&mut self) {
        self.slot.state().settled = true;
        self.slot.changed.send_replace(());
    }
}

/// The stream of the request that rmcp knows so; see [`Slot::inner_id`].
pub fn stream_of(inner: &RequestId) -> Option<u64> {
    let RequestId::String(text) = inner else { return None };
    u64::from_str_radix(text, 16).ok()
}

/// What a reader at some place is to do next.
pub enum Next {
    Message(u64, Arc<ServerJsonRpcMessage>),
    Question(Asked, Arc<ServerJsonRpcMessage>),
    /// It was sent and is asked no more.
    Over(Asked),
    Answer(Arc<ServerJsonRpcMessage>),
    /// See what the call's task has to tell.
    Call(Arc<CallRow>),
    Wait,
    End,
}

impl Slot {
    pub fn new(stream: u64, request: RequestId, life: u64, call: Option<CallRow>) -> Arc<Self> {
        let state = SlotState { call: call.map(Arc::new), ..SlotState::default() };
        Arc::new(Self { stream, request, life, state: Mutex::new(state), changed: watch::Sender::new(()) })
    }

    /// As rmcp knows the request. A client may name another one alike once this is answered, and what rmcp has to say
    /// of this one may come after that.
    pub fn inner_id(&self) -> RequestId {
        RequestId::String(format!("{:x}", self.stream).into())
    }

    /// Sends a message on the request's stream, before its answer.
    pub fn tell(&self, message: ServerJsonRpcMessage) {
        {
            let mut state = self.state();
            state.said += 1;
            if state.messages.len() == limits::MAX_CALL_STREAM_MESSAGES {
                state.messages.pop_front();
            }
            let number = state.said;
            state.messages.push_back((number, Arc::new(message)));
        }
        self.changed.send_replace(());
    }

    /// Asks on the request's stream, as long as the question stands.
    pub fn ask(&self, asked: Asked, message: ServerJsonRpcMessage) {
        {
            let mut state = self.state();
            state.questions.retain(|(there, _)| there.question != asked.question);
            state.questions.push((asked, Arc::new(message)));
        }
        self.changed.send_replace(());
    }

    pub fn end_question(&self, asked: Asked) {
        self.state().questions.retain(|(there, _)| *there != asked);
        self.changed.send_replace(());
    }

    /// The call knows all that its task asks by now.
    pub fn look(&self) {
        self.state().has_looked = true;
        self.changed.send_replace(());
    }

    /// The call asks nothing more.
    pub fn end_questions(&self) {
        self.state().questions.clear();
        self.look();
    }

    pub fn asks(&self, asked: &Asked) -> bool {
        self.state().questions.iter().any(|(there, _)| there.question == asked.question)
    }

    /// What a call answers follows from its task; other answers there are none.
    pub fn answer(&self, message: ServerJsonRpcMessage) {
        {
            let mut state = self.state();
            if state.call.is_none() {
                state.answer.get_or_insert(Arc::new(message));
            }
        }
        self.changed.send_replace(());
    }

    /// The call made this task. What its stream gets from here on follows from the row and the task. False where the client
    /// gave the call up before: it is for the caller to end it.
    pub fn bind(&self, call: CallRow) -> bool {
        let given_up = {
            let mut state = self.state();
            state.call = Some(Arc::new(call));
            state.given_up
        };
        self.changed.send_replace(());
        !given_up
    }

    /// The call waits no longer once this is dropped.
    pub fn settles(self: &Arc<Self>) -> Settles {
        Settles { slot: self.clone() }
    }

    /// Whether it is worked on no more.
    pub fn is_settled(&self) -> bool {
        let state = self.state();
        state.settled || state.answer.is_some() || state.given_up
    }

    /// A reader was given the answer: what the client says of the request from here on comes too late.
    pub fn set_answered(&self) {
        self.state().answered = true;
    }

    pub fn is_answered(&self) -> bool {
        self.state().answered
    }

    /// Ends when the client has given the request up.
    pub async fn given_up(&self) {
        let mut changed = self.changed.subscribe();
        // The sender is this slot's own.
        let _ = changed.wait_for(|()| self.state().given_up).await;
    }

    pub fn give_up(&self) -> Option<Arc<CallRow>> {
        let call = {
            let mut state = self.state();
            state.given_up = true;
            state.call.clone()
        };
        self.changed.send_replace(());
        call
    }

    /// Whether nothing is lost when it is forgotten: it can be made again from its row.
    pub fn is_stored(&self) -> bool {
        self.state().call.is_some()
    }

    /// Whether the reader stood in this very life of the request.
    pub fn is_of_this_life(&self, cursor: &Cursor) -> bool {
        cursor.life == self.life
    }

    /// A reader's place among the messages of this life; one of another life has read none of them.
    pub fn place(&self, cursor: Cursor) -> Cursor {
        let message = if cursor.life == self.life { cursor.message } else { 0 };
        Cursor { message, life: self.life, ..cursor }
    }

    /// `sent_questions` are the questions that the reader was sent, and not yet that they are over.
    pub fn next(&self, at: &Cursor, sent_questions: &[Asked]) -> Next {
        let state = self.state();
        if state.given_up || at.answered {
            return Next::End;
        }
        if let Some((number, message)) = state.messages.iter().find(|(number, _)| *number > at.message) {
            return Next::Message(*number, message.clone());
        }
        let is_open = |sent: &Asked| state.questions.iter().any(|(there, _)| there.question == sent.question);
        if let Some(over) = sent_questions.iter().find(|sent| state.has_looked && !is_open(sent)) {
            return Next::Over(*over);
        }
        // An earlier life of the session may have asked under a later offer.
        let was_told = |asked: &Asked| {
            sent_questions.iter().any(|sent| sent.question == asked.question && sent.offer >= asked.offer)
        };
        if let Some((asked, message)) = state.questions.iter().find(|(asked, _)| !was_told(asked)) {
            return Next::Question(*asked, message.clone());
        }
        match (&state.call, &state.answer) {
            (Some(call), _) => Next::Call(call.clone()),
            (None, Some(answer)) => Next::Answer(answer.clone()),
            (None, None) => Next::Wait,
        }
    }

    /// Tells of every change from now on.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock()
    }
}
