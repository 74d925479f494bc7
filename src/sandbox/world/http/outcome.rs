//! What an exchange came to, as it stands on disk.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::{DnsErrorPayload, ErrorCode};

use super::sent::Sent;
use crate::limits;
use crate::sandbox::egress::{Answer, Failure};

/// Its first byte on disk: of an answer that is there whole, or a failure.
const VERSION: u8 = 1;
/// Of an answer whose body stands behind it in pieces.
const VERSION_OF_BEGUN: u8 = 2;
/// Of one of these behind what was sent of a body that streamed.
const VERSION_OF_STREAMED: u8 = 3;

/// An answer without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
}

/// What two versions of an answer differ in, where a server says it.
const VALIDATORS: [HeaderName; 4] = [ETAG, LAST_MODIFIED, CONTENT_LENGTH, CONTENT_ENCODING];

impl Head {
    /// Whether an answer that was asked for again may be the one that this began, as far as heads say it.
    pub fn is_of_same(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let agrees = |name: &HeaderName| match (self.headers.get(name), headers.get(name)) {
            (Some(then), Some(now)) => then == now,
            _ => true,
        };
        self.status == status && VALIDATORS.iter().all(agrees)
    }
}

/// What an exchange came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Whole(Answer),
    /// Its body comes piece by piece.
    Begun(Head),
    Failed(Failure),
}

type StoredHeaders = Vec<(String, Vec<u8>)>;

#[derive(Serialize, Deserialize)]
enum Stored {
    Answered { status: u16, headers: StoredHeaders, body: Vec<u8> },
    Failed(Failure),
}

#[derive(Serialize, Deserialize)]
struct StoredHead {
    status: u16,
    headers: StoredHeaders,
}

pub fn encode(outcome: &Outcome) -> Result<Vec<u8>, String> {
    let encoded = match outcome {
        Outcome::Failed(failure) => postcard::to_extend(&Stored::Failed(failure.clone()), vec![VERSION]),
        Outcome::Whole(Answer { status, headers, body }) => {
            let (status, headers) = (status.as_u16(), stored(headers));
            postcard::to_extend(&Stored::Answered { status, headers, body: body.to_vec() }, vec![VERSION])
        }
        Outcome::Begun(Head { status, headers }) => {
            let head = StoredHead { status: status.as_u16(), headers: stored(headers) };
            postcard::to_extend(&head, vec![VERSION_OF_BEGUN])
        }
    };
    encoded.map_err(|error| error.to_string())
}

/// The outcome of a request whose body streamed, of which this much was sent by then.
pub fn encode_streamed(sent: &Sent, outcome: &Outcome) -> Result<Vec<u8>, String> {
    let mut encoded = vec![VERSION_OF_STREAMED];
    sent.encode(&mut encoded);
    encoded.extend(encode(outcome)?);
    Ok(encoded)
}

/// What was sent of a body that streamed, and the outcome. Where the task's owner has said the outcome, what was sent is not
/// known.
pub fn decode_streamed(bytes: &[u8]) -> Option<(Option<Sent>, Outcome)> {
    match bytes.split_first()? {
        (&VERSION_OF_STREAMED, rest) => {
            let (sent, rest) = Sent::decode(rest)?;
            Some((Some(sent), decode_plain(rest)?))
        }
        _ => Some((None, decode_plain(bytes)?)),
    }
}

/// `None` where the bytes are no outcome.
pub fn decode(bytes: &[u8]) -> Option<Outcome> {
    decode_streamed(bytes).map(|(_, outcome)| outcome)
}

fn decode_plain(bytes: &[u8]) -> Option<Outcome> {
    let (version, rest) = bytes.split_first()?;
    match *version {
        VERSION => Some(match postcard::from_bytes(rest).ok()? {
            Stored::Failed(failure) => Outcome::Failed(failure),
            Stored::Answered { status, headers, body } => {
                let Head { status, headers } = head(status, &headers)?;
                Outcome::Whole(Answer { status, headers, body: body.into() })
            }
        }),
        VERSION_OF_BEGUN => {
            let StoredHead { status, headers } = postcard::from_bytes(rest).ok()?;
            Some(Outcome::Begun(head(status, &headers)?))
        }
        _ => None,
    }
}

fn stored(headers: &HeaderMap) -> StoredHeaders {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

fn head(status: u16, stored: &StoredHeaders) -> Option<Head> {
    let mut headers = HeaderMap::new();
    for (name, value) in stored {
        headers.append(header_name(name)?, HeaderValue::from_bytes(value).ok()?);
    }
    Some(Head { status: StatusCode::from_u16(status).ok()?, headers })
}

/// The outcome as a task's owner tells it: `{"status": 200, "headers": {"name": "value" | ["value", …]},
/// "body": "text"}`, where `body_base64` may stand for `body`, and all but the status may be left out; `None`
/// is a failure.
pub fn settled(given: Option<Value>) -> Result<Vec<u8>, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct GivenOutcome {
        status: u16,
        #[serde(default)]
        headers: serde_json::Map<String, Value>,
        body: Option<String>,
        body_base64: Option<String>,
    }
    let Some(given) = given else { return encode(&Outcome::Failed(Failure::Settled)) };
    const SHAPE: &str = "an answer is {\"status\": 200, \"headers\": {…}, \"body\": \"text\"} (or body_base64), status alone being needed";
    let given: GivenOutcome = serde_json::from_value(given).map_err(|error| format!("{error}; {SHAPE}"))?;
    let status =
        StatusCode::from_u16(given.status).map_err(|_| format!("{} is no HTTP status", given.status))?;
    let mut headers = HeaderMap::new();
    for (name, values) in &given.headers {
        let values = match values {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            let value = value.as_str().and_then(|text| HeaderValue::from_str(text).ok());
            let (Some(name), Some(value)) = (header_name(&name.to_ascii_lowercase()), value) else {
                return Err(format!("'{name}' is no HTTP header with a text or a list of texts; {SHAPE}"));
            };
            headers.append(name, value);
        }
    }
    let body = match (given.body, given.body_base64) {
        (Some(_), Some(_)) => return Err("body and body_base64 cannot both be given".to_owned()),
        (Some(text), None) => text.into_bytes(),
        (None, Some(text)) => {
            BASE64_STANDARD.decode(text).map_err(|error| format!("body_base64 is no base64: {error}"))?
        }
        (None, None) => Vec::new(),
    };
    if body.len() > limits::MAX_ANSWER_BODY_BYTES {
        return Err(format!("a body has at most {} bytes", limits::MAX_ANSWER_BODY_BYTES));
    }
    encode(&Outcome::Whole(Answer { status, headers, body: Bytes::from(body) }))
}

/// How `wasi:http` names it.
pub fn error(failure: Failure) -> Error {
    let answer_bytes = u64::try_from(limits::MAX_ANSWER_BODY_BYTES).ok();
    match failure {
        Failure::Name(_) => Error::DnsError { rcode: None, info_code: None },
        Failure::AddressProhibited => Error::DestinationIpProhibited,
        Failure::ConnectionRefused => Error::ConnectionRefused,
        Failure::ConnectTimeout => Error::ConnectionTimeout,
        Failure::Unreachable => Error::DestinationUnavailable,
        Failure::Certificate(_) => Error::TlsCertificateError,
        Failure::Tls => Error::TlsProtocolError,
        Failure::Terminated => Error::ConnectionTerminated,
        Failure::AnswerTimeout => Error::HttpResponseTimeout,
        Failure::Incomplete => Error::HttpResponseIncomplete,
        Failure::BodyTooLarge => Error::HttpResponseBodySize(answer_bytes),
        Failure::HeadersTooLarge => {
            Error::HttpResponseHeaderSectionSize(u32::try_from(limits::MAX_ANSWER_HEADER_BYTES).ok())
        }
        Failure::Protocol => Error::HttpProtocolError,
        Failure::Unfinished => Error::HttpProtocolError,
        Failure::SentTooLarge => Error::HttpRequestBodySize(Some(limits::MAX_STREAMED_BODY_BYTES)),
        failure @ (Failure::Settled | Failure::Differs) => Error::InternalError(Some(failure.to_string())),
        Failure::Other(why) => Error::InternalError(Some(why)),
        Failure::NotAllowed(_) => Error::HttpRequestDenied,
    }
}

/// The same for the guest that asks for the code of a stream's error: only a code is found there.
pub fn code(error: Error) -> ErrorCode {
    match error {
        Error::DnsError { .. } => ErrorCode::DnsError(DnsErrorPayload { rcode: None, info_code: None }),
        Error::DestinationIpProhibited => ErrorCode::DestinationIpProhibited,
        Error::ConnectionRefused => ErrorCode::ConnectionRefused,
        Error::ConnectionTimeout => ErrorCode::ConnectionTimeout,
        Error::DestinationUnavailable => ErrorCode::DestinationUnavailable,
        Error::TlsCertificateError => ErrorCode::TlsCertificateError,
        Error::TlsProtocolError => ErrorCode::TlsProtocolError,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        Error::HttpResponseHeaderSectionSize(most) => ErrorCode::HttpResponseHeaderSectionSize(most),
        Error::HttpProtocolError => ErrorCode::HttpProtocolError,
        Error::HttpRequestDenied => ErrorCode::HttpRequestDenied,
        Error::InternalError(why) => ErrorCode::InternalError(why),
        other => ErrorCode::InternalError(Some(other.to_string())),
    }
}

fn header_name(name: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn outcomes_come_back_from_disk() {
        let mut headers = HeaderMap::new();
        headers.append("x-one", HeaderValue::from_static("1"));
        headers.append("x-one", HeaderValue::from_bytes(b"\xff2").unwrap());
        let answer = Answer { status: StatusCode::IM_A_TEAPOT, headers, body: Bytes::from_static(b"\0tea") };
        let begun = Outcome::Begun(Head { status: answer.status, headers: answer.headers.clone() });
        let failed = [Failure::Incomplete, Failure::Name("no".into()), Failure::Differs].map(Outcome::Failed);
        for outcome in [Outcome::Whole(answer), begun].into_iter().chain(failed) {
            assert_eq!(decode(&encode(&outcome).unwrap()), Some(outcome));
        }
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[9, 1, 2]), None);
    }

    #[test]
    fn what_was_sent_comes_back_with_the_outcome() {
        let sent = Sent { bytes: 5 << 30, hash: blake3::hash(b"a body") };
        let outcome = Outcome::Failed(Failure::Unfinished);
        let encoded = encode_streamed(&sent, &outcome).unwrap();
        assert_eq!(decode(&encoded), Some(Outcome::Failed(Failure::Unfinished)));
        assert_eq!(decode_streamed(&encoded), Some((Some(sent), outcome)));
        for length in 0..encoded.len() {
            assert_eq!(decode_streamed(&encoded[..length]), None, "{length} bytes");
        }
        let settled = settled(None).unwrap();
        assert_eq!(decode_streamed(&settled), Some((None, Outcome::Failed(Failure::Settled))));
        let twice = [&encoded[..41], &encoded[..]].concat();
        assert_eq!(decode_streamed(&twice), None);
    }

    #[test]
    fn an_answer_is_read_on_where_it_is_the_same_version() {
        let of = |lines: &[(&'static str, &'static str)]| -> HeaderMap {
            let line = |(name, value): &(&'static str, &'static str)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            lines.iter().map(line).collect()
        };
        let head = Head { status: StatusCode::OK, headers: of(&[("etag", "\"1\""), ("date", "then")]) };
        for (status, headers, is_same) in [
            (200, of(&[("etag", "\"1\""), ("date", "now"), ("content-length", "5")]), true),
            // A server that says it no more has said nothing else.
            (200, of(&[]), true),
            (200, of(&[("etag", "\"2\"")]), false),
            (206, of(&[("etag", "\"1\"")]), false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(head.is_of_same(status, &headers), is_same, "{status} {headers:?}");
        }
    }

    #[test]
    fn an_owner_tells_an_answer_as_json() {
        let seen = |json: Value| match decode(&settled(Some(json)).unwrap()) {
            Some(Outcome::Whole(answer)) => answer,
            other => panic!("no answer: {other:?}"),
        };
        let answer = seen(json!({"status": 201, "headers": {"X-A": ["1", "2"], "b": "3"}, "body": "done"}));
        assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (201, &b"done"[..]));
        assert_eq!(answer.headers.get_all("x-a").iter().count(), 2);
        assert_eq!(seen(json!({"status": 200, "body_base64": "AAE="})).body.as_ref(), [0, 1]);
        assert_eq!(decode(&settled(None).unwrap()), Some(Outcome::Failed(Failure::Settled)));
        for wrong in [
            json!({}),
            json!({"status": 99}),
            json!({"status": 200, "headers": {"a": 1}}),
            json!({"status": 200, "headers": {"a b": "1"}}),
            json!({"status": 200, "body": "a", "body_base64": ""}),
            json!({"status": 200, "body_base64": "?"}),
            json!({"status": 200, "text": "a"}),
        ] {
            assert!(settled(Some(wrong.clone())).is_err(), "{wrong}");
        }
    }
}
