//! A client at a pair of pipes: each line is a message. Every request that is read is answered, also after the last
//! line, and every line that cannot be read.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rmcp::RoleServer;
use rmcp::model::*;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::pipe_task_ids::{bad_handshake, to_client, with_resources};
use super::reader::Reader;
use crate::limits;
use crate::mcp::connection::Ends;
use crate::mcp::wire::error;
use crate::mcp::wire::params::{self, AnyRequest};
use crate::mcp::wire::reading::{Envelope, Line, Lines, Patience, Unreadable, envelope, without_mark};

pub struct Pipe<R, W> {
    lines: Lines<R>,
    output: Arc<Output<W>>,
    reader: Reader,
    requests: Arc<Requests>,
    ends: Ends,
    /// An answer that is given here, and is being written.
    refusal: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send>>>,
    patience: Patience,
    /// There was a message that says which protocol is spoken; rmcp takes nothing but requests before it.
    has_begun: bool,
}

struct Output<W>(tokio::sync::Mutex<Option<W>>);

impl<W: AsyncWrite + Unpin> Output<W> {
    async fn write(&self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut output = self.0.lock().await;
        let output = output.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        output.write_all(&line).await?;
        output.flush().await
    }
}

/// The requests that have no answer yet. rmcp knows each by an id of its own: an answer that comes late, to a
/// request that was given up, is never taken for that of another request with the same id.
#[derive(Default)]
struct Requests {
    state: Mutex<RequestsState>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct RequestsState {
    /// The ids that the client knows, by those that rmcp knows.
    open: HashMap<RequestId, RequestId>,
    /// Answers that are on their way: a client that has one may use its id again before it is noticed here.
    under_way: usize,
    last: u64,
}

impl Requests {
    /// The id for rmcp. Notifications name a subscription by its id, which stays as it is.
    fn begin(&self, id: &RequestId, is_subscription: bool) -> Result<RequestId, ErrorData> {
        let mut state = self.state.lock();
        if state.open.len() >= limits::MAX_PIPED_REQUESTS {
            return Err(error::too_many_unanswered(limits::MAX_PIPED_REQUESTS));
        }
        let inner = if is_subscription {
            id.clone()
        } else {
            state.last += 1;
            RequestId::String(format!("longhaul-request-{}", state.last).into())
        };
        if state.open.contains_key(&inner) || state.open.values().any(|open| open == id) {
            return Err(error::id_in_use(id));
        }
        state.open.insert(inner.clone(), id.clone());
        Ok(inner)
    }

    /// The answer to this is being written: the id that the client knows, and what notes the end of that.
    fn answering(self: &Arc<Self>, inner: &RequestId) -> Option<(RequestId, Answering)> {
        let mut state = self.state.lock();
        let known = state.open.remove(inner)?;
        state.under_way += 1;
        Some((known, Answering(self.clone())))
    }

    /// The client gives a request up, which has no answer then.
    fn give_up(&self, id: &RequestId) -> Option<RequestId> {
        let inner = {
            let mut state = self.state.lock();
            let inner = state.open.iter().find(|(_, open)| *open == id).map(|(inner, _)| inner.clone())?;
            state.open.remove(&inner);
            inner
        };
        self.changed.send_replace(());
        Some(inner)
    }

    /// Ends once each is answered.
    async fn answered(&self) {
        let mut changed = self.changed.subscribe();
        let none = |state: &RequestsState| state.open.is_empty() && state.under_way == 0;
        // The sender is of this very struct.
        let _ = changed.wait_for(|()| none(&self.state.lock())).await;
    }
}

/// An answer that has been written, or cannot be, once this is dropped.
struct Answering(Arc<Requests>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.state.lock().under_way -= 1;
        self.0.changed.send_replace(());
    }
}

enum Read {
    Message(Box<ClientJsonRpcMessage>),
    Refused(Value),
    Nothing,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Send + Unpin + 'static> Pipe<R, W> {
    pub fn new((input, output): (R, W), reader: Reader, ends: Ends) -> Self {
        Self {
            lines: Lines::new(input, limits::MAX_REQUEST_BYTES),
            output: Arc::new(Output(tokio::sync::Mutex::new(Some(output)))),
            reader,
            requests: Arc::default(),
            ends,
            refusal: None,
            patience: Patience::default(),
            has_begun: false,
        }
    }

    /// `None` once there is nothing more to read.
    async fn line(&mut self) -> Option<Line> {
        let read = tokio::select! {
            biased;
            () = self.ends.silent.cancelled() => return None,
            () = self.ends.gone.cancelled() => return None,
            () = self.ends.closing.cancelled() => return None,
            read = self.lines.next() => read,
        };
        read.unwrap_or_else(|error| {
            tracing::info!(%error, "a client cannot be read any more");
            None
        })
    }

    /// Until each request is answered, or there is no reader for an answer.
    async fn answers(&mut self) {
        tokio::select! {
            () = self.requests.answered() => return,
            () = self.ends.gone.cancelled() => {}
            () = self.reader.gone() => self.ends.gone.cancel(),
        }
        // What works on an answer hears of it, and ends.
        let grace = Duration::from_millis(limits::ANSWER_GRACE_MS);
        let _ = tokio::time::timeout(grace, self.requests.answered()).await;
    }

    fn read(&mut self, line: Line) -> Read {
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong(scan) => return self.unreadable(Unreadable::too_long(&scan)),
        };
        let line = without_mark(&line);
        let envelope = match envelope(line) {
            Ok(envelope) => envelope,
            Err(unreadable) => return self.unreadable(unreadable),
        };
        let changed = with_resources(line).or_else(|| params::with_text_cursor(line));
        let line = changed.as_deref().unwrap_or(line);
        match serde_json::from_slice::<ClientJsonRpcMessage>(line) {
            Ok(message) => match bad_handshake(&message) {
                Some((id, error)) => Read::Refused(error::rpc_body(&id.into_json_value(), &error)),
                None => self.message(message, &envelope),
            },
            Err(error) => match AnyRequest::read(line) {
                Some(request) => {
                    let id = request.id.clone().into_json_value();
                    Read::Refused(error::rpc_body(&id, &request.fault_in_either()))
                }
                // A notification has no answer, whatever is wrong with it.
                None if envelope == Envelope::Notification => {
                    tracing::debug!(%error, "a client's notification makes no sense");
                    Read::Nothing
                }
                None => self.unreadable(Unreadable::unknown(line, &error)),
            },
        }
    }

    fn message(&mut self, mut message: ClientJsonRpcMessage, envelope: &Envelope) -> Read {
        if matches!(envelope, Envelope::Request(_)) {
            self.patience.renew();
        }
        match &mut message {
            JsonRpcMessage::Request(request) => {
                let is_subscription = matches!(request.request, ClientRequest::SubscriptionsListenRequest(_));
                match self.requests.begin(&request.id, is_subscription) {
                    Ok(inner) => request.id = inner,
                    Err(error) => {
                        let id = request.id.clone().into_json_value();
                        return Read::Refused(error::rpc_body(&id, &error));
                    }
                }
                self.has_begun |= begins(&request.request);
            }
            _ if !self.has_begun => return Read::Nothing,
            JsonRpcMessage::Notification(JsonRpcNotification {
                notification: ClientNotification::CancelledNotification(cancelled),
                ..
            }) => {
                if let Some(id) = &mut cancelled.params.request_id {
                    // What is answered cannot be given up.
                    let Some(inner) = self.requests.give_up(id) else { return Read::Nothing };
                    *id = inner;
                }
            }
            _ => {}
        }
        Read::Message(Box::new(message))
    }

    fn unreadable(&mut self, unreadable: Unreadable) -> Read {
        match unreadable {
            Unreadable::Request { id, error } if self.patience.allows(&id) => {
                Read::Refused(error::rpc_body(&id, &error))
            }
            // The question it was meant for must not wait for ever.
            Unreadable::Response { id, error } if self.has_begun => {
                match serde_json::from_value::<RequestId>(id) {
                    Ok(id) => Read::Message(Box::new(ClientJsonRpcMessage::error(*error, Some(id)))),
                    Err(_) => Read::Nothing,
                }
            }
            Unreadable::Request { .. } | Unreadable::Response { .. } => Read::Nothing,
        }
    }

    fn write(
        &self,
        message: impl Serialize + Send + Sync + 'static,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let (output, gone) = (self.output.clone(), self.ends.gone.clone());
        async move {
            let written = output.write(&message).await;
            if written.is_err() {
                gone.cancel();
            }
            written
        }
    }
}

/// Whether rmcp knows by this request what protocol is spoken.
fn begins(request: &ClientRequest) -> bool {
    match request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_) => false,
        request => {
            let meta = request.get_meta();
            let known = |version| ProtocolVersion::KNOWN_VERSIONS.contains(&version);
            meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
                && meta.protocol_version().is_some_and(known)
        }
    }
}

impl<R, W> Transport<RoleServer> for Pipe<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let mut message = to_client(item);
        let id = match &mut message {
            JsonRpcMessage::Response(response) => Some(&mut response.id),
            JsonRpcMessage::Error(error) => error.id.as_mut(),
            _ => None,
        };
        let answering = id.and_then(|id| {
            let (known, answering) = self.requests.answering(id)?;
            *id = known;
            Some(answering)
        });
        let written = self.write(message);
        async move {
            let _answering = answering;
            written.await
        }
    }

    /// Safe to drop and call again.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            if let Some(refusal) = &mut self.refusal {
                // A client that does not read is not read either.
                let _ = refusal.as_mut().await;
                self.refusal = None;
            }
            let Some(line) = self.line().await else {
                self.ends.silent.cancel();
                self.answers().await;
                return None;
            };
            match self.read(line) {
                Read::Message(message) => return Some(*message),
                Read::Refused(answer) => self.refusal = Some(Box::pin(self.write(answer))),
                Read::Nothing => {}
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        drop(self.output.0.lock().await.take());
        Ok(())
    }
}
