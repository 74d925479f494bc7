//! Questions as requests to the client of a call, for clients with a handshake. What was put to it stands until the
//! task is answered, by this client or elsewhere; a call of a session over HTTP asks on its own stream.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rmcp::RoleServer;
use rmcp::model::ServerRequest;
use rmcp::service::{Peer, RequestContext};
use tokio_util::sync::CancellationToken;

use crate::api::{InputRequest as Question, TaskDocument};
use crate::mcp::connection::Handler;
use crate::mcp::questions::asks;
use crate::mcp::questions::in_place;
use crate::mcp::questions::respondent::{Asked, Replied, Respondent};
use crate::mcp::sessions::CallStream;
use crate::task::TaskId;
use crate::{clock, limits};

type Offer<'a> = Pin<Box<dyn Future<Output = (String, Replied)> + Send + 'a>>;

pub struct Offers<'a> {
    handler: &'a Handler,
    /// `None` where the client cannot be asked at all.
    way: Option<Way>,
    id: TaskId,
    under_way: FuturesUnordered<Offer<'a>>,
    /// Cancelled once the question is no more.
    over: HashMap<String, CancellationToken>,
    /// Not to be offered again for this call.
    given_up: HashSet<String>,
    is_closed: bool,
}

/// How a question reaches the client.
#[derive(Clone)]
enum Way {
    Stream(CallStream),
    Pipe(Peer<RoleServer>, Arc<Respondent>),
}

impl<'a> Offers<'a> {
    pub fn new(handler: &'a Handler, context: &RequestContext<RoleServer>, id: TaskId) -> Self {
        let way = match (context.extensions.get::<CallStream>(), handler.connection.respondent.get()) {
            (Some(stream), _) => Some(Way::Stream(stream.clone())),
            (None, Some(respondent)) => Some(Way::Pipe(context.peer.clone(), respondent.clone())),
            (None, None) => None,
        };
        let (over, given_up) = (HashMap::new(), HashSet::new());
        Self { handler, way, id, under_way: FuturesUnordered::new(), over, given_up, is_closed: false }
    }

    /// Takes back what is under way, and offers nothing more: the client cannot answer.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.over.values().for_each(CancellationToken::cancel);
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Offers a question, unless that is under way or was in vain.
    pub fn add(&mut self, key: &str, question: &Question) {
        if self.is_closed || self.over.contains_key(key) || self.given_up.contains(key) {
            return;
        }
        let request = asks::request(self.id, key, question).and_then(asks::server_request);
        let first = Asked::first(self.id, question);
        let offer = self.way.clone().zip(request).and_then(|(way, request)| {
            let asked = way.respondent().next_offer(first)?;
            Some((way, asked, request))
        });
        let Some((way, asked, request)) = offer else {
            self.given_up.insert(key.to_owned());
            return;
        };
        let over = CancellationToken::new();
        self.over.insert(key.to_owned(), over.clone());
        let (handler, id, key) = (self.handler, self.id, key.to_owned());
        // Before anything else is sent: who reads the stream then knows all that is asked.
        if let Way::Stream(stream) = &way {
            stream.slot.ask(asked, way.respondent().request(&asked, request.clone()));
        }
        self.under_way.push(Box::pin(async move {
            let replied = tokio::select! {
                replied = way.offer(asked, request, &over) => replied,
                () = keep_extending_deadline(handler, id, &key) => Replied::Over,
            };
            (key, replied)
        }));
    }

    /// Takes back what the task does not ask any more.
    pub fn keep(&mut self, task: &TaskDocument) {
        for (key, over) in &self.over {
            if !task.input_requests.contains_key(key) {
                over.cancel();
            }
        }
    }

    /// All that the task asks now was added.
    pub fn look(&self) {
        if let Some(Way::Stream(stream)) = &self.way {
            stream.slot.look();
        }
    }

    /// Ends when one of them is over. Safe to drop and call again.
    pub async fn next(&mut self) {
        let Some((key, replied)) = self.under_way.next().await else { return std::future::pending().await };
        self.over.remove(&key);
        if replied == Replied::Refused {
            self.given_up.insert(key);
        }
    }

    /// The call is answered: it asks nothing more.
    pub async fn withdraw(mut self) {
        self.over.values().for_each(CancellationToken::cancel);
        let taken_back = async { while self.under_way.next().await.is_some() {} };
        let patience = Duration::from_millis(limits::ANSWER_GRACE_MS);
        // A client that does not read holds nothing up.
        let _ = tokio::time::timeout(patience, taken_back).await;
    }
}

impl Way {
    fn respondent(&self) -> &Respondent {
        match self {
            Self::Stream(stream) => &stream.session.respondent,
            Self::Pipe(_, respondent) => respondent,
        }
    }

    /// Until the client has replied, or the question is over.
    async fn offer(&self, asked: Asked, request: ServerRequest, over: &CancellationToken) -> Replied {
        if let Self::Pipe(peer, respondent) = self
            && respondent.begin(asked)
            && in_place::ask(peer, respondent.id(&asked), request).await.is_err()
        {
            respondent.end(asked);
            return Replied::Refused;
        }
        let replied = tokio::select! {
            biased;
            replied = self.respondent().reply(asked) => replied,
            () = over.cancelled() => Replied::Over,
        };
        match self {
            // Its reader tells the client, should that not know.
            Self::Stream(stream) => stream.slot.end_question(asked),
            Self::Pipe(peer, respondent) => {
                if respondent.end(asked) && !respondent.has_replied(asked) {
                    // A client that is gone needs no telling.
                    let _ = peer.send_notification(respondent.cancellation(&asked)).await;
                }
            }
        }
        replied
    }
}

/// A sample that a client works on is not given up for want of anybody. Never ends.
async fn keep_extending_deadline(handler: &Handler, id: TaskId, key: &str) {
    let time = Duration::from_secs(limits::AT_HAND_SECONDS);
    loop {
        handler.server.engine().extend_deadline(id, key, time);
        clock::sleep(time / 2).await;
    }
}
