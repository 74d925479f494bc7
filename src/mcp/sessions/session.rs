//! One session of a client before 2026-07-28, as long as it is in memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rmcp::ErrorData;
use rmcp::model::*;
use rmcp::service::OriginatingRequestId;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::error::SessionError;
use super::event_id::Place;
use super::outbox::Outbox;
use super::rows::{self, CallReply, CallRow, SessionRow};
use super::slot::{self, Settles, Slot};
use crate::authority::Principal;
use crate::clock::Moment;
use crate::engine::{EngineError, WingSpace, WingWrite};
use crate::limits;
use crate::mcp::questions::respondent::{Asked, Respondent};
use crate::mcp::shared::McpServer;
use crate::mcp::wire::error;
use crate::mcp::wire::report::{DEFAULT_LOG_LEVEL, severity};
use crate::mcp::wire::seal::Seal;
use crate::shares::Held;

/// Messages of the client's on their way to rmcp.
pub type Inbox = mpsc::Sender<Box<ClientJsonRpcMessage>>;

/// The connection that serves a session, as far as the session needs it.
pub trait Host: Send + Sync {
    /// Who acts by it; `None` once the connection is gone.
    fn actor(&self) -> Option<Principal>;

    /// Goes on waiting with a call whose own handler is gone.
    fn wait_on(&self, stream: CallStream, call: CallRow, settles: Settles);
}

pub struct Session {
    pub id: Arc<str>,
    pub server: McpServer,
    seal: Arc<Seal>,
    /// Its client, whom questions are put to.
    pub respondent: Respondent,
    /// Tells this life of the session in memory from others.
    pub incarnation: u64,
    /// Whose it is, by the name of the principal and of how it is known.
    pub owner: String,
    pub outbox: Outbox,
    principal: OnceLock<Principal>,
    host: Mutex<Option<Arc<dyn Host>>>,
    row: Mutex<Option<SessionRow>>,
    /// The way to rmcp's service; none while the session only listens.
    inbox: Mutex<Option<Inbox>>,
    /// Takes the answer to the handshake.
    greeting: Mutex<Option<oneshot::Sender<ServerJsonRpcMessage>>>,
    slots: Mutex<Vec<Arc<Slot>>>,
    /// Of the next slot.
    life: AtomicU64,
    usage: Mutex<Usage>,
    over: CancellationToken,
    /// Of its principal's share.
    place: Mutex<Option<Held>>,
}

struct Usage {
    streams: usize,
    last: Moment,
}

/// What a session is made of.
pub struct Origin {
    pub id: Arc<str>,
    pub owner: String,
    /// Where it was before.
    pub row: Option<SessionRow>,
}

impl Session {
    pub fn new(
        server: McpServer,
        seal: Arc<Seal>,
        (origin, place): (Origin, Held),
        inbox: Inbox,
    ) -> Result<Arc<Self>, SessionError> {
        let Origin { id, owner, row } = origin;
        let incarnation = random_number()?;
        Ok(Arc::new(Self {
            respondent: Respondent::of_session(seal.clone(), &owner, &id),
            id,
            server,
            seal,
            incarnation,
            owner,
            outbox: Outbox::new(row.is_some()),
            principal: OnceLock::new(),
            host: Mutex::default(),
            row: Mutex::new(row),
            inbox: Mutex::new(Some(inbox)),
            greeting: Mutex::default(),
            slots: Mutex::default(),
            life: AtomicU64::new(incarnation),
            usage: Mutex::new(Usage { streams: 0, last: Moment::now() }),
            over: CancellationToken::new(),
            place: Mutex::new(Some(place)),
        }))
    }

    /// Hands a message of the client's to rmcp.
    pub async fn push(&self, message: ClientJsonRpcMessage) -> Result<(), SessionError> {
        let inbox = self.inbox.lock().clone().ok_or(SessionError::Over)?;
        inbox.send(Box::new(message)).await.map_err(|_| SessionError::Over)
    }

    /// The handshake, with rmcp's answer.
    pub async fn greet(&self, message: ClientJsonRpcMessage) -> Result<ServerJsonRpcMessage, SessionError> {
        let (sender, answer) = oneshot::channel();
        *self.greeting.lock() = Some(sender);
        self.push(message).await?;
        answer.await.map_err(|_| SessionError::Over)
    }

    /// Puts a message of the server's into the stream where it belongs. Never waits.
    pub fn deliver(&self, mut message: ServerJsonRpcMessage) {
        if let Some(greeting) = self.greeting.lock().take() {
            // Who greeted may be gone.
            let _ = greeting.send(message);
            return;
        }
        let answers = match &mut message {
            JsonRpcMessage::Response(response) => Some(&mut response.id),
            JsonRpcMessage::Error(error) => error.id.as_mut(),
            _ => None,
        };
        if let Some(request) = answers {
            if let Some(slot) = self.slot_of_rmcp(request) {
                *request = slot.request.clone();
                slot.answer(message);
            }
            return;
        }
        // A question rides on the stream of the request for which it is asked.
        let asked_for = match &mut message {
            JsonRpcMessage::Request(request) => {
                request.id = self.id_on_the_wire(&request.id);
                let extensions = request.request.extensions();
                let stream = extensions.get::<CallStream>().map(|stream| stream.slot.clone());
                stream.or_else(|| self.slot_of_rmcp(&extensions.get::<OriginatingRequestId>()?.0))
            }
            _ => None,
        };
        match asked_for {
            Some(slot) => slot.tell(message),
            None => self.outbox.push(message),
        }
    }

    /// The client answers what it was asked in this life of the session or an earlier one.
    pub async fn take_reply(
        &self,
        asked: Asked,
        answer: Result<Value, ErrorData>,
    ) -> Result<(), EngineError> {
        let host = self.host.lock().clone();
        let by = host.and_then(|host| host.actor()).unwrap_or_else(|| self.principal().clone());
        self.respondent.take(self.server.engine(), &by, asked, answer).await
    }

    /// rmcp numbers the server's requests from the start in each life of a session. An answer to one of an earlier
    /// life is not to be taken for one of this.
    pub fn id_on_the_wire(&self, request: &RequestId) -> RequestId {
        RequestId::String(format!("{:x}-{request}", self.incarnation).into())
    }

    /// The other way; `None` for what this life of the session did not ask.
    pub fn id_of_rmcp(&self, request: &RequestId) -> Option<RequestId> {
        let RequestId::String(text) = request else { return None };
        let number = text.strip_prefix(&format!("{:x}-", self.incarnation))?.parse().ok()?;
        Some(RequestId::Number(number))
    }

    /// The connection that serves it from now on.
    pub fn set_host(&self, host: Arc<dyn Host>) {
        *self.host.lock() = Some(host);
    }

    /// A slot for a request of the client's; refused where its answer could be taken for another's.
    pub fn open_slot(&self, request: RequestId) -> Result<Result<Arc<Slot>, ErrorData>, SessionError> {
        let stream = random_number()?;
        let mut slots = self.slots.lock();
        if slots.iter().any(|slot| slot.request == request && !slot.is_settled()) {
            return Ok(Err(error::id_in_use(&request)));
        }
        let slot = Slot::new(stream, request, self.next_life(), None);
        if !make_room(&mut slots) {
            return Ok(Err(error::too_many_unanswered(limits::MAX_SESSION_STREAMS)));
        }
        slots.push(slot.clone());
        Ok(Ok(slot))
    }

    /// The request that a stream answers: in memory, or from its row.
    pub async fn slot_of(self: &Arc<Self>, stream: u64) -> Result<Option<Arc<Slot>>, EngineError> {
        if let Some(slot) = self.slots.lock().iter().find(|slot| slot.stream == stream) {
            return Ok(Some(slot.clone()));
        }
        let key = rows::call_key(&self.id, stream);
        let Some(row) = self.server.engine().wing_row(WingSpace::Event, &key).await? else { return Ok(None) };
        let call = CallRow::read(&key, &row)?;
        let slot = Slot::new(stream, call.request(), self.next_life(), Some(call.clone()));
        {
            let mut slots = self.slots.lock();
            make_room(&mut slots);
            slots.push(slot.clone());
        }
        self.wait_again(slot.clone(), call);
        Ok(Some(slot))
    }

    /// A call whose handler went with an earlier life of the session waits on.
    fn wait_again(self: &Arc<Self>, slot: Arc<Slot>, call: CallRow) {
        let settles = slot.settles();
        let host = self.host.lock().clone();
        if let Some(host) = host {
            host.wait_on(CallStream { session: self.clone(), slot }, call, settles);
        }
    }

    pub fn close_slot(&self, stream: u64) {
        self.slots.lock().retain(|slot| slot.stream != stream);
    }

    /// A request that is being answered, by the client's name for it.
    pub fn open_request(&self, request: &RequestId) -> Option<Arc<Slot>> {
        let slots = self.slots.lock();
        slots.iter().find(|slot| slot.request == *request && !slot.is_settled()).cloned()
    }

    /// The client gives a request up: an inline call's task is cancelled, and nothing more is sent. One that was
    /// answered is over: there are clients that cancel every call once they have its answer.
    pub async fn give_up(&self, request: &RequestId) -> Result<(), EngineError> {
        let slot = match self.open_request(request).or_else(|| self.newest_slot(request)) {
            Some(slot) => Some(slot),
            None => self.stored_slot(request).await?,
        };
        let Some(slot) = slot.filter(|slot| !slot.is_answered()) else { return Ok(()) };
        let call = slot.give_up();
        self.close_slot(slot.stream);
        match call {
            Some(call) => self.end_call(slot.stream, &call).await,
            // Its task may be about to be there.
            None => Ok(()),
        }
    }

    /// A call that the client has given up: its task is cancelled, where that call alone waits for it.
    pub async fn end_call(&self, stream: u64, call: &CallRow) -> Result<(), EngineError> {
        if call.reply == CallReply::Link {
            return Ok(());
        }
        let key = rows::call_key(&self.id, stream);
        self.server.engine().put_wing_rows(vec![WingWrite::Delete(WingSpace::Event, key)]).await?;
        if call.keyed {
            return Ok(());
        }
        let engine = self.server.engine();
        match engine.give_up(self.principal(), call.task, "the client cancelled the call").await {
            Ok(_) | Err(EngineError::NoSuchTask(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub fn set_principal(&self, principal: Principal) {
        // A session has one handshake.
        let _ = self.principal.set(principal);
    }

    pub fn principal(&self) -> &Principal {
        self.principal.get_or_init(|| Principal::new(self.owner.clone(), Vec::new()))
    }

    /// The client's words of the handshake become a row, unless it was restored from one.
    pub async fn store(&self, initialize: &InitializeRequestParams) -> Result<(), EngineError> {
        let now = self.server.engine().now();
        let row = SessionRow::new(self.owner.clone(), initialize, severity(DEFAULT_LOG_LEVEL), now);
        *self.row.lock() = Some(row);
        self.save().await
    }

    pub fn is_stored(&self) -> bool {
        self.row.lock().is_some()
    }

    pub fn log_level(&self) -> u8 {
        self.row.lock().as_ref().map_or(severity(DEFAULT_LOG_LEVEL), |row| row.log_level)
    }

    pub async fn set_log_level(&self, level: u8) -> Result<(), EngineError> {
        self.change(|row| row.log_level = level).await
    }

    pub fn subscriptions(&self) -> Vec<String> {
        self.row.lock().as_ref().map(|row| row.subscriptions.clone()).unwrap_or_default()
    }

    pub async fn note_subscription(&self, uri: &str, subscribed: bool) -> Result<(), EngineError> {
        self.change(|row| {
            row.subscriptions.retain(|there| there != uri);
            if subscribed {
                row.subscriptions.push(uri.to_owned());
            }
        })
        .await
    }

    /// True once in a while: its row should say that it is in use.
    pub fn touch(&self) -> bool {
        self.usage.lock().last = Moment::now();
        let now = self.server.engine().now();
        let mut row = self.row.lock();
        let Some(row) = row.as_mut() else { return false };
        let is_due = now.saturating_sub(row.used_at) >= limits::SESSION_NOTE_SECONDS * 1_000_000_000;
        if is_due {
            row.used_at = now;
        }
        is_due
    }

    pub async fn save(&self) -> Result<(), EngineError> {
        self.change(|_| ()).await
    }

    /// Ends rmcp's service of a session that has asked for nothing for so long and waits for no answer: its own
    /// stream needs none, and the next request gets a new one. Whether it did.
    pub fn rest(&self, span: Duration) -> bool {
        // Most do, and are asked again and again.
        if self.is_resting() {
            return false;
        }
        let is_quiet = self.usage.lock().last.elapsed() >= span;
        let waits = || self.slots.lock().iter().any(|slot| !slot.is_settled());
        if !is_quiet || !self.is_stored() || waits() {
            return false;
        }
        self.host.lock().take();
        self.inbox.lock().take().is_some()
    }

    pub fn is_resting(&self) -> bool {
        self.inbox.lock().is_none()
    }

    pub fn wake(&self, inbox: Inbox) {
        *self.inbox.lock() = Some(inbox);
    }

    pub fn reader(self: &Arc<Self>) -> Reader {
        self.usage.lock().streams += 1;
        Reader { session: self.clone() }
    }

    pub fn is_idle(&self, span: Duration) -> bool {
        let usage = self.usage.lock();
        usage.streams == 0 && usage.last.elapsed() >= span
    }

    pub fn end(&self) {
        self.over.cancel();
        // What is left of its service holds none of its principal's share.
        drop(self.place.lock().take());
    }

    pub fn over(&self) -> &CancellationToken {
        &self.over
    }

    pub fn seal(&self, place: &Place) -> String {
        self.seal.seal(&[&self.id], place)
    }

    fn newest_slot(&self, request: &RequestId) -> Option<Arc<Slot>> {
        // A client that came back may count its requests from the start again.
        self.slots.lock().iter().rev().find(|slot| slot.request == *request).cloned()
    }

    fn slot_of_rmcp(&self, inner: &RequestId) -> Option<Arc<Slot>> {
        let stream = slot::stream_of(inner)?;
        self.slots.lock().iter().find(|slot| slot.stream == stream).cloned()
    }

    /// The request of a call that waits, from its row.
    async fn stored_slot(&self, request: &RequestId) -> Result<Option<Arc<Slot>>, EngineError> {
        let bound = limits::MAX_KEPT_CALLS_PER_SESSION;
        let calls = self
            .server
            .engine()
            .wing_rows(WingSpace::Event, &rows::calls_prefix(&self.id), None, bound)
            .await?;
        let mut newest: Option<(u64, CallRow)> = None;
        for (key, row) in calls {
            let call = CallRow::read(&key, &row)?;
            let is_newer = newest.as_ref().is_none_or(|(_, there)| there.created_at < call.created_at);
            if let (true, true, Some((_, stream))) =
                (call.request() == *request, is_newer, rows::parse_call_key(&key))
            {
                newest = Some((stream, call));
            }
        }
        let newest = newest.filter(|(_, call)| call.waits());
        Ok(newest.map(|(stream, call)| Slot::new(stream, request.clone(), self.next_life(), Some(call))))
    }

    /// Differs from all others of the session, in this process and in earlier ones.
    fn next_life(&self) -> u64 {
        self.life.fetch_add(1, Ordering::Relaxed)
    }

    async fn change(&self, change: impl FnOnce(&mut SessionRow)) -> Result<(), EngineError> {
        let write = {
            let mut row = self.row.lock();
            let Some(row) = row.as_mut() else { return Ok(()) };
            change(row);
            row.put(&self.id)?
        };
        self.server.engine().put_wing_rows(vec![write]).await
    }
}

/// Forgets a slot that is not needed, where there are as many as may be: one that is answered, else one that can be
/// made again from its row. Whether there is room.
fn make_room(slots: &mut Vec<Arc<Slot>>) -> bool {
    if slots.len() < limits::MAX_SESSION_STREAMS {
        return true;
    }
    let spare = slots.iter().position(|slot| slot.is_settled());
    let Some(at) = spare.or_else(|| slots.iter().position(|slot| slot.is_stored())) else { return false };
    slots.remove(at);
    true
}

/// A reader of one of the session's streams: the session is in use as long as there is one.
pub struct Reader {
    pub session: Arc<Session>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut usage = self.session.usage.lock();
        usage.streams = usage.streams.saturating_sub(1);
        usage.last = Moment::now();
    }
}

/// The way to the stream of one request, for its handler. rmcp would send log messages to the session's GET stream,
/// which a client may not even have opened.
#[derive(Clone)]
pub struct CallStream {
    pub session: Arc<Session>,
    pub slot: Arc<Slot>,
}

impl CallStream {
    /// For what follows from nothing stored: it reaches the stream's readers while this process lives.
    pub fn send(&self, notification: ServerNotification) {
        self.slot.tell(ServerJsonRpcMessage::notification(notification));
    }

    /// What stands in the same commit as the task.
    pub fn row(&self, call: &CallRow) -> Vec<WingWrite> {
        call.put(&self.session.id, self.slot.stream).into_iter().collect()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

pub fn random_number() -> Result<u64, SessionError> {
    Ok(u64::from_le_bytes(random()?))
}

pub fn random<const N: usize>() -> Result<[u8; N], SessionError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| SessionError::Random(error.to_string()))?;
    Ok(bytes)
}
