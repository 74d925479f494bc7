//! Who sends an HTTP request: told by its token, or, on loopback, by having none. Asked anew for every request,
//! and what a revoked token holds open ends.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt;

use crate::authority::{Principal, Secret};
use crate::engine::{Bearer, TaskEngine};

/// The caller of one request. What it holds open is to end when [`Caller::revoked`] does.
#[derive(Clone, Debug)]
pub struct Caller {
    pub principal: Principal,
    token: Option<Bearer>,
}

tokio::task_local! {
    /// rmcp makes handlers, and asks for sessions, within the request's own future.
    static OF_REQUEST: Caller;
}

impl Caller {
    pub fn local() -> Self {
        Self { principal: Principal::local(), token: None }
    }

    pub fn of_this_request() -> Option<Self> {
        OF_REQUEST.try_with(Self::clone).ok()
    }

    /// Whose a session is: of a token and not only of its principal, since another token of that name may hold
    /// less. The same across restarts.
    pub fn owner(&self) -> String {
        let name = self.principal.name();
        match &self.token {
            Some(token) => format!("{name}#{}", URL_SAFE_NO_PAD.encode(token.fingerprint)),
            None => name.to_owned(),
        }
    }

    pub async fn revoked(&self) {
        match self.token.clone() {
            Some(mut token) => token.revoked().await,
            None => std::future::pending().await,
        }
    }
}

/// What the door of `/mcp` asks.
pub struct Door {
    pub engine: TaskEngine,
    /// A token of `local`, for whoever may read this process's data folder.
    pub key: Option<Secret>,
}

/// Why a request is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stranger {
    NoToken,
    BadToken,
}

/// Headers by which a proxy says that it stands in between: what it sends is not from this machine.
const OF_PROXIES: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

impl Door {
    fn caller(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> Result<Caller, Stranger> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = given.next() else {
            let is_here = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
            let is_passed_on = OF_PROXIES.iter().any(|name| headers.contains_key(*name));
            return if is_here && !is_passed_on { Ok(Caller::local()) } else { Err(Stranger::NoToken) };
        };
        let token = value.to_str().ok().and_then(bearer_token).filter(|_| given.next().is_none());
        let token = token.ok_or(Stranger::BadToken)?;
        if self.key.as_ref().is_some_and(|key| same(key, token)) {
            return Ok(Caller::local());
        }
        let bearer = self.engine.bearer(token).ok_or(Stranger::BadToken)?;
        Ok(Caller { principal: bearer.principal.clone(), token: Some(bearer) })
    }
}

fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares hashes, so that the time it takes says nothing.
fn same(key: &Secret, token: &str) -> bool {
    blake3::hash(key.expose().as_bytes()) == blake3::hash(token.as_bytes())
}

/// Lets a request in as its caller's, and cuts off what a revoked token holds open.
pub async fn identify(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let caller = match door.caller(request.headers(), peer) {
        Ok(caller) => caller,
        Err(why) => return door.turn_away(why),
    };
    // Whatever is done with the request further on, the secret is not needed for it.
    request.headers_mut().remove(header::AUTHORIZATION);
    let served = OF_REQUEST.scope(caller.clone(), next.run(request));
    if caller.token.is_none() {
        return served.await;
    }
    let response = tokio::select! {
        biased;
        () = caller.revoked() => return door.turn_away(Stranger::BadToken),
        response = served => response,
    };
    let (parts, body) = response.into_parts();
    let over = async move { caller.revoked().await };
    Response::from_parts(parts, Body::from_stream(body.into_data_stream().take_until(Box::pin(over))))
}

impl Door {
    fn turn_away(&self, why: Stranger) -> Response {
        let (word, challenge, told) = match why {
            Stranger::NoToken => (
                "no_token",
                "Bearer",
                "this server wants a token: `longhaul token new NAME` where it runs makes one, and clients send it \
                 as Authorization: Bearer TOKEN\n",
            ),
            Stranger::BadToken => (
                "bad_token",
                "Bearer error=\"invalid_token\"",
                "this token is not valid, or not any more; `longhaul token list` where the server runs shows those \
                 that are\n",
            ),
        };
        self.engine.audit_stranger(word);
        let challenge = HeaderValue::from_static(challenge);
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], told).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_as_such() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(bearer_token(value), token, "{value}");
        }
    }
}
