//! A `tools/call` of 2026-07-28 that has nothing to tell before its answer: most calls. It is read once, its handler runs
//! within the request, and its answer is one piece. rmcp makes a service with tasks and channels of each request,
//! reads it as whatever it may be, and writes it out again to compare it with its head. What is not plainly such a call
//! is left to it: there is no refusal here.

use std::borrow::Cow;
use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, ErrorCode, JsonObject, JsonRpcVersion2_0,
    ProtocolVersion, RequestId, RequestMetaObject, ServerJsonRpcMessage,
};
use rmcp::service::{Peer, RequestContext, RxJsonRpcMessage, Service as _, TxJsonRpcMessage, serve_directly};
use rmcp::transport::Transport;
use rmcp::{RoleServer, ServerHandler};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{accept, early_head};
use crate::http::{Body, Caller, Next, Request, Response, collect, content, done, status};
use crate::limits;
use crate::mcp::connection::Handler;
use crate::mcp::shared::McpServer;

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// Begins the names of headers that repeat an argument.
const PARAM: &str = "mcp-param-";
const JSON: &str = "application/json";
const CALL: &str = "tools/call";
/// What rmcp takes for a name in another writing.
const ENCODED: &str = "=?base64?";
/// What asks for notifications before the answer.
const TELLS: [&str; 2] = ["progressToken", "io.modelcontextprotocol/logLevel"];

/// Answers such calls.
pub struct Direct {
    server: McpServer,
    /// Of a connection that has ended. Nothing is sent through it: that is what such a call is.
    peer: Peer<RoleServer>,
    cut: CancellationToken,
}

/// A call as it is read here. Where more stands in it, it is left to rmcp.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call<'a> {
    #[serde(rename = "jsonrpc")]
    _version: JsonRpcVersion2_0,
    id: RequestId,
    #[serde(borrow)]
    method: Cow<'a, str>,
    params: Params,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    name: String,
    arguments: Option<JsonObject>,
    #[serde(rename = "_meta")]
    meta: RequestMetaObject,
}

impl Direct {
    /// Ends what is left once `cut` is cancelled.
    pub fn new(server: McpServer, cut: CancellationToken) -> Self {
        let peer = serve_directly::<RoleServer, _, _, _, _>(Nothing, Ended, None).peer().clone();
        Self { server, peer, cut }
    }

    async fn call(&self, call: Call<'_>, caller: Caller, parts: Parts) -> Response {
        let mut context = RequestContext::new(call.id.clone(), self.peer.clone());
        context.meta = call.params.meta;
        context.extensions.insert(parts);
        let mut params = CallToolRequestParams::new(call.params.name);
        params.arguments = call.params.arguments;
        let cancel = context.ct.clone();
        let running = Box::pin(run(self.server.handler(caller, None), call.id, params, context));
        tokio::select! {
            biased;
            answer = (Running { call: Some(running), cancel }) => answer,
            () = self.cut.cancelled() => status(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// Answers a call here, or leaves the request to what stands behind.
pub async fn answer(direct: Arc<Direct>, request: Request, next: Next) -> Response {
    let caller = Caller::of_this_request().filter(|_| is_of_call(request.method(), request.headers()));
    let Some(caller) = caller else { return next.run(request).await };
    let (parts, body) = request.into_parts();
    let Ok(bytes) = collect(body, limits::MAX_REQUEST_BYTES).await else {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    match read(&parts.headers, &bytes).filter(|call| !direct.server.has_param_headers(&call.params.name)) {
        Some(call) => direct.call(call, caller, parts).await,
        None => next.run(Request::from_parts(parts, Body::from(bytes))).await,
    }
}

/// Whether the head is of a call, with nothing in it that is not of every call.
fn is_of_call(method: &Method, headers: &HeaderMap) -> bool {
    let is = |name: &HeaderName, value: &str| only(headers, name).is_some_and(|there| there == value);
    method == Method::POST
        && is(&METHOD, CALL)
        && is(&VERSION, ProtocolVersion::V_2026_07_28.as_str())
        && is(&header::CONTENT_TYPE, JSON)
        && accept::is_of_all(headers)
        && !headers.contains_key(SESSION)
        && !headers.keys().any(|name| name.as_str().starts_with(PARAM))
}

/// The value of a header that stands there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}

/// The call in a body, if it says what its head says and wants nothing but an answer.
fn read<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<Call<'a>> {
    let call: Call = serde_json::from_slice(body).ok()?;
    let Params { name, meta, .. } = &call.params;
    let is_simple = name.bytes().all(|byte| byte.is_ascii_graphic()) && !name.starts_with(ENCODED);
    let is_named = is_simple && only(headers, &NAME) == Some(name.as_str());
    let is_plain = call.method == CALL
        && is_named
        && meta.protocol_version() == Some(ProtocolVersion::V_2026_07_28)
        && meta.client_info().is_some()
        && meta.client_capabilities().is_some()
        && TELLS.iter().all(|key| !meta.contains_key(*key));
    is_plain.then_some(call)
}

async fn run(
    handler: Handler,
    id: RequestId,
    params: CallToolRequestParams,
    context: RequestContext<RoleServer>,
) -> Response {
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
    match handler.handle_request(request, context).await {
        Ok(result) => events(&ServerJsonRpcMessage::response(result, id)),
        Err(error) => {
            let status = status_of(error.code);
            let message = ServerJsonRpcMessage::error(error, Some(id));
            if status == StatusCode::OK { events(&message) } else { document(status, &message) }
        }
    }
}

/// With what status rmcp sends an error; with 200 it goes as an event.
fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::UNSUPPORTED_PROTOCOL_VERSION
        | ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY
        | ErrorCode::HEADER_MISMATCH => StatusCode::BAD_REQUEST,
        ErrorCode::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}

/// A stream of events that is whole.
fn events(message: &ServerJsonRpcMessage) -> Response {
    let mut event = b"data: ".to_vec();
    match serde_json::to_writer(&mut event, message) {
        Ok(()) => {
            event.extend_from_slice(b"\n\n");
            early_head::stream_of(done(event))
        }
        Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn document(status: StatusCode, message: &ServerJsonRpcMessage) -> Response {
    match serde_json::to_vec(message) {
        Ok(body) => content(status, JSON, body),
        Err(_) => self::status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A call that runs within its request. Should the client go, it is cancelled, and comes to its end by itself: what it
/// does about that must not be cut off.
struct Running {
    call: Option<Answering>,
    cancel: CancellationToken,
}

impl Future for Running {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        // Not there while it is polled: one that panics is over.
        let Some(mut call) = self.call.take() else { return Poll::Pending };
        let polled = call.as_mut().poll(context);
        if polled.is_pending() {
            self.call = Some(call);
        }
        polled
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        self.cancel.cancel();
        // Without a runtime the server is gone, and with it what the call could do.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(call);
        }
    }
}

/// The server and the transport of a connection that ends at once.
struct Nothing;

impl ServerHandler for Nothing {}

struct Ended;

impl Transport<RoleServer> for Ended {
    type Error = io::Error;

    fn send(
        &mut self,
        _: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        ready(Err(io::ErrorKind::NotConnected.into()))
    }

    fn receive(&mut self) -> impl Future<Output = Option<RxJsonRpcMessage<RoleServer>>> + Send {
        ready(None)
    }

    fn close(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::{Value, json};

    use super::*;

    const META: &str = "io.modelcontextprotocol/";

    fn head() -> HeaderMap {
        let headers = [
            (VERSION, "2026-07-28"),
            (METHOD, CALL),
            (NAME, "t"),
            (header::CONTENT_TYPE, JSON),
            (header::HOST, "localhost"),
        ];
        headers.map(|(name, value)| (name, HeaderValue::from_static(value))).into_iter().collect()
    }

    fn body() -> Value {
        json!({
            "jsonrpc": "2.0", "id": 7, "method": CALL,
            "params": {
                "name": "t", "arguments": {"n": 1},
                "_meta": {
                    format!("{META}protocolVersion"): "2026-07-28",
                    format!("{META}clientCapabilities"): {},
                    format!("{META}clientInfo"): {"name": "c", "version": "1"},
                },
            },
        })
    }

    fn is_read(body: &Value) -> bool {
        read(&head(), body.to_string().as_bytes()).is_some()
    }

    #[test]
    fn a_plain_call_is_read_here_and_what_has_more_to_it_is_not() {
        assert!(is_read(&body()));
        let mut bare = body();
        bare["params"].as_object_mut().expect("an object").remove("arguments");
        assert!(is_read(&bare));
        for (place, value) in [
            ("/id", json!(null)),
            ("/id", json!(1.5)),
            ("/jsonrpc", json!("1.0")),
            ("/method", json!("tools/list")),
            ("/params/name", json!("other")),
            ("/params/arguments", json!([1])),
            ("/params/_meta", json!({})),
        ] {
            let mut other = body();
            *other.pointer_mut(place).expect("a place") = value;
            assert!(!is_read(&other), "{other}");
        }
        for (place, key, value) in [
            ("/params/_meta", "progressToken", json!(1)),
            ("/params/_meta", "progressToken", json!({})),
            ("/params/_meta", "io.modelcontextprotocol/logLevel", json!("info")),
            ("/params/_meta", "io.modelcontextprotocol/protocolVersion", json!("2025-11-25")),
            ("/params/_meta", "io.modelcontextprotocol/clientCapabilities", json!(7)),
            ("/params/_meta", "io.modelcontextprotocol/clientInfo", json!("c")),
            ("/params", "requestState", json!("s")),
            ("/params", "inputResponses", json!({})),
            ("/params", "task", json!({})),
            ("", "more", json!(1)),
        ] {
            let mut other = body();
            other.pointer_mut(place).expect("a place")[key] = value;
            assert!(!is_read(&other), "{other}");
        }
        let twice = body().to_string().replacen("\"id\":7", "\"id\":7,\"id\":8", 1);
        assert!(read(&head(), twice.as_bytes()).is_none());
    }

    #[test]
    fn a_head_that_says_more_or_less_is_left_to_rmcp() {
        assert!(is_of_call(&Method::POST, &head()));
        assert!(!is_of_call(&Method::PUT, &head()));
        for (name, value) in [
            ("mcp-protocol-version", "2026-07-29"),
            ("mcp-method", "tools/list"),
            ("content-type", "application/json; charset=utf-8"),
            ("mcp-session-id", "1"),
            ("mcp-param-region", "eu"),
        ] {
            let mut headers = head();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            assert!(!is_of_call(&Method::POST, &headers), "{name}: {value}");
        }
        for name in [VERSION, METHOD, header::CONTENT_TYPE] {
            let mut twice = head();
            let value = twice[&name].clone();
            twice.append(name.clone(), value);
            assert!(!is_of_call(&Method::POST, &twice), "two {name}");
            let mut without = head();
            without.remove(&name);
            assert!(!is_of_call(&Method::POST, &without), "no {name}");
        }
        let encoded = HeaderValue::from_static("=?base64?dA==?=");
        let mut headers = head();
        headers.insert(NAME, encoded);
        let mut named = body();
        named["params"]["name"] = json!("=?base64?dA==?=");
        assert!(read(&headers, named.to_string().as_bytes()).is_none());
    }
}
