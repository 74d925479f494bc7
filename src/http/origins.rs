//! Which web pages may call, and what browsers have to be sent for it (Fetch, "CORS protocol"). A foreign page is
//! refused before anything else is asked; the answers of the others, errors included, are readable to them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::Url;
use tower::{Layer, Service};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::chain::Next;
use super::message::{self, Request, Response};
use crate::limits;

const LOOPBACK: [&str; 6] = [
    "http://localhost:*",
    "http://127.0.0.1:*",
    "http://[::1]:*",
    "https://localhost:*",
    "https://127.0.0.1:*",
    "https://[::1]:*",
];

/// What a page has to read of every answer besides its body.
const EXPOSED: [HeaderName; 2] = [header::WWW_AUTHENTICATE, header::RETRY_AFTER];

const ORIGIN: HeaderValue = HeaderValue::from_static("origin");

/// Origins that may call this server.
pub struct Pages(Vec<Allowed>);

struct Allowed {
    origin: Origin,
    any_port: bool,
}

/// A scheme and a host as they are compared, and a port: the scheme's own where none was named.
#[derive(PartialEq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    /// `None` for what is no origin: `null`, or an address with more behind its port.
    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let is_open = url.username().is_empty() && url.password().is_none();
        let is_host = |host: &&str| !host.is_empty() && !host.contains('*');
        let host = url.host_str().filter(is_host).filter(|_| is_bare && is_open)?;
        Some(Self {
            scheme: url.scheme().to_owned(),
            host: host.to_owned(),
            port: url.port_or_known_default(),
        })
    }
}

impl Pages {
    /// Those of this machine and `more`, each `scheme://host`, `scheme://host:port` or `scheme://host:*`. An error is
    /// the entry that is none of these.
    pub fn new(more: &[String]) -> Result<Self, String> {
        // A variable of the environment that is empty has one entry, which allows nothing.
        let more = more.iter().map(String::as_str).filter(|entry| !entry.is_empty());
        let entries = LOOPBACK.iter().copied().chain(more);
        let allowed = entries.map(|entry| {
            let bare = entry.strip_suffix(":*");
            let origin = Origin::parse(bare.unwrap_or(entry)).filter(|_| !bare.is_some_and(names_port));
            let origin = origin.ok_or_else(|| entry.to_owned())?;
            Ok(Allowed { origin, any_port: bare.is_some() })
        });
        Ok(Self(allowed.collect::<Result<_, String>>()?))
    }

    fn know(&self, origin: &HeaderValue) -> bool {
        let Some(origin) = origin.to_str().ok().and_then(Origin::parse) else { return false };
        self.0.iter().any(|Allowed { origin: allowed, any_port }| {
            let same_host = allowed.scheme == origin.scheme && allowed.host == origin.host;
            same_host && (*any_port || allowed.port == origin.port)
        })
    }
}

fn names_port(entry: &str) -> bool {
    let port = entry.rsplit_once(':').map_or("", |(_, port)| port);
    !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit())
}

/// Answers preflights, and marks answers as readable to the page that asked. The headers that a page may send are
/// those that it asks for: clients of MCP add some for each tool. `exposed` are the headers of answers that wings want read.
fn marks(pages: Arc<Pages>, exposed: Vec<HeaderName>) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| pages.know(origin)))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed.into_iter().chain(EXPOSED).collect::<Vec<_>>())
        .vary([header::ORIGIN])
        // Some browsers ask before a page of the internet may reach this machine.
        .allow_private_network(true)
        .max_age(Duration::from_secs(limits::PREFLIGHT_SECONDS))
}

/// What a request is asked of the page that it comes from, and what the page is answered.
pub struct PageRules {
    pages: Arc<Pages>,
    cors: CorsLayer,
}

impl PageRules {
    pub fn new(pages: Pages, exposed: Vec<HeaderName>) -> Self {
        let pages = Arc::new(pages);
        Self { cors: marks(pages.clone(), exposed), pages }
    }
}

/// Lets a request through that comes from no page, or from one that may call.
pub async fn known_page(rules: Arc<PageRules>, request: Request, next: Next) -> Response {
    let mut origins = request.headers().get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        // Most requests: of CORS they need only that no cache gives their answers to a page.
        (None, _) if request.method() != Method::OPTIONS => {
            let mut response = next.run(request).await;
            response.headers_mut().append(header::VARY, ORIGIN);
            response
        }
        (None, _) => rules.answer(request, next).await,
        (Some(origin), None) if rules.pages.know(origin) => rules.answer(request, next).await,
        (Some(origin), _) => {
            tracing::warn!(?origin, "refused a request of a foreign page");
            message::text(
                StatusCode::FORBIDDEN,
                "pages of this Origin may not call this server; see allowed_origins\n",
            )
        }
    }
}

impl PageRules {
    async fn answer(&self, request: Request, next: Next) -> Response {
        let behind = tower::service_fn(move |request| next.clone().run(request).map(Ok::<_, Infallible>));
        self.cors.layer(behind).call(request).await.unwrap_or_else(|never| match never {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_by_scheme_host_and_port() {
        let more = [
            "https://app.example",
            "http://any.example:*",
            "https://odd.example:8443",
            "tauri://localhost",
            "",
        ];
        let pages = Pages::new(&more.map(str::to_owned)).map_err(|entry| panic!("{entry}")).expect("pages");
        for (origin, known) in [
            ("http://localhost:6274", true),
            ("https://[::1]", true),
            ("http://LOCALHOST", true),
            ("https://app.example", true),
            ("https://app.example:443", true),
            ("https://app.example:444", false),
            ("http://app.example", false),
            ("http://any.example:81", true),
            ("https://any.example:81", false),
            ("https://odd.example:8443", true),
            ("https://odd.example", false),
            ("tauri://localhost", true),
            ("https://app.example.evil.example", false),
            ("https://evil.example#https://app.example", false),
            ("https://app.example@evil.example", false),
            ("https://user@app.example", false),
            ("file://", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(pages.know(&HeaderValue::from_static(origin)), known, "{origin}");
        }
    }

    #[test]
    fn an_entry_that_is_no_origin_is_named() {
        for entry in [
            "*",
            "null",
            "app.example",
            "https://app.example/page",
            "https://app.example:443:*",
            "https://*",
            "https://*.example",
        ] {
            let refused = Pages::new(&[entry.to_owned()]).err();
            assert_eq!(refused.as_deref(), Some(entry));
        }
    }
}
