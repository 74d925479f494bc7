//! Questions as requests on a call's own stream, for clients with sessions. They are sent and waited for within
//! the call's handler: what is sent from elsewhere, rmcp puts on another stream.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rmcp::RoleServer;
use rmcp::model::{
    CancelledNotification, CancelledNotificationParam, GetExtensions, ServerNotification, ServerRequest,
};
use rmcp::service::{PeerRequestOptions, RequestContext, RequestHandle, ServiceError};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::asks::{self, BY_PROTOCOL};
use super::server::Handler;
use super::sessions::CallStream;
use crate::engine::questions::{Given, InputRequest as Question};
use crate::engine::{EngineError, TaskDocument};
use crate::task::{QuestionKind, TaskId};
use crate::{clock, limits};

type Offer<'a> = Pin<Box<dyn Future<Output = (String, Offered)> + Send + 'a>>;

pub struct Offers<'a> {
    handler: &'a Handler,
    context: &'a RequestContext<RoleServer>,
    id: TaskId,
    under_way: FuturesUnordered<Offer<'a>>,
    /// Cancelled once the question is no more.
    over: HashMap<String, CancellationToken>,
    tries: HashMap<String, u32>,
    /// Not to be offered again on this stream.
    given_up: HashSet<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Offered {
    /// It is answered, or no more.
    Done,
    /// The answer did not fit: the person may try again.
    Unfit,
    /// This client does not do it.
    Refused,
}

impl<'a> Offers<'a> {
    pub fn new(handler: &'a Handler, context: &'a RequestContext<RoleServer>, id: TaskId) -> Self {
        let (over, tries) = (HashMap::new(), HashMap::new());
        Self {
            handler,
            context,
            id,
            under_way: FuturesUnordered::new(),
            over,
            tries,
            given_up: HashSet::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Offers a question, unless that is under way or was in vain.
    pub fn add(&mut self, key: &str, question: &Question) {
        if self.over.contains_key(key) || self.given_up.contains(key) {
            return;
        }
        let request = asks::request(self.id, key, question).and_then(asks::server_request);
        let tries = self.tries.entry(key.to_owned()).or_default();
        *tries += 1;
        let Some(request) = request.filter(|_| *tries <= limits::MAX_OFFERS) else {
            self.given_up.insert(key.to_owned());
            return;
        };
        let over = CancellationToken::new();
        self.over.insert(key.to_owned(), over.clone());
        let (handler, context, id, kind) = (self.handler, self.context, self.id, question.kind);
        let key = key.to_owned();
        self.under_way.push(Box::pin(async move {
            let offered = tokio::select! {
                offered = offer(handler, context, id, (&key, kind), request, &over) => offered,
                () = holding(handler, id, &key) => Offered::Done,
            };
            (key, offered)
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

    /// Ends when one of them is over. Safe to drop and call again.
    pub async fn next(&mut self) {
        let Some((key, offered)) = self.under_way.next().await else { return std::future::pending().await };
        self.over.remove(&key);
        if offered == Offered::Refused {
            self.given_up.insert(key);
        }
    }

    /// The call is answered: nobody waits for these any more.
    pub async fn withdraw(mut self) {
        self.over.values().for_each(CancellationToken::cancel);
        let taken_back = async { while self.under_way.next().await.is_some() {} };
        let patience = Duration::from_millis(limits::ANSWER_GRACE_MS);
        // A client that does not read keeps nobody.
        let _ = tokio::time::timeout(patience, taken_back).await;
    }
}

async fn offer(
    handler: &Handler,
    context: &RequestContext<RoleServer>,
    id: TaskId,
    (key, kind): (&str, QuestionKind),
    mut request: ServerRequest,
    over: &CancellationToken,
) -> Offered {
    let stream = context.extensions.get::<CallStream>().cloned();
    if let Some(stream) = &stream {
        // So that it rides on the call's stream, also where no handler of that call waits any more.
        request.extensions_mut().insert(stream.clone());
    }
    let Ok(mut sent) = context.peer.send_request_with_option(request, PeerRequestOptions::no_options()).await
    else {
        return Offered::Refused;
    };
    let answer = tokio::select! {
        answer = &mut sent.rx => answer,
        () = over.cancelled() => {
            take_back(stream, sent).await;
            return Offered::Done;
        }
    };
    let given = match answer {
        Ok(Ok(result)) => match asks::given(kind, &serde_json::to_value(result).unwrap_or(Value::Null)) {
            Ok(given) => given,
            Err(_) => return Offered::Unfit,
        },
        // A model's owner said no; another channel may still have an answer to a person's question.
        Ok(Err(ServiceError::McpError(error)))
            if kind != QuestionKind::Elicit && !handler.samples_elsewhere() =>
        {
            Given::Unavailable(format!("the client answered: {}", error.message))
        }
        Ok(Err(_)) | Err(_) => return Offered::Refused,
    };
    let (engine, principal) = (handler.server.engine(), handler.connection.actor(context));
    match engine.answer(principal, id, Some(key), given, BY_PROTOCOL).await {
        Err(EngineError::BadAnswer { .. }) => Offered::Unfit,
        // What came too late is told by the task itself.
        _ => Offered::Done,
    }
}

/// By the same stream as the question: rmcp would tell it on another, which nobody may read.
async fn take_back(stream: Option<CallStream>, sent: RequestHandle<RoleServer>) {
    const REASON: &str = "it is answered or withdrawn";
    let Some(stream) = stream else { return drop(sent.cancel(Some(REASON.to_owned())).await) };
    let id = stream.session.id_on_the_wire(&sent.id);
    let params = CancelledNotificationParam::new(Some(id), Some(REASON.to_owned()));
    stream.send(ServerNotification::CancelledNotification(CancelledNotification::new(params)));
}

/// A sample that a client works on is not given up for want of anybody. Never ends.
async fn holding(handler: &Handler, id: TaskId, key: &str) {
    let time = Duration::from_secs(limits::AT_HAND_SECONDS);
    loop {
        handler.server.engine().hold(id, key, time);
        clock::sleep(time / 2).await;
    }
}
