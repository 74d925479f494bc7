//! The stream that a session has besides its requests (GET).

use std::sync::Arc;
use std::time::{Duration, Instant};

use rmcp::transport::streamable_http_server::session::ServerSseMessage;

use super::event_id::Place;
use super::outbox::Next;
use super::session::{Reader, Session};
use crate::clock::UnixNanos;
use crate::engine::{ReportAt, ResourceKey, Signal};
use crate::limits;
use crate::mcp::wire::uri::ResourceUri;

pub struct SessionStream {
    reader: Reader,
    number: u64,
    last_event: u64,
    greeting: Option<ServerSseMessage>,
}

/// The place that a reader comes back to.
#[derive(Clone, Copy, Debug)]
pub struct After {
    pub incarnation: u64,
    pub event: u64,
    pub at: UnixNanos,
}

impl SessionStream {
    pub async fn new(session: &Arc<Session>, after: Option<After>) -> Self {
        let event = after.filter(|after| after.incarnation == session.incarnation).map(|after| after.event);
        let feed = session.server.engine().feed();
        let lists = [ResourceKey::Tools, ResourceKey::Tasks(session.principal().name().to_owned())];
        let (number, restored) = session.outbox.begin(feed, lists, event);
        if restored || (after.is_some() && event.is_none()) {
            session.outbox.mark(changed_since(session, after.map(|after| after.at)).await);
        }
        let last_event = event.unwrap_or_default();
        let mut stream = Self { reader: session.reader(), number, last_event, greeting: None };
        let retry = Duration::from_millis(limits::SSE_RETRY_MS);
        stream.greeting = Some(ServerSseMessage::priming(stream.place(), retry));
        stream
    }

    pub async fn next(&mut self) -> Option<ServerSseMessage> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            match self.session().outbox.next(self.number, self.last_event) {
                Next::Event(event, message) => {
                    self.last_event = event;
                    let mut sent = ServerSseMessage::default();
                    (sent.event_id, sent.message) = (Some(self.place()), Some(message));
                    return Some(sent);
                }
                Next::Wait(signal, until) => self.wait(signal, until).await?,
                Next::Mute => {
                    // To end it would bring its client back, to take the stream from the newer one.
                    self.session().over().cancelled().await;
                    return None;
                }
            }
        }
    }

    /// `None` when the session is over.
    async fn wait(&self, signal: Option<Signal>, until: Option<Instant>) -> Option<()> {
        let session = self.session();
        let changed = async {
            match signal {
                Some(signal) => signal.changed().await,
                None => std::future::pending().await,
            }
        };
        let time_over = async {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => Some(()),
            () = time_over => Some(()),
            () = session.over().cancelled() => None,
            () = session.server.stopping().cancelled() => None,
        }
    }

    fn place(&self) -> String {
        let (session, now) = (self.session(), self.session().server.engine().now());
        let place = Place::Session { incarnation: session.incarnation, event: self.last_event, at: now };
        session.seal(&place)
    }

    fn session(&self) -> &Arc<Session> {
        &self.reader.session
    }
}

/// The subscribed resources that changed since a moment, or all, where none is known. What changed right before it
/// may be among them: a change has its time from before its commit.
async fn changed_since(session: &Session, at: Option<UnixNanos>) -> Vec<String> {
    let margin = limits::UPDATE_MARGIN_MS * 1_000_000;
    let mut changed = Vec::new();
    for uri in session.subscriptions() {
        let is_older = match at.zip(ResourceUri::parse(&uri)) {
            // What is not there any more has changed.
            Some((at, of)) => {
                let updated_at = updated_at(session, &of).await;
                updated_at.is_some_and(|updated_at| updated_at < at.saturating_sub(margin))
            }
            None => false,
        };
        if !is_older {
            changed.push(uri);
        }
    }
    changed
}

async fn updated_at(session: &Session, of: &ResourceUri) -> Option<UnixNanos> {
    let (engine, principal) = (session.server.engine(), session.principal());
    match (of, of.task()) {
        // One report at most is read: it is the time that counts.
        (_, Some(id)) => {
            let reported = engine.reported(principal, id, ReportAt::default(), 1).await;
            reported.ok().map(|reported| reported.updated_at)
        }
        (ResourceUri::State(namespace, key), None) => {
            let entry = engine.state_get(principal, namespace, key).await;
            entry.ok().flatten().map(|entry| entry.updated_at)
        }
        (_, None) => None,
    }
}
