//! HTTP for the ops that use it, over plain `wasi:http`.

use serde::Deserialize;
use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::poll;
use wasip2::io::streams::StreamError;

use crate::hash::{HASH_START, hash};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub method: String,
    /// `http://host[:port][/path]` or the same with `https`.
    pub url: String,
    #[serde(default)]
    body: String,
    /// A body of that many `x` instead.
    body_bytes: Option<u64>,
    /// The guest's own `Idempotency-Key`.
    key: Option<String>,
    /// Given to the host as the time to the first byte.
    first_byte_ms: Option<u64>,
}

impl Request {
    pub fn with_body(self, body: String) -> Self {
        Self { body, ..self }
    }
}

/// Sends all at once, then waits for all of them with one poll at a time, at most `timeout_ms`. What each came to,
/// in the order of the requests: `STATUS HASH-OF-BODY`, `error NAME`, `timeout`.
pub fn send_all(requests: &[Request], timeout_ms: Option<u64>) -> Vec<String> {
    let timer = timeout_ms.map(|ms| monotonic_clock::subscribe_duration(ms.saturating_mul(1_000_000)));
    let mut results = vec![String::new(); requests.len()];
    let mut open = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        match send(request, request.body_bytes.unwrap_or(0)) {
            Ok((future, body)) => {
                // What a write came to is the exchange's error, too.
                let _ = body.finish();
                open.push((index, future));
            }
            Err(error) => results[index] = error,
        }
    }
    while !open.is_empty() {
        let pollables: Vec<_> = open.iter().map(|(_, future)| future.subscribe()).collect();
        let ready = poll::poll(&pollables.iter().chain(&timer).collect::<Vec<_>>());
        let is_over = ready.contains(&(pollables.len() as u32));
        drop(pollables);
        open.retain(|(index, future)| match answer(future) {
            Some(answer) => {
                results[*index] = answer;
                false
            }
            None if is_over => {
                results[*index] = "timeout".to_owned();
                false
            }
            None => true,
        });
    }
    results
}

/// Writes half of the body, drops the answer, and writes the rest.
pub fn send_and_drop(request: &Request) -> String {
    let bytes = request.body_bytes.unwrap_or(0);
    match send(request, bytes / 2) {
        Ok((future, mut body)) => {
            drop(future);
            body.write(&vec![b'x'; (bytes - bytes / 2) as usize]);
            body.finish()
        }
        Err(error) => error,
    }
}

struct Body {
    body: OutgoingBody,
    stream: wasip2::io::streams::OutputStream,
    failed: Option<String>,
}

impl Body {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(4096) {
            if self.failed.is_some() {
                return;
            }
            self.failed = self.stream.blocking_write_and_flush(chunk).err().map(|error| match error {
                StreamError::Closed => "closed".to_owned(),
                StreamError::LastOperationFailed(error) => named(&error),
            });
        }
    }

    /// What the writes came to.
    fn finish(self) -> String {
        let Self { body, stream, failed } = self;
        drop(stream);
        match (failed, OutgoingBody::finish(body, None)) {
            (Some(error), _) => format!("error {error}"),
            (None, Err(code)) => format!("error {}", name(&code)),
            (None, Ok(())) => "written".to_owned(),
        }
    }
}

fn send(request: &Request, first_bytes: u64) -> Result<(FutureIncomingResponse, Body), String> {
    let wrong = || "error unusable".to_owned();
    let (scheme, rest) = request.url.split_once("://").ok_or_else(wrong)?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let headers = Fields::new();
    if let Some(key) = &request.key {
        headers.set("idempotency-key", &[key.as_bytes().to_vec()]).map_err(|_| wrong())?;
    }
    let outgoing = OutgoingRequest::new(headers);
    let method = match request.method.as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        other => Method::Other(other.to_owned()),
    };
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    outgoing.set_method(&method).map_err(|()| wrong())?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| wrong())?;
    outgoing.set_authority(Some(authority)).map_err(|()| wrong())?;
    outgoing.set_path_with_query(Some(path)).map_err(|()| wrong())?;
    let body = outgoing.body().map_err(|()| wrong())?;
    let stream = body.write().map_err(|()| wrong())?;
    let options = RequestOptions::new();
    if let Some(ms) = request.first_byte_ms {
        options.set_first_byte_timeout(Some(ms.saturating_mul(1_000_000))).map_err(|()| wrong())?;
    }
    let future =
        outgoing_handler::handle(outgoing, Some(options)).map_err(|code| format!("error {}", name(&code)))?;
    let mut body = Body { body, stream, failed: None };
    match request.body_bytes {
        Some(_) => body.write(&vec![b'x'; first_bytes as usize]),
        None => body.write(request.body.as_bytes()),
    }
    Ok((future, body))
}

/// `None`: not there yet.
fn answer(future: &FutureIncomingResponse) -> Option<String> {
    let response = match future.get()? {
        Ok(Ok(response)) => response,
        Ok(Err(code)) => return Some(format!("error {}", name(&code))),
        Err(()) => return Some("error taken".to_owned()),
    };
    let mut of_body = HASH_START;
    if let Ok(body) = response.consume() {
        if let Ok(stream) = body.stream() {
            loop {
                match stream.blocking_read(64 * 1024) {
                    Ok(bytes) => of_body = hash(of_body, &bytes),
                    Err(StreamError::Closed) => break,
                    Err(StreamError::LastOperationFailed(error)) => {
                        return Some(format!("error {} within {of_body:016x}", named(&error)));
                    }
                }
            }
        }
        drop(IncomingBody::finish(body));
    }
    Some(format!("{} {of_body:016x}", response.status()))
}

fn named(error: &wasip2::io::error::Error) -> String {
    wasip2::http::types::http_error_code(error).map_or_else(|| "unknown".to_owned(), |code| name(&code))
}

/// The variant's name without what it carries.
fn name(code: &ErrorCode) -> String {
    let told = format!("{code:?}");
    let name: String = told.chars().take_while(char::is_ascii_alphanumeric).collect();
    // Generated code prints the type before the variant.
    match name.as_str() {
        "ErrorCode" => told["ErrorCode::".len()..].chars().take_while(char::is_ascii_alphanumeric).collect(),
        _ => name,
    }
}
