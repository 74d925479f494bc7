//! By which names this server is called. A page that had its own name resolved to this machine is recognized by the
//! name it calls.

use std::sync::Arc;

use http::uri::Authority;
use http::{HeaderMap, StatusCode, Uri, header};

use super::chain::Next;
use super::message::{self, Request, Response};

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A name as it is compared.
struct Name {
    host: String,
    /// `None` stands for all ports.
    port: Option<u16>,
}

/// How this server may be called.
pub struct Hosts {
    names: Vec<Name>,
    /// Also by any address that is none of loopback's: only a name can be made to mean another machine.
    any_address: bool,
}

impl Hosts {
    /// Loopback's names and `more`, each `host` or `host:port`.
    pub fn new(more: Vec<String>, any_address: bool) -> Self {
        let more = more.iter().map(|entry| Name::of(entry));
        Self { names: LOOPBACK.iter().map(|host| Name::of(host)).chain(more).collect(), any_address }
    }

    fn know(&self, called: &Authority) -> bool {
        let is_address = || bare(called.host()).parse::<std::net::IpAddr>().is_ok();
        self.names.iter().any(|name| name.is_of(called)) || (self.any_address && is_address())
    }
}

/// Lets requests through that call this server by a name of its own.
pub async fn known_host(hosts: Arc<Hosts>, request: Request, next: Next) -> Response {
    if request.headers().get(header::HOST).is_some_and(|host| is_plain_loopback(host.as_bytes())) {
        return next.run(request).await;
    }
    match called_host(request.headers(), request.uri()) {
        Some(host) if hosts.know(&host) => next.run(request).await,
        host => {
            tracing::warn!(?host, "refused a request with a foreign Host");
            message::text(
                StatusCode::FORBIDDEN,
                "this server is not called by that Host; see allowed_hosts\n",
            )
        }
    }
}

/// Whether a Host is loopback's as most programs write it. Every server is called so: it needs no parser.
fn is_plain_loopback(host: &[u8]) -> bool {
    let is_port = |port: &[u8]| (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit);
    ["127.0.0.1", "localhost"].iter().any(|name| match host.strip_prefix(name.as_bytes()) {
        Some([]) => true,
        Some([b':', port @ ..]) => is_port(port),
        _ => false,
    })
}

fn called_host(headers: &HeaderMap, uri: &Uri) -> Option<Authority> {
    match headers.get(header::HOST) {
        Some(host) => host.to_str().ok()?.parse().ok(),
        None => uri.authority().cloned(),
    }
}

impl Name {
    fn of(entry: &str) -> Self {
        match entry.parse::<Authority>() {
            Ok(named) if named.port_u16().is_some() => {
                Self { host: bare(named.host()).to_owned(), port: named.port_u16() }
            }
            // An IPv6 address without brackets is no authority; it has no port then.
            _ => Self { host: bare(entry).to_owned(), port: None },
        }
    }

    fn is_of(&self, called: &Authority) -> bool {
        self.host.eq_ignore_ascii_case(bare(called.host()))
            && (self.port.is_none() || self.port == called.port_u16())
    }
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_for_loopback_unparsed_is_known_when_it_is_parsed() {
        let hosts = Hosts::new(Vec::new(), false);
        for host in ["localhost", "127.0.0.1", "localhost:1", "127.0.0.1:65535"] {
            assert!(is_plain_loopback(host.as_bytes()), "{host}");
            assert!(hosts.know(&host.parse().expect("an authority")), "{host}");
        }
        for host in [
            "",
            "localhost:",
            "localhost:x",
            "localhost:+1",
            "localhost:123456",
            "localhost:1@evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.12",
            "evil.example",
            "[::1]",
        ] {
            assert!(!is_plain_loopback(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_host_is_known_by_its_name_and_its_port_where_one_is_given() {
        let called = |host: &str| host.parse::<Authority>().expect("an authority");
        for (allowed, host, same) in [
            ("localhost", "LOCALHOST:1919", true),
            ("::1", "[::1]:1919", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("example.com:8080", "example.com:8080", true),
            ("example.com:8080", "example.com:8081", false),
            ("localhost", "localhost.evil.example", false),
            ("localhost", "evil.example:80", false),
        ] {
            assert_eq!(Name::of(allowed).is_of(&called(host)), same, "{allowed} {host}");
        }
    }
}
