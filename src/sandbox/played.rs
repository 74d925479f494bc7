//! A sandbox without a network: what a guest asks over HTTP is answered by who tries it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use futures::StreamExt;
use serde_json::Value;

use super::egress::{Answer, Dialler, Failure, Head, Outgoing, Route, Sending};
use super::run::{Sandbox, SandboxError, SandboxOptions};
use super::world::http;
use crate::engine::BoxFuture;

/// A request that a guest may send, as it would leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayedRequest {
    pub method: String,
    pub url: String,
    /// Of one that streams its BLAKE3.
    pub body: Vec<u8>,
    /// Of one that is not safe.
    pub idempotency_key: Option<String>,
}

/// Answers guests in the place of the network.
pub trait Player: Send + Sync + 'static {
    /// An answer as `task resolve --done` takes it, see [`check_answer`]; the error is a connection that fails.
    fn answer(&self, request: PlayedRequest) -> BoxFuture<Result<Value, String>>;
}

/// Whether this is an answer: `{"status": 200, "headers": {…}, "body": "text"}`, or `body_base64`, of which the status
/// alone is needed.
pub fn check_answer(answer: &Value) -> Result<(), String> {
    http::settled(Some(answer.clone())).map(drop)
}

impl Sandbox {
    /// A sandbox from which nothing leaves: `player` answers.
    pub fn played(options: SandboxOptions, player: Arc<dyn Player>) -> Result<Self, SandboxError> {
        Self::dialling(options, Arc::new(Played(player)))
    }
}

impl Sandbox {
    /// The same sandbox, from which nothing leaves: what a guest asks for is never answered.
    pub(super) fn unanswered(&self) -> Self {
        self.dialling_instead(Arc::new(Played(Arc::new(Silence))))
    }
}

/// No one answers: what is new does not happen.
pub struct Silence;

impl Player for Silence {
    fn answer(&self, _: PlayedRequest) -> BoxFuture<Result<Value, String>> {
        Box::pin(std::future::pending())
    }
}

/// A body as it is played.
async fn written(body: Option<Sending>) -> Result<Vec<u8>, Failure> {
    let upload = match body {
        None => return Ok(Vec::new()),
        Some(Sending::Whole(body)) => return Ok(body.to_vec()),
        Some(Sending::Streams(upload)) => upload,
    };
    let (mut hasher, mut pieces) = (blake3::Hasher::new(), upload.pieces());
    while let Some(piece) = pieces.next().await {
        hasher.update(&piece?);
    }
    Ok(hasher.finalize().as_bytes().to_vec())
}

struct Played(Arc<dyn Player>);

/// Stands for every name, so that the grant alone decides. It is never dialled.
const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1));

impl Dialler for Played {
    fn resolve(&self, host: &str) -> BoxFuture<Result<Vec<IpAddr>, Failure>> {
        let address = if host == "localhost" { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ANYWHERE };
        Box::pin(async move { Ok(vec![address]) })
    }

    fn is_own(&self, _: IpAddr) -> std::io::Result<bool> {
        Ok(false)
    }

    fn send(&self, request: Outgoing, _: Route) -> BoxFuture<Result<Head, Failure>> {
        let key = request.headers.get("idempotency-key").and_then(|key| key.to_str().ok());
        let mut asked = PlayedRequest {
            method: request.method.to_string(),
            url: request.target.url().to_string(),
            body: Vec::new(),
            idempotency_key: key.map(str::to_owned),
        };
        let player = self.0.clone();
        Box::pin(async move {
            asked.body = written(request.body).await?;
            let answer = player.answer(asked).await.map_err(Failure::Other)?;
            let encoded = http::settled(Some(answer)).map_err(Failure::Other)?;
            let Some(http::Outcome::Whole(Answer { status, headers, body })) = http::outcome(&encoded) else {
                return Err(Failure::Protocol);
            };
            Ok(Head { status, headers, body: futures::stream::iter([Ok(body)]).boxed() })
        })
    }
}
