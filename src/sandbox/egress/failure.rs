use std::io;

use serde::{Deserialize, Serialize};

use crate::limits;

/// So begins what rustls tells of a certificate.
const CERTIFICATE: &str = "invalid peer certificate: ";

/// Why an exchange has no answer. The form is on disk: an exchange that failed is over like one that was
/// answered, and the guest sees the same error at each replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// The name cannot be looked up.
    Name(String),
    /// The name leads to an address that is not to be dialled, or the address is where this server listens.
    AddressProhibited,
    ConnectionRefused,
    ConnectTimeout,
    /// No way to the server.
    Unreachable,
    /// The server's certificate is not trusted, and why.
    Certificate(String),
    /// TLS could not be agreed upon.
    Tls,
    /// The connection broke before the answer had begun.
    Terminated,
    AnswerTimeout,
    /// The connection broke before the answer was complete.
    Incomplete,
    /// The answer's body was larger than was taken when bodies were held whole. Journals of that time have it.
    BodyTooLarge,
    /// Its headers are larger than [`limits::MAX_ANSWER_HEADER_BYTES`].
    HeadersTooLarge,
    /// What came back is not HTTP.
    Protocol,
    /// The owner of the task said so.
    Settled,
    Other(String),
    /// The task was given the power for it, and has lost it since.
    NotAllowed(String),
    /// The answer, asked for again after its connection was lost, is not the one of which a part was read.
    Differs,
    /// The guest dropped the request's body, of which a part had left, before it was complete.
    Unfinished,
    /// The guest wrote more of the request's body than [`limits::MAX_STREAMED_BODY_BYTES`].
    SentTooLarge,
}

impl Failure {
    /// From an error of the client; `began` once the answer's head was there.
    pub(super) fn of_client(error: reqwest::Error, began: bool) -> Self {
        // It would name the whole URL, with whatever secrets stand in it.
        let error = error.without_url();
        let mut sources = Sources(Some(&error));
        let io = sources.find_map(|source| source.downcast_ref()).map(innermost_kind);
        let text = Sources(Some(&error)).map(ToString::to_string).collect::<Vec<_>>().join(": ");
        if let Some(failure) = Sources(Some(&error)).find_map(|source| source.downcast_ref::<Self>()) {
            return failure.clone();
        }
        if error.is_connect() {
            use io::ErrorKind;
            return match io {
                _ if error.is_timeout() => Self::ConnectTimeout,
                Some(ErrorKind::ConnectionRefused) => Self::ConnectionRefused,
                _ if let Some((_, why)) = text.rsplit_once(CERTIFICATE) => {
                    // A certificate may name a thousand hosts.
                    Self::Certificate(why.chars().take(limits::MAX_CERTIFICATE_WORDS_CHARS).collect())
                }
                Some(ErrorKind::InvalidData) => Self::Tls,
                Some(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => Self::Terminated,
                _ => Self::Unreachable,
            };
        }
        if error.is_timeout() {
            return Self::AnswerTimeout;
        }
        if began {
            return Self::Incomplete;
        }
        match io {
            Some(_) => Self::Terminated,
            None if text.contains("closed") => Self::Terminated,
            None if text.contains("parse") || text.contains("invalid") => Self::Protocol,
            None => Self::Other(text),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(why) => write!(f, "the name cannot be looked up: {why}"),
            Self::AddressProhibited => f.write_str(
                "the name leads to this machine, or to an address that is not the public internet's",
            ),
            Self::ConnectionRefused => f.write_str("the connection was refused"),
            Self::ConnectTimeout => f.write_str("no connection in time"),
            Self::Unreachable => f.write_str("the server cannot be reached"),
            Self::Certificate(why) => write!(f, "the server's certificate is not trusted: {why}"),
            Self::Tls => f.write_str("TLS could not be agreed upon"),
            Self::Terminated => f.write_str("the connection broke before there was an answer"),
            Self::AnswerTimeout => f.write_str("no answer in time"),
            Self::Incomplete => f.write_str("the connection broke within the answer"),
            Self::BodyTooLarge => {
                write!(f, "the answer's body has more than {} bytes", limits::MAX_ANSWER_BODY_BYTES)
            }
            Self::HeadersTooLarge => {
                write!(f, "the answer's headers have more than {} bytes", limits::MAX_ANSWER_HEADER_BYTES)
            }
            Self::Protocol => f.write_str("what came back is not HTTP"),
            Self::Settled => f.write_str("the task's owner said that it failed"),
            Self::Differs => f.write_str(
                "the connection was lost within the answer, and the answer to the same request now begins otherwise",
            ),
            Self::Unfinished => f.write_str("the request's body was dropped before it was complete"),
            Self::SentTooLarge => {
                write!(f, "the request's body has more than {} bytes", limits::MAX_STREAMED_BODY_BYTES)
            }
            Self::Other(why) | Self::NotAllowed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Failure {}

/// A connector wraps the errors of TLS once more, where `source` does not lead to them.
fn innermost_kind(mut error: &io::Error) -> io::ErrorKind {
    while let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        error = inner;
    }
    error.kind()
}

/// An error and what caused it.
struct Sources<'a>(Option<&'a (dyn std::error::Error + 'static)>);

impl<'a> Iterator for Sources<'a> {
    type Item = &'a (dyn std::error::Error + 'static);

    fn next(&mut self) -> Option<Self::Item> {
        let error = self.0?;
        self.0 = error.source();
        Some(error)
    }
}
