//! Says who sends a request, asked for each: the owner is known by the key in the data folder or by the user that a
//! loopback connection belongs to, all others by a token. What a revoked token holds open ends.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt;
use futures::future::Either;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use hyper::body::Body as _;

use super::backend::{Backend, Bearer};
use super::chain::Next;
use super::in_flight::{self, InFlight};
use super::message::{Body, Request, Response, collect};
use super::owner::OfOwner;
use super::pace::{Pace, Paced};
use super::places::OnConnection;
use super::rates::{OfCaller, Rates};
use super::refused::refused;
use crate::authority::{Principal, Secret};
use crate::limits;
use crate::shares::{Account, Refusal};

/// The caller of one request. What it holds open is to end when [`Caller::revoked`] does.
#[derive(Clone, Debug)]
pub struct Caller {
    pub principal: Principal,
    known_by: KnownBy,
    /// Where its requests are counted, if they are.
    rates: Option<Arc<Rates>>,
}

/// What a caller is known by.
#[derive(Clone, Debug)]
enum KnownBy {
    /// The data folder: its socket, its key, or the pipes of the process that owns it.
    Folder,
    /// The user that the connection belongs to. Many programs of that user are not the owner's hand.
    Connection,
    Token(Bearer),
}

tokio::task_local! {
    /// Set for the whole of a request's own future, in which wings answer it.
    static OF_REQUEST: Caller;
}

impl Caller {
    /// The owner, by what only the owner of the data folder has.
    pub fn of_folder() -> Self {
        Self { principal: Principal::local(), known_by: KnownBy::Folder, rates: None }
    }

    /// The owner, by the connection alone.
    fn of_connection() -> Self {
        Self { principal: Principal::local(), known_by: KnownBy::Connection, rates: None }
    }

    /// Whether it may do what the owner alone does: make tokens, read the audit, answer as a person by the command
    /// line.
    pub fn holds_folder(&self) -> bool {
        matches!(self.known_by, KnownBy::Folder)
    }

    pub fn of_this_request() -> Option<Self> {
        OF_REQUEST.try_with(Self::clone).ok()
    }

    /// A future that is this request's caller's also where it is polled once the request itself has been answered.
    pub fn keep<F: Future>(future: F) -> impl Future<Output = F::Output> {
        match Self::of_this_request() {
            Some(caller) => Either::Left(OF_REQUEST.scope(caller, future)),
            None => Either::Right(future),
        }
    }

    /// Whose a session is: of what the caller is known by and not only of its principal, since another token of that
    /// name, or the same user without the key, may do less. The same across restarts.
    pub fn owner(&self) -> String {
        let name = self.principal.name();
        match &self.known_by {
            KnownBy::Token(token) => format!("{name}#{}", URL_SAFE_NO_PAD.encode(token.fingerprint)),
            KnownBy::Folder => format!("{name}#key"),
            KnownBy::Connection => name.to_owned(),
        }
    }

    /// Whether its requests are counted.
    pub fn is_counted(&self) -> bool {
        self.rates.is_some()
    }

    /// A request of it that was counted is not to count.
    pub fn give_back(&self) {
        if let Some(rates) = &self.rates {
            rates.of_caller(self.principal.name()).give_back();
        }
    }

    pub async fn revoked(&self) {
        match &self.known_by {
            KnownBy::Token(token) => token.revoked().await,
            KnownBy::Folder | KnownBy::Connection => std::future::pending().await,
        }
    }
}

/// What a request is let in by.
pub struct Door {
    pub backend: Arc<dyn Backend>,
    /// The owner's key, which stands in the data folder.
    pub key: Option<Secret>,
    pub rates: Arc<Rates>,
    pub account: Arc<Account>,
    pub pace: Pace,
}

/// Why the caller of a request is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    NoToken,
    BadToken,
}

impl Door {
    fn caller(&self, headers: &HeaderMap, of_owner: bool) -> Result<Caller, Unknown> {
        let given: Vec<&HeaderValue> = headers.get_all(header::AUTHORIZATION).iter().collect();
        let value = match given[..] {
            [] => return by_connection(headers, of_owner),
            [value] => value,
            _ => return Err(Unknown::BadToken),
        };
        let token = value.to_str().ok().and_then(bearer_token).ok_or(Unknown::BadToken)?;
        if self.key.as_ref().is_some_and(|key| same(key, token)) {
            return Ok(Caller::of_folder());
        }
        let bearer = self.backend.bearer(token).ok_or(Unknown::BadToken)?;
        let rates = Some(self.rates.clone());
        Ok(Caller { principal: bearer.principal.clone(), known_by: KnownBy::Token(bearer), rates })
    }
}

fn by_connection(headers: &HeaderMap, of_owner: bool) -> Result<Caller, Unknown> {
    let is_owner = of_owner && !is_forwarded(headers);
    if is_owner { Ok(Caller::of_connection()) } else { Err(Unknown::NoToken) }
}

/// Parts of the names of headers by which a proxy, a gateway or a content network says that it stands in between: what
/// it sends is another's request, no matter who runs the proxy. RFC 7239 (`Forwarded`), and what products add.
const OF_PROXIES: [&str; 9] = [
    "forward",
    "client-ip",
    "clientip",
    "connecting-ip",
    "originating-ip",
    "real-ip",
    "real-port",
    "remote-ip",
    "remote-addr",
];
/// The same as the beginning of a name; RFC 9110 has `Via`, RFC 8586 `CDN-Loop`.
const OF_PROXIES_BEGIN: [&str; 12] = [
    "cdn-",
    "cf-",
    "fastly-",
    "fly-",
    "proxy-",
    "tailscale-",
    "x-amzn-",
    "x-appengine-",
    "x-azure-",
    "x-envoy-",
    "x-original-",
    "x-proxy",
];

/// What nearly all requests have, which none of them adds: it is not compared with all of the above.
const OF_CLIENTS: [HeaderName; 7] = [
    header::HOST,
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::USER_AGENT,
];

fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().filter(|name| !OF_CLIENTS.contains(name)).any(|name| {
        let name = with_hyphens(name.as_str());
        name == "via"
            || OF_PROXIES.iter().any(|part| name.contains(part))
            || OF_PROXIES_BEGIN.iter().any(|begin| name.starts_with(begin))
    })
}

fn with_hyphens(name: &str) -> Cow<'_, str> {
    if name.contains('_') { name.replace('_', "-").into() } else { name.into() }
}

fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares hashes, so that the time it takes says nothing.
fn same(key: &Secret, token: &str) -> bool {
    blake3::hash(key.expose().as_bytes()) == blake3::hash(token.as_bytes())
}

/// Lets a request in as its caller's, within the caller's share, and cuts off what a revoked token holds open.
pub async fn identify(door: Arc<Door>, mut request: Request, next: Next) -> Response {
    let of_owner = request.extensions().get::<OfOwner>().is_some_and(|of_owner| of_owner.0);
    let connection = request.extensions().get::<OnConnection>().cloned();
    let caller = match door.caller(request.headers(), of_owner) {
        Ok(caller) => caller,
        Err(why) => return door.turn_away(why, connection.as_ref(), request.into_body()).await,
    };
    let has_token = matches!(caller.known_by, KnownBy::Token(_));
    let principal = caller.principal.clone();
    // Whatever is done with the request further on, the secret is not needed for it.
    request.headers_mut().remove(header::AUTHORIZATION);
    let (mut in_flight, rate) = match door.let_in(&caller, connection.as_ref(), &request) {
        Ok(let_in) => let_in,
        Err(refusal) => {
            let who = Paced::Principal(Arc::from(principal.name()));
            return door.refuse(who, request.into_body(), &refusal).await;
        }
    };
    let request = in_flight.count_as_it_arrives(request, rate);
    let served = OF_REQUEST.scope(caller.clone(), next.run(request));
    let response = if has_token {
        tokio::select! {
            biased;
            () = caller.revoked() => return door.turn_away(Unknown::BadToken, connection.as_ref(), Body::empty()).await,
            response = served => response,
        }
    } else {
        served.await
    };
    if let Err(refusal) = in_flight.take_answer(&door.account, principal.name(), &response) {
        return refused(&refusal);
    }
    if let Some(connection) = connection {
        connection.activity.hold(&principal, in_flight);
    }
    if !has_token {
        return response;
    }
    let (parts, body) = response.into_parts();
    let over = async move { caller.revoked().await };
    Response::from_parts(parts, Body::from_stream(body.into_data_stream().take_until(Box::pin(over))))
}

/// The connection cannot go on behind a body that was not read, and the client is to know.
fn last_unless(was_read: bool, mut response: Response) -> Response {
    if !was_read {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Reads a short body that is not asked for, so that its connection can go on; whether that was done.
async fn read_short(body: Body) -> bool {
    if body.size_hint().lower() > limits::MAX_CONNECTION_BUFFER_BYTES as u64 {
        return false;
    }
    let patience = Duration::from_millis(limits::UNASKED_BODY_MS);
    let read = tokio::time::timeout(patience, collect(body, limits::MAX_CONNECTION_BUFFER_BYTES)).await;
    read.is_ok_and(|read| read.is_ok())
}

impl Door {
    /// Within the rate of a caller with a token, and the shares of any: what the request holds from here on.
    fn let_in(
        &self,
        caller: &Caller,
        connection: Option<&OnConnection>,
        request: &Request,
    ) -> Result<(InFlight, Option<Arc<OfCaller>>), Refusal> {
        let who = caller.principal.name();
        let rate = matches!(caller.known_by, KnownBy::Token(_)).then(|| self.rates.of_caller(who));
        let declared = in_flight::declared(request);
        if let Some(rate) = &rate {
            rate.count_request(declared.unwrap_or(0))?;
        }
        if let Some(connection) = connection {
            connection.place.hand_to(who)?;
        }
        Ok((InFlight::take(&self.account, who, declared)?, rate))
    }

    /// Answers once that is due.
    async fn refuse(&self, who: Paced, body: Body, refusal: &Refusal) -> Response {
        let (was_read, ()) = tokio::join!(read_short(body), self.pace.wait(who));
        last_unless(was_read, refused(refusal))
    }

    async fn turn_away(&self, why: Unknown, connection: Option<&OnConnection>, body: Body) -> Response {
        if let Some(network) = connection.map(|it| it.activity.peer.network)
            && let Err(often) = self.rates.count_stranger(network)
        {
            return self.refuse(Paced::Network(network), body, &often).await;
        }
        let (word, challenge, advice) = match why {
            Unknown::NoToken => (
                "no_token",
                "Bearer",
                "this request is not known to be the owner's, and has no token. The owner's host sends the server's key: \
                 `longhaul install --client NAME --http --with-key`, run where the server runs, sets that up. Everybody \
                 else sends a token of the owner's as Authorization: Bearer TOKEN\n",
            ),
            Unknown::BadToken => (
                "bad_token",
                "Bearer error=\"invalid_token\"",
                "this token or key is not valid, or not any more. The owner's hosts find the key in LONGHAUL_KEY: \
                 `longhaul key`, run where the server runs, prints it. Everybody else asks the owner for another token\n",
            ),
        };
        self.backend.audit_unauthenticated(word);
        let challenge = [(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))];
        last_unless(read_short(body).await, (StatusCode::UNAUTHORIZED, challenge, advice).into_response())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_says_it_was_forwarded_is_another_machines() {
        for name in [
            "Forwarded",
            "X-Forwarded-For",
            "X-Forwarded-Proto",
            "x-forwarded",
            "Via",
            "X-Real-IP",
            "CDN-Loop",
        ] {
            let name = name.parse::<header::HeaderName>().expect("a name");
            assert!(
                is_forwarded(&HeaderMap::from_iter([(name.clone(), HeaderValue::from_static(""))])),
                "{name}"
            );
        }
        for name in
            ["user-agent", "x-request-id", "origin", "traceparent", "x-real", "mcp-name", "authorization"]
        {
            let name = name.parse::<header::HeaderName>().expect("a name");
            assert!(
                !is_forwarded(&HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("x"))])),
                "{name}"
            );
        }
    }

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
