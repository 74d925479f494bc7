//! Sessions of clients before 2026-07-28, in memory as long as they are used and in the store as long as their
//! clients may come back. rmcp handles their requests; their streams are made here. The questions of tasks are sent on
//! these streams and their answers taken without rmcp, which would forget both with the process; see `mcp/questions`.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream};
use parking_lot::Mutex;
use rmcp::model::*;
use rmcp::transport::streamable_http_server::SessionManager;
use rmcp::transport::streamable_http_server::session::{
    EventStream, RestoreOutcome, ServerSseMessage, SessionId, SessionState, SessionStore, SessionStoreError,
};
use tokio::sync::mpsc;

use super::error::SessionError;
use super::event_id::Place;
use super::owner::owner_of_this_request;
use super::refused;
use super::request_stream::{self, RequestStream};
use super::rows::{self, SessionRow};
use super::session::{self, CallStream, Origin, Session};
use super::session_stream::{After, SessionStream};
use super::transport::SessionTransport;
use crate::engine::WingSpace;
use crate::http::Caller;
use crate::limits;
use crate::mcp::shared::McpServer;
use crate::mcp::wire::error;
use crate::mcp::wire::seal::Seal;
use crate::shares::{Pool, STRANGERS};

pub struct Sessions {
    pub(super) server: McpServer,
    seal: Arc<Seal>,
    pub(super) live: Mutex<HashMap<SessionId, Arc<Session>>>,
    /// Sessions that were put out of memory and whose service has not ended yet, each so often.
    leaving: Mutex<HashMap<SessionId, usize>>,
}

impl Sessions {
    pub async fn open(server: McpServer) -> Result<Self, SessionError> {
        let seal = server.seal().await?;
        Ok(Self { server, seal, live: Mutex::default(), leaving: Mutex::default() })
    }

    pub fn count(&self) -> usize {
        self.live.lock().len()
    }

    /// Whose the session is, in memory or stored.
    pub(super) async fn owner(&self, id: &SessionId) -> Result<Option<String>, SessionError> {
        if let Some(session) = self.find(id) {
            return Ok(Some(session.owner.clone()));
        }
        Ok(self.stored(id).await?.map(|row| row.owner))
    }

    pub(super) fn knows_event(&self, id: &SessionId, event: &str) -> bool {
        self.seal.open::<Place>(&[id], event).is_some()
    }

    async fn stored(&self, id: &str) -> Result<Option<SessionRow>, SessionError> {
        if id.len() > limits::MAX_SESSION_ID_BYTES {
            return Ok(None);
        }
        let row = self.server.engine().wing_row(WingSpace::Session, id.as_bytes()).await?;
        Ok(row.map(|row| SessionRow::read(id, &row)).transpose()?)
    }

    fn find(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.live.lock().get(id).cloned()
    }

    fn get(&self, id: &SessionId) -> Result<Arc<Session>, SessionError> {
        self.find(id).ok_or(SessionError::Unknown)
    }

    fn begin(&self, origin: Origin) -> Result<SessionTransport, SessionError> {
        let caller = Caller::of_this_request();
        let who = caller.as_ref().map_or(STRANGERS, |caller| caller.principal.name());
        let place = self.server.engine().shares().take(Pool::Sessions, who, 1).map_err(SessionError::TooMany);
        let place = place.map_err(refused::noted)?;
        let mut live = self.live.lock();
        let (inbox, messages) = mpsc::channel(limits::MAX_SESSION_INBOX);
        let session = Session::new(self.server.clone(), self.seal.clone(), (origin, place), inbox)?;
        live.insert(session.id.clone(), session.clone());
        Ok(SessionTransport::new(session, messages))
    }

    /// Puts sessions out of memory that were not used for so long; their clients may come back.
    pub fn end_idle(&self, span: Duration) {
        let idle: Vec<Arc<Session>> = {
            let mut live = self.live.lock();
            live.extract_if(|_, session| session.is_idle(span)).map(|(_, session)| session).collect()
        };
        for session in idle {
            tracing::debug!("an idle session leaves memory");
            if !session.is_resting() {
                self.expect_end(&session);
            }
            session.end();
        }
    }

    /// Lets sessions rest that have asked for nothing for so long.
    pub fn rest(&self, span: Duration) {
        for session in self.live.lock().values() {
            if session.rest(span) {
                self.expect_end(session);
            }
        }
    }

    /// The end of its service is not its own.
    fn expect_end(&self, session: &Session) {
        *self.leaving.lock().entry(session.id.clone()).or_default() += 1;
    }

    fn drop_live(&self, id: &SessionId) {
        if let Some(session) = self.live.lock().remove(id) {
            session.end();
        }
    }

    /// What is sent to a reader that comes back to a place.
    async fn resumed(&self, session: &Arc<Session>, event: &str) -> Result<EventStream, SessionError> {
        let (number, request, cursor, asked) =
            match self.seal.open(&[&session.id], event).ok_or(SessionError::UnknownEvent)? {
                Place::Session { incarnation, event, at } => {
                    return Ok(session_events(
                        SessionStream::new(session, Some(After { incarnation, event, at })).await,
                    ));
                }
                Place::Request { stream, request, cursor } => (stream, request, cursor, Vec::new()),
                Place::Asking { stream, request, cursor, sent_questions } => {
                    (stream, request, cursor, sent_questions)
                }
            };
        if cursor.answered {
            return Ok(Box::pin(stream::empty()));
        }
        match (session.slot_of(number).await?, request) {
            (Some(slot), _) => Ok(request_events(RequestStream::at(session, slot, cursor, asked))),
            (None, Some(request)) => {
                let lost = request_stream::refused(session, number, &request.into(), error::lost_request());
                Ok(Box::pin(stream::iter([lost])))
            }
            (None, None) => Err(SessionError::UnknownEvent),
        }
    }
}

fn session_events(stream: SessionStream) -> EventStream {
    Box::pin(stream::unfold(stream, async |mut stream| stream.next().await.map(|event| (event, stream))))
}

fn request_events(stream: RequestStream) -> EventStream {
    Box::pin(stream::unfold(stream, async |mut stream| stream.next().await.map(|event| (event, stream))))
}

impl SessionManager for Sessions {
    type Error = SessionError;
    type Transport = SessionTransport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        let bytes: [u8; 16] = session::random()?;
        let id: SessionId = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        let origin = Origin { id: id.clone(), owner: owner_of_this_request(), row: None };
        Ok((id, self.begin(origin)?))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        mut message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        let session = self.get(id)?;
        let begins = match &mut message {
            ClientJsonRpcMessage::Request(request) => {
                request.request.extensions_mut().insert(session.clone());
                match &request.request {
                    ClientRequest::InitializeRequest(request) => Some(request.params.clone()),
                    _ => None,
                }
            }
            _ => None,
        };
        let answer = session.greet(message).await?;
        if let (Some(params), ServerJsonRpcMessage::Response(_), false) =
            (begins, &answer, session.is_stored())
            && let Err(error) = session.store(&params).await
        {
            // Its client does not hear its id.
            self.drop_live(id);
            return Err(refused::noted(error));
        }
        Ok(answer)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        // One that rests is woken as one is restored.
        let Some(session) = self.find(id).filter(|session| !session.is_resting()) else { return Ok(false) };
        if session.touch()
            && let Err(error) = session.save().await
            && !error.passes()
        {
            return Err(refused::noted(error));
        }
        Ok(true)
    }

    /// The end of a session's service, or of the session itself; its rows go with [`SessionStore::delete`].
    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        {
            let mut leaving = self.leaving.lock();
            if let Some(count) = leaving.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    leaving.remove(id);
                }
                return Ok(());
            }
        }
        self.drop_live(id);
        Ok(())
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        mut message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let session = self.get(id)?;
        let ClientJsonRpcMessage::Request(request) = &mut message else { return Err(SessionError::Unknown) };
        let slot = match session.open_slot(request.id.clone())? {
            Ok(slot) => slot,
            Err(error) => {
                let refused =
                    request_stream::refused(&session, session::random_number()?, &request.id, error);
                return Ok(Box::pin(stream::iter([refused])) as EventStream);
            }
        };
        request.id = slot.inner_id();
        let stream = CallStream { session: session.clone(), slot: slot.clone() };
        request.request.extensions_mut().insert(stream);
        let stream = RequestStream::new(&session, slot);
        session.push(message).await?;
        Ok(request_events(stream))
    }

    /// A notification, or the answer to a question of the server's.
    async fn accept_message(
        &self,
        id: &SessionId,
        mut message: ClientJsonRpcMessage,
    ) -> Result<(), Self::Error> {
        let session = self.get(id)?;
        if let Some((asked, answer)) = session.respondent.reply_in(&message) {
            return session.take_reply(asked, answer).await.map_err(refused::noted);
        }
        let answers = match &mut message {
            JsonRpcMessage::Response(response) => Some(&mut response.id),
            JsonRpcMessage::Error(error) => error.id.as_mut(),
            _ => None,
        };
        if let Some(request) = answers {
            // What rmcp asked in an earlier life of the session, or never asked.
            let Some(asked) = session.id_of_rmcp(request) else { return Ok(()) };
            *request = asked;
        }
        let named = match &mut message {
            ClientJsonRpcMessage::Notification(JsonRpcNotification {
                notification: ClientNotification::CancelledNotification(cancelled),
                ..
            }) => cancelled.params.request_id.as_mut(),
            _ => None,
        };
        let given_up = named.map(|named| {
            let known = session.open_request(named).map(|slot| slot.inner_id());
            let known = known.unwrap_or_else(|| named.clone());
            std::mem::replace(named, known)
        });
        session.push(message).await?;
        if let Some(request) = given_up {
            session.give_up(&request).await.map_err(refused::noted)?;
        }
        Ok(())
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        Ok(session_events(SessionStream::new(&self.get(id)?, None).await))
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.resumed(&self.get(id)?, &last_event_id).await
    }

    async fn restore_session(&self, id: SessionId) -> Result<RestoreOutcome<Self::Transport>, Self::Error> {
        if let Some(session) = self.find(&id) {
            let (inbox, messages) = mpsc::channel(limits::MAX_SESSION_INBOX);
            session.wake(inbox);
            session.touch();
            return Ok(RestoreOutcome::Restored(SessionTransport::new(session, messages)));
        }
        let Some(row) = self.stored(&id).await? else { return Ok(RestoreOutcome::NotSupported) };
        let origin = Origin { id, owner: row.owner.clone(), row: Some(row) };
        Ok(RestoreOutcome::Restored(self.begin(origin)?))
    }
}

type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

/// rmcp asks here for a session that is not in memory. A session is stored by [`Sessions::initialize_session`], whose
/// failure the client hears of.
impl SessionStore for Sessions {
    fn load<'a, 'b, 'c>(&'a self, id: &'b str) -> Stored<'c, Option<SessionState>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let row = self.stored(id).await?;
            Ok(row.and_then(|row| row.initialize()).map(SessionState::new))
        })
    }

    fn store<'a, 'b, 'd, 'c>(&'a self, _id: &'b str, _state: &'d SessionState) -> Stored<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        'd: 'c,
        Self: 'c,
    {
        Box::pin(std::future::ready(Ok(())))
    }

    /// The client ends the session for good.
    fn delete<'a, 'b, 'c>(&'a self, id: &'b str) -> Stored<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.drop_live(&SessionId::from(id));
        let writes = rows::all_of(id);
        Box::pin(async move { Ok(self.server.engine().put_wing_rows(writes).await.map_err(refused::noted)?) })
    }
}
