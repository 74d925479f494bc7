//! By which names this server is called. A page that had its own name resolved to this machine is told apart by the
//! name it calls.

use std::sync::Arc;

use axum::extract::State;
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Uri, header};

use super::message::{self, Next, Request, Response};

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// How this server may be called.
pub struct Hosts {
    names: Vec<String>,
    /// Also by any address that is none of loopback's: only a name can be made to mean another machine.
    any_address: bool,
}

impl Hosts {
    /// Loopback's names and `more`, each `host` or `host:port`.
    pub fn new(more: Vec<String>, any_address: bool) -> Self {
        Self { names: LOOPBACK.iter().map(|host| (*host).to_owned()).chain(more).collect(), any_address }
    }

    fn know(&self, called: &Authority) -> bool {
        let bare = called.host().trim_start_matches('[').trim_end_matches(']');
        let is_address = || bare.parse::<std::net::IpAddr>().is_ok();
        self.names.iter().any(|allowed| same_host(allowed, called)) || (self.any_address && is_address())
    }
}

/// Lets requests through that call this server by a name of its own.
pub async fn known_host(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
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

fn called_host(headers: &HeaderMap, uri: &Uri) -> Option<Authority> {
    match headers.get(header::HOST) {
        Some(host) => host.to_str().ok()?.parse().ok(),
        None => uri.authority().cloned(),
    }
}

/// An entry without a port stands for all ports.
fn same_host(allowed: &str, called: &Authority) -> bool {
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let called_host = bare(called.host());
    match allowed.parse::<Authority>() {
        Ok(entry) if entry.port_u16().is_some() => {
            bare(entry.host()) == called_host && entry.port_u16() == called.port_u16()
        }
        // An IPv6 address without brackets is no authority; it has no port then.
        _ => bare(allowed) == called_host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(same_host(allowed, &called(host)), same, "{allowed} {host}");
        }
    }
}
