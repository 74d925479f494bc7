//! What one wing adds to the listener. All wings share its connections, hosts, origins and callers.

use std::future::Future;

use http::HeaderName;
use tokio_util::sync::CancellationToken;

use super::chain::{Chain, Next};
use super::message::{Request, Response};
use super::metrics::Metrics;

/// One wing's part of the server. Every request that reaches it is of a known [`Caller`](super::Caller).
pub struct Mount {
    pub(super) path: String,
    pub(super) chain: Chain,
    /// For the answer to a request that no wing takes, such as `MCP is at /mcp`.
    pub(super) signpost: String,
    pub(super) measure: Option<Measure>,
    pub(super) single: SingleHeaders,
    pub(super) exposed: Vec<HeaderName>,
    pub(super) stopping: CancellationToken,
    pub(super) cut: CancellationToken,
}

pub(super) type Measure = Box<dyn Fn(&mut Metrics) + Send + Sync>;

/// Beginnings of the names of headers that say one thing each.
pub(super) type SingleHeaders = Vec<&'static str>;

impl Mount {
    /// Serves `path` by `answer`, also with a slash behind it; `name` is what people call it.
    pub fn new<F, A>(name: &str, path: &str, answer: A) -> Self
    where
        A: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        Self {
            path: path.to_owned(),
            chain: Chain::new(answer),
            signpost: format!("{name} is at {path}"),
            measure: None,
            single: Vec::new(),
            exposed: Vec::new(),
            stopping: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    /// Puts a filter before all that was added so far: it sees requests first, and responses last.
    pub fn filter<F, A>(mut self, filter: A) -> Self
    where
        A: Fn(Request, Next) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        self.chain = self.chain.filter(filter);
        self
    }

    /// Headers whose names begin so say one thing each: a request that has one twice, with two values, is refused.
    pub fn single_headers(mut self, begins: &'static str) -> Self {
        self.single.push(begins);
        self
    }

    /// Headers of responses that pages may read.
    pub fn exposed(mut self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.exposed.extend(headers);
        self
    }

    /// Adds what the wing counts to the page of metrics.
    pub fn measured(mut self, measure: impl Fn(&mut Metrics) + Send + Sync + 'static) -> Self {
        self.measure = Some(Box::new(measure));
        self
    }

    /// The server cancels `stopping` when it begins to end: what waits is to be answered, what listens to end. It
    /// cancels `cut` to end what is left.
    pub fn stopped_by(mut self, stopping: CancellationToken, cut: CancellationToken) -> Self {
        (self.stopping, self.cut) = (stopping, cut);
        self
    }
}
