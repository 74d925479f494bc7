//! What browsers are sent for the pages that may call, and what the others learn: nothing.

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response};

use super::raw::Raw;
use super::*;
use crate::authority::Secret;

const ALLOWED: &str = "https://app.example";
const KEY: &str = "the-owners-key";

/// A server that a page elsewhere may call.
async fn open_to_pages(world: &World) -> (HttpServer, Raw) {
    let server = McpServer::new(world.engine.clone(), McpOptions::default());
    let mut options = Options::new(loopback());
    options.allowed_origins = vec![ALLOWED.to_owned()];
    options.key = Some(Secret::new(KEY.to_owned()));
    let http = HttpServer::bind(server, options).await.expect("a server");
    let raw = Raw { http: Raw::new(world).http, url: http.url() };
    (http, raw)
}

async fn sent(request: RequestBuilder, origin: &str) -> Response {
    request.header("origin", origin).send().await.expect("an answer")
}

fn names(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect()
}

#[tokio::test]
async fn a_preflight_is_answered_without_a_token_and_allows_what_is_asked_for() {
    let world = World::new().await;
    let (_http, raw) = open_to_pages(&world).await;
    for (origin, method, asked) in [
        (ALLOWED, "POST", "authorization,content-type,mcp-method,mcp-name,mcp-protocol-version"),
        ("http://localhost:6274", "POST", "content-type,mcp-param-region,traceparent"),
        ("http://[::1]:5173", "GET", "last-event-id,mcp-session-id"),
        ("https://127.0.0.1", "DELETE", "mcp-session-id"),
    ] {
        for private in [false, true] {
            let mut ask = raw.http.request(Method::OPTIONS, &raw.url);
            ask = ask.header("access-control-request-method", method);
            ask = ask.header("access-control-request-headers", asked);
            if private {
                ask = ask.header("access-control-request-private-network", "true");
            }
            let answer = sent(ask, origin).await;
            let headers = answer.headers();
            assert!(answer.status().is_success(), "{origin}");
            assert_eq!(headers["access-control-allow-origin"], origin);
            assert!(names(headers, "access-control-allow-methods").contains(&method.to_ascii_lowercase()));
            assert_eq!(names(headers, "access-control-allow-headers").join(","), asked);
            assert!(names(headers, "vary").contains(&"origin".to_owned()));
            let granted = headers.get("access-control-allow-private-network");
            assert_eq!(granted, private.then_some(&HeaderValue::from_static("true")));
            assert_eq!(headers.get("access-control-allow-credentials"), None);
        }
    }
}

#[tokio::test]
async fn every_answer_is_readable_to_a_page_that_may_call() {
    let world = World::new().await;
    let (_http, raw) = open_to_pages(&world).await;
    let key = |request: RequestBuilder| request.bearer_auth(KEY);
    let list = || raw.modern("tools/list", json!({}), json!({}));
    let large = "x".repeat(crate::limits::MAX_REQUEST_BYTES + 1);
    let gone = raw.post().header("mcp-session-id", "gone").header("mcp-protocol-version", "2025-11-25");
    for (request, status) in [
        (key(list()), 200),
        (list().bearer_auth("none"), 401),
        (key(gone.body(json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string())), 404),
        (key(raw.http.get(raw.url.replace("/mcp", "/elsewhere"))), 404),
        (key(raw.http.put(&raw.url)), 405),
        (key(raw.http.get(&raw.url).header("accept", "text/html")), 406),
        (key(raw.post().body(large)), 413),
    ] {
        let answer = sent(request, ALLOWED).await;
        let headers = answer.headers();
        assert_eq!(answer.status(), status);
        assert_eq!(headers["access-control-allow-origin"], ALLOWED, "{status}");
        assert!(names(headers, "vary").contains(&"origin".to_owned()), "{status}");
        for name in ["mcp-session-id", "mcp-protocol-version", "www-authenticate", "retry-after"] {
            assert!(names(headers, "access-control-expose-headers").contains(&name.to_owned()), "{status}");
        }
    }
    // Without a page nothing is said to one.
    let plain = key(list()).send().await.expect("an answer");
    assert_eq!((plain.status().as_u16(), plain.headers().get("access-control-allow-origin")), (200, None));
}

#[tokio::test]
async fn a_foreign_page_is_refused_before_anything_else_and_told_nothing() {
    let world = World::new().await;
    let (_http, raw) = open_to_pages(&world).await;
    for origin in ["https://evil.example", "null", "http://app.example", "https://app.example:444", "file://"]
    {
        let preflight = raw.http.request(Method::OPTIONS, &raw.url);
        let requests = [
            preflight.header("access-control-request-method", "POST"),
            raw.modern("tools/list", json!({}), json!({})).bearer_auth(KEY),
            raw.http.get(raw.url.replace("/mcp", "/elsewhere")),
        ];
        for request in requests {
            let answer = sent(request, origin).await;
            assert_eq!(answer.status(), 403, "{origin}");
            let seen = answer.headers().keys().any(|name| name.as_str().starts_with("access-control-"));
            assert!(!seen, "{origin}: {:?}", answer.headers());
        }
    }
    // Two are none.
    let twice = raw.modern("tools/list", json!({}), json!({})).header("origin", ALLOWED);
    assert_eq!(sent(twice, ALLOWED).await.status(), 403);
    let health = raw.http.get(raw.url.replace("/mcp", "/healthz"));
    assert_eq!(sent(health, "https://evil.example").await.status(), 200);
}

#[tokio::test]
async fn an_entry_that_is_no_origin_ends_the_start_and_is_named() {
    let world = World::new().await;
    let server = McpServer::new(world.engine.clone(), McpOptions::default());
    let mut options = Options::new(loopback());
    options.allowed_origins = vec![ALLOWED.to_owned(), "app.example".to_owned()];
    let refused = HttpServer::bind(server, options).await.err().expect("an error").to_string();
    assert!(refused.contains("'app.example'") && refused.contains("https://"), "{refused}");
}
