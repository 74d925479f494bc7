//! A request's head means one thing to all who read it: where two readers could take it differently, it is refused.

use std::sync::Arc;

use http::uri::Authority;
use http::{HeaderMap, HeaderName, StatusCode, Uri, header};

use super::chain::Next;
use super::message::{self, Request, Response};
use super::mount::SingleHeaders;

/// Headers that say one thing each; wings have more of them. hyper itself refuses lengths that differ, and takes
/// no length where a body is chunked.
const SINGLE: [HeaderName; 4] =
    [header::AUTHORIZATION, header::ORIGIN, header::CONTENT_TYPE, header::CONTENT_ENCODING];
const LAST_EVENT_ID: &str = "last-event-id";

/// Refuses requests that can be read in two ways. `single` are the headers of wings that say one thing each.
pub async fn unambiguous(single: Arc<SingleHeaders>, request: Request, next: Next) -> Response {
    match ambiguity(&single, request.headers(), request.uri()) {
        None => next.run(request).await,
        Some(why) => message::text(StatusCode::BAD_REQUEST, format!("{why}\n")),
    }
}

/// What could be read in two ways.
fn ambiguity(single: &SingleHeaders, headers: &HeaderMap, uri: &Uri) -> Option<String> {
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Some("the request has more than one Host header".to_owned());
    }
    let host = headers.get(header::HOST);
    if host.is_some_and(|host| host.as_bytes().contains(&b'@')) {
        return Some("the Host header names a user".to_owned());
    }
    if let (Some(named), Some(host)) = (uri.authority(), host) {
        let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        if !host.is_some_and(|host| is_same(named, &host, uri.scheme_str())) {
            return Some("the request names one host in its first line and another in Host".to_owned());
        }
    }
    let is_single = |name: &HeaderName| {
        let of_wing = single.iter().any(|begin| name.as_str().starts_with(begin));
        SINGLE.contains(name) || of_wing || name.as_str() == LAST_EVENT_ID
    };
    let differs = |name: &&HeaderName| {
        let mut values = headers.get_all(*name).iter();
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    let name = headers.keys().filter(|name| is_single(name)).find(differs)?;
    Some(format!("the request has two different headers {name}"))
}

fn is_same(one: &Authority, other: &Authority, scheme: Option<&str>) -> bool {
    let usual = if scheme == Some("https") { 443 } else { 80 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
    one.host().eq_ignore_ascii_case(other.host()) && port(one) == port(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str, headers: &[(&str, &str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"));
        }
        ambiguity(&vec!["mcp-"], &map, &uri.parse().expect("a URI"))
    }

    #[test]
    fn a_head_that_can_be_read_in_two_ways_is_refused() {
        for (uri, headers, part) in [
            ("/mcp", &[("host", "localhost"), ("host", "evil.example")][..], "Host"),
            ("/mcp", &[("host", "localhost"), ("host", "localhost")], "Host"),
            ("/mcp", &[("host", "evil.example@localhost")], "user"),
            ("http://localhost:1919/mcp", &[("host", "evil.example")], "first line"),
            ("http://localhost/mcp", &[("host", "localhost:1919")], "first line"),
            ("http://localhost/mcp", &[("host", "no host")], "first line"),
            (
                "/mcp",
                &[("host", "a"), ("authorization", "Bearer a"), ("authorization", "Bearer b")],
                "authorization",
            ),
            ("/mcp", &[("mcp-session-id", "a"), ("mcp-session-id", "b")], "mcp-session-id"),
            ("/mcp", &[("mcp-name", "a"), ("mcp-method", "x"), ("mcp-name", "b")], "mcp-name"),
            ("/mcp", &[("mcp-param-to", "a"), ("mcp-param-to", "b")], "mcp-param-to"),
            ("/mcp", &[("origin", "http://localhost"), ("origin", "http://evil.example")], "origin"),
            ("/mcp", &[("last-event-id", "1"), ("last-event-id", "2")], "last-event-id"),
        ] {
            let why = of(uri, headers).unwrap_or_else(|| panic!("{uri} {headers:?} is taken"));
            assert!(why.contains(part), "{why}");
        }
        for (uri, headers) in [
            ("/mcp", &[("host", "localhost:1919"), ("accept", "a/b"), ("accept", "c/d")][..]),
            ("http://LocalHost/mcp", &[("host", "localhost:80")]),
            ("http://localhost:1919/mcp", &[("host", "localhost:1919")]),
            ("/mcp", &[("host", "a"), ("mcp-protocol-version", "1"), ("mcp-protocol-version", "1")]),
            ("/mcp", &[("host", "a"), ("x-forwarded-for", "1"), ("x-forwarded-for", "2")]),
        ] {
            assert_eq!(of(uri, headers), None, "{uri} {headers:?}");
        }
    }
}
