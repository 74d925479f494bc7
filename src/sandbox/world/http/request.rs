//! A request of a guest's: what stands for it in the journal, how it leaves, and whether it may leave once more.

use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{HeaderName, Method, request};
use wasmtime_wasi_http::RequestOptions;

use crate::engine::call_hash;
use crate::limits;
use crate::sandbox::egress::{Outgoing, Sending, Target, Timeouts};
use crate::task::{Effects, UnknownOutcome};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request without its body.
pub struct Request {
    pub parts: request::Parts,
    pub target: Target,
    pub options: Option<RequestOptions>,
}

impl Request {
    /// Stands for all that leaves.
    pub fn hash(&self, body: &[u8]) -> u64 {
        self.hash_as("http", Some(body))
    }

    /// Stands for a request whose body streams: what is known of it when it leaves.
    pub fn hash_of_streamed(&self) -> u64 {
        self.hash_as("http, its body streams", None)
    }

    fn hash_as(&self, what: &str, body: Option<&[u8]>) -> u64 {
        let mut headers: Vec<(&str, &[u8])> =
            self.parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        // Stable, so that values of one name keep their order.
        headers.sort_by_key(|(name, _)| *name);
        let count = headers.len().to_le_bytes();
        let mut pieces: Vec<&[u8]> =
            vec![self.parts.method.as_str().as_bytes(), self.target.url().as_str().as_bytes(), &count];
        pieces.extend(headers.iter().flat_map(|(name, value)| [name.as_bytes(), value]));
        pieces.extend(body);
        call_hash(what, &pieces)
    }

    pub fn timeouts(&self) -> Timeouts {
        let options = self.options.unwrap_or_default();
        let given = |wanted: Option<Duration>, most_ms: u64| {
            let most = Duration::from_millis(most_ms);
            wanted.map_or(most, |wanted| wanted.min(most))
        };
        Timeouts {
            connect: given(options.connect_timeout, limits::HTTP_CONNECT_MS),
            first_byte: given(options.first_byte_timeout, limits::HTTP_ANSWER_MS),
            between_bytes: given(options.between_bytes_timeout, limits::HTTP_ANSWER_MS),
        }
    }

    pub fn outgoing(self, body: Sending, key: &str) -> Outgoing {
        let Self { parts, target, .. } = self;
        let request::Parts { method, mut headers, .. } = parts;
        // The client sets them from what it sends. The length of what streams is the guest's word, which it is held to.
        headers.remove(header::HOST);
        let is_nothing = match &body {
            Sending::Whole(body) => {
                headers.remove(header::CONTENT_LENGTH);
                body.is_empty()
            }
            Sending::Streams(_) => false,
        };
        if !method.is_safe()
            && !headers.contains_key(IDEMPOTENCY_KEY)
            && let Ok(key) = HeaderValue::from_str(key)
        {
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        // The client would set it.
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let body = (!method.is_safe() || !is_nothing).then_some(body);
        Outgoing { method, target, headers, body }
    }
}

/// Whether a request that left and perhaps arrived may leave once more.
pub fn may_resend(effects: &Effects, method: &Method, target: &Target) -> bool {
    method.is_idempotent()
        || effects.unknown_outcome == UnknownOutcome::Retry
        || honours_keys(effects, target)
}

/// Whether a request that was answered may be sent once more, for the rest of its answer alone: what another program did
/// since must not be undone by it.
pub fn may_read_on(effects: &Effects, method: &Method, target: &Target) -> bool {
    method.is_safe() || honours_keys(effects, target)
}

fn honours_keys(effects: &Effects, target: &Target) -> bool {
    let with_port = format!("{}:{}", target.host(), target.port());
    let is_it =
        |host: &String| host.eq_ignore_ascii_case(target.host()) || host.eq_ignore_ascii_case(&with_port);
    effects.idempotent_hosts.iter().any(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_answered_is_sent_again_only_where_that_changes_nothing() {
        let target = |authority| Target::of("https", authority, "/").expect("a target");
        let effects = Effects {
            unknown_outcome: UnknownOutcome::Retry,
            idempotent_hosts: vec!["keys.example".to_owned()],
        };
        for (method, authority, reads_on) in [
            (Method::GET, "a.example", true),
            (Method::HEAD, "a.example", true),
            (Method::PUT, "a.example", false),
            (Method::DELETE, "a.example", false),
            (Method::POST, "a.example", false),
            (Method::POST, "keys.example", true),
        ] {
            let target = target(authority);
            assert_eq!(may_read_on(&effects, &method, &target), reads_on, "{method} {authority}");
            assert!(may_resend(&effects, &method, &target), "its outcome is unknown, and may be");
        }
    }
}
