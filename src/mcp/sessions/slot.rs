//! One request of a session that is being answered, for whoever reads its stream now or later.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use rmcp::model::{RequestId, ServerJsonRpcMessage};
use tokio::sync::watch;

use super::event_id::Cursor;
use super::rows::CallRow;
use crate::limits;
use crate::mcp::server::lock;

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
    /// Messages that follow from nothing stored, numbered from 1; of many that nobody reads, the last.
    messages: VecDeque<(u64, Arc<ServerJsonRpcMessage>)>,
    told: u64,
    answer: Option<Arc<ServerJsonRpcMessage>>,
    /// The call waits no longer: its answer is what its task has come to, or a link.
    settled: bool,
    /// The client gave the request up: nothing more is told.
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
            state.told += 1;
            if state.messages.len() == limits::MAX_CALL_STREAM_MESSAGES {
                state.messages.pop_front();
            }
            let number = state.told;
            state.messages.push_back((number, Arc::new(message)));
        }
        self.changed.send_replace(());
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

    /// The call made this task. What its stream is told from here on follows from the row and the task.
    pub fn bind(&self, call: CallRow) {
        self.state().call = Some(Arc::new(call));
        self.changed.send_replace(());
    }

    /// The call waits no longer once this is dropped.
    pub fn settles(self: &Arc<Self>) -> Settles {
        Settles { slot: self.clone() }
    }

    /// Whether nobody works on it any more.
    pub fn is_settled(&self) -> bool {
        let state = self.state();
        state.settled || state.answer.is_some() || state.given_up
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

    /// A reader's place among the messages of this life; one of another life has read none of them.
    pub fn place(&self, cursor: Cursor) -> Cursor {
        let message = if cursor.life == self.life { cursor.message } else { 0 };
        Cursor { message, life: self.life, ..cursor }
    }

    pub fn next(&self, at: &Cursor) -> Next {
        let state = self.state();
        if state.given_up || at.answered {
            return Next::End;
        }
        if let Some((number, message)) = state.messages.iter().find(|(number, _)| *number > at.message) {
            return Next::Message(*number, message.clone());
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
        lock(&self.state)
    }
}
