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
    /// A body of that many KiB of changing text instead.
    body_kib: Option<u64>,
    #[serde(default)]
    ends: Ends,
    /// The guest's own `Idempotency-Key`.
    key: Option<String>,
    /// Given to the host as the time to the first byte.
    first_byte_ms: Option<u64>,
}

/// How the writing of a body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ends {
    #[default]
    Finished,
    /// It is finished once there is an answer.
    BehindAnswer,
    /// It is left where the answer comes first.
    AtAnswer,
    /// It is dropped before it is finished.
    Unfinished,
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
                let kept = match request.ends {
                    Ends::BehindAnswer => Some(body),
                    Ends::Finished | Ends::AtAnswer if body.is_whole => {
                        // What a write came to is the exchange's error, too.
                        let _ = body.finish();
                        None
                    }
                    _ => {
                        body.leave();
                        None
                    }
                };
                open.push((index, future, kept));
            }
            Err(error) => results[index] = error,
        }
    }
    while !open.is_empty() {
        let pollables: Vec<_> = open.iter().map(|(_, future, _)| future.subscribe()).collect();
        let ready = poll::poll(&pollables.iter().chain(&timer).collect::<Vec<_>>());
        let is_over = ready.contains(&(pollables.len() as u32));
        drop(pollables);
        open.retain_mut(|(index, future, kept)| match answer(future) {
            Some(answer) => {
                results[*index] = answer;
                if let Some(body) = kept.take() {
                    let _ = body.finish();
                }
                false
            }
            None if is_over => {
                results[*index] = "timeout".to_owned();
                if let Some(body) = kept.take() {
                    body.leave();
                }
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
    is_whole: bool,
}

/// So much text, bit by bit.
fn text(kib: u64) -> impl Iterator<Item = Vec<u8>> {
    let bits = (0..kib * 1024).step_by(16 * 1024);
    bits.map(move |from| {
        let to = (from + 16 * 1024).min(kib * 1024);
        (from..to).map(|at| b'a' + ((at * 7 + at / 1000) % 26) as u8).collect()
    })
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

    /// The text of `tests/support/streamed.rs`.
    fn write_text(&mut self, kib: u64) {
        for piece in text(kib) {
            self.write(&piece);
        }
    }

    /// Writes what there is room for, and waits for room or the answer. Whether all was written.
    fn write_until_answer(&mut self, kib: u64, future: &FutureIncomingResponse) -> bool {
        let (room, answered) = (self.stream.subscribe(), future.subscribe());
        for piece in text(kib) {
            let mut left = &piece[..];
            while !left.is_empty() {
                match self.stream.check_write() {
                    Ok(0) if poll::poll(&[&room, &answered]).contains(&1) => return false,
                    Ok(0) => {}
                    Ok(most) => {
                        let (now, later) = left.split_at(left.len().min(most as usize));
                        left = later;
                        if self.stream.write(now).is_err() {
                            return false;
                        }
                    }
                    Err(_) => return false,
                }
            }
        }
        true
    }

    /// Without an end.
    fn leave(self) {
        let Self { body, stream, .. } = self;
        drop(stream);
        drop(body);
    }

    /// What the writes came to.
    fn finish(self) -> String {
        let Self { body, stream, failed, .. } = self;
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
    let mut body = Body { body, stream, failed: None, is_whole: true };
    match (request.body_bytes, request.body_kib) {
        (Some(_), _) => body.write(&vec![b'x'; first_bytes as usize]),
        (None, Some(kib)) if request.ends == Ends::AtAnswer => {
            body.is_whole = body.write_until_answer(kib, &future);
        }
        (None, Some(kib)) => body.write_text(kib),
        (None, None) => body.write(request.body.as_bytes()),
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
