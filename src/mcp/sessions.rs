//! Legacy sessions. rmcp keeps them; here each `tools/call` gets a way to its own response stream for what
//! rmcp would send elsewhere, and a session ends by idleness only while no stream of it is open.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::Stream;
use rmcp::model::*;
use rmcp::transport::streamable_http_server::SessionManager;
use rmcp::transport::streamable_http_server::session::local::{
    LocalSessionManager, LocalSessionManagerError,
};
use rmcp::transport::streamable_http_server::session::{ServerSseMessage, SessionId};
use tokio::sync::mpsc;

use super::caller::Caller;
use crate::limits;

/// The way to one call's response stream. rmcp sends log messages to the session's GET stream otherwise,
/// which a client may not even have opened.
#[derive(Clone)]
pub struct CallStream {
    messages: mpsc::Sender<ServerSseMessage>,
}

impl CallStream {
    /// Waits for a client that does not read; drops what nobody is there to read.
    pub async fn send(&self, notification: ServerNotification) {
        let message = ServerSseMessage::from_message(ServerJsonRpcMessage::notification(notification));
        drop(self.messages.send(message).await);
    }
}

pub struct Sessions {
    inner: LocalSessionManager,
    used: Arc<Mutex<HashMap<SessionId, Use>>>,
}

struct Use {
    /// See `Caller::owner`.
    owner: Option<String>,
    streams: usize,
    last: Instant,
}

impl Default for Sessions {
    fn default() -> Self {
        let mut inner = LocalSessionManager::default();
        // rmcp would end a session whose open stream has nothing to tell for a while.
        inner.session_config.keep_alive = None;
        Self { inner, used: Arc::default() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("this server has all the {0} sessions it takes: end one, or speak 2026-07-28, which has none")]
    TooMany(usize),
    #[error(transparent)]
    Session(#[from] LocalSessionManagerError),
}

impl Sessions {
    /// Ends the sessions that were not used for `idle` and have no open stream.
    pub async fn end_idle(&self, idle: Duration) {
        let over: Vec<SessionId> = {
            let used = self.used();
            let is_over = |used: &Use| used.streams == 0 && used.last.elapsed() >= idle;
            used.iter().filter(|(_, used)| is_over(used)).map(|(id, _)| id.clone()).collect()
        };
        for id in over {
            tracing::debug!(session = %id, "ending an idle session");
            if let Err(error) = self.close_session(&id).await {
                tracing::warn!(session = %id, %error, "an idle session did not end");
            }
        }
    }

    /// Whether it is there and somebody else's.
    pub fn is_foreign(&self, id: &SessionId, owner: &str) -> bool {
        self.used().get(id).is_some_and(|used| used.owner.as_deref() != Some(owner))
    }

    pub fn count(&self) -> usize {
        self.used().len()
    }

    fn used(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Use>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self, id: &SessionId) {
        if let Some(used) = self.used().get_mut(id) {
            used.last = Instant::now();
        }
    }

    fn open<S>(
        &self,
        id: &SessionId,
        inner: S,
        extra: Option<mpsc::Receiver<ServerSseMessage>>,
    ) -> SessionStream<S> {
        if let Some(used) = self.used().get_mut(id) {
            used.streams += 1;
        }
        let open = OpenStream { used: self.used.clone(), id: id.clone() };
        SessionStream { inner: Box::pin(inner), extra, _open: open }
    }
}

impl SessionManager for Sessions {
    type Error = SessionError;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        if self.count() >= limits::MAX_SESSIONS {
            return Err(SessionError::TooMany(limits::MAX_SESSIONS));
        }
        let (id, transport) = self.inner.create_session().await?;
        let owner = Caller::of_this_request().map(|caller| caller.owner());
        self.used().insert(id.clone(), Use { owner, streams: 0, last: Instant::now() });
        Ok((id, transport))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        Ok(self.inner.initialize_session(id, message).await?)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        self.touch(id);
        Ok(self.inner.has_session(id).await?)
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        self.used().remove(id);
        Ok(self.inner.close_session(id).await?)
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        mut message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let mut extra = None;
        if let ClientJsonRpcMessage::Request(request) = &mut message
            && let ClientRequest::CallToolRequest(call) = &mut request.request
        {
            let (messages, receiver) = mpsc::channel(limits::MAX_CALL_STREAM_MESSAGES);
            call.extensions.insert(CallStream { messages });
            extra = Some(receiver);
        }
        let stream = self.inner.create_stream(id, message).await?;
        Ok(self.open(id, stream, extra))
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Self::Error> {
        Ok(self.inner.accept_message(id, message).await?)
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let stream = self.inner.create_standalone_stream(id).await?;
        Ok(self.open(id, stream, None))
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let stream = self.inner.resume(id, last_event_id).await?;
        Ok(self.open(id, stream, None))
    }
}

/// A stream of a session, with what was sent past rmcp before what rmcp sends: a handler sends the former
/// before it returns the answer that ends the stream.
struct SessionStream<S> {
    inner: Pin<Box<S>>,
    extra: Option<mpsc::Receiver<ServerSseMessage>>,
    _open: OpenStream,
}

impl<S: Stream<Item = ServerSseMessage>> Stream for SessionStream<S> {
    type Item = ServerSseMessage;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(extra) = &mut self.extra {
            match extra.poll_recv(cx) {
                Poll::Ready(Some(message)) => return Poll::Ready(Some(message)),
                Poll::Ready(None) => self.extra = None,
                Poll::Pending => {}
            }
        }
        self.inner.as_mut().poll_next(cx)
    }
}

struct OpenStream {
    used: Arc<Mutex<HashMap<SessionId, Use>>>,
    id: SessionId,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = used.get_mut(&self.id) {
            used.streams = used.streams.saturating_sub(1);
            used.last = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_session_ends_by_idleness_only_without_an_open_stream() {
        let sessions = Sessions::default();
        let (id, _transport) = sessions.create_session().await.expect("a session");
        let stream = sessions.open(&id, futures::stream::pending::<ServerSseMessage>(), None);
        sessions.end_idle(Duration::ZERO).await;
        assert_eq!(sessions.count(), 1);
        drop(stream);
        sessions.end_idle(Duration::from_secs(3600)).await;
        assert_eq!(sessions.count(), 1);
        sessions.end_idle(Duration::ZERO).await;
        assert!(!sessions.has_session(&id).await.expect("told"));
        assert_eq!(sessions.count(), 0);
    }

    #[tokio::test]
    async fn what_a_call_tells_comes_before_its_answer() {
        let sessions = Sessions::default();
        let (id, _transport) = sessions.create_session().await.expect("a session");
        let (messages, extra) = mpsc::channel(limits::MAX_CALL_STREAM_MESSAGES);
        let call = CallStream { messages };
        for _ in 0..2 {
            call.send(ServerNotification::ToolListChangedNotification(Default::default())).await;
        }
        drop(call);
        let answer = ServerSseMessage::new(
            "answer",
            ServerJsonRpcMessage::response(ServerResult::empty(()), RequestId::Number(1)),
        );
        let stream = sessions.open(&id, futures::stream::iter([answer]), Some(extra));
        let ids: Vec<Option<String>> = stream.map(|message| message.event_id).collect().await;
        assert_eq!(ids, [None, None, Some("answer".to_owned())]);
    }
}
