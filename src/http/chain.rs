//! What a request passes on its way to an answer: filters, one behind another. A chain is one value that all requests
//! share, where each layer of a tower is copied for each request with all that lies under it.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::message::{Request, Response};

type Filter = Box<dyn Fn(Request, Next) -> BoxFuture<'static, Response> + Send + Sync>;
type Answer = Box<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>;

/// Filters and what answers behind them. No request passes it before it is [`Chain::shared`].
pub struct Chain {
    /// The innermost is the first.
    filters: Vec<Filter>,
    answer: Answer,
}

impl Chain {
    pub fn new<F, A>(answer: A) -> Self
    where
        A: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        Self { filters: Vec::new(), answer: Box::new(move |request| answer(request).boxed()) }
    }

    /// Whichever of the routes a request takes answers it.
    pub fn of_routes(routes: Router) -> Self {
        let routes = TowerToHyperService::new(routes);
        Self::new(move |request| {
            routes.call(request).map(|response| response.unwrap_or_else(|never| match never {}))
        })
    }

    /// Puts a filter before all that was added so far: it sees requests first, and responses last.
    pub fn filter<F, A>(mut self, filter: A) -> Self
    where
        A: Fn(Request, Next) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        self.filters.push(Box::new(move |request, next| filter(request, next).boxed()));
        self
    }

    pub fn shared(self) -> SharedChain {
        SharedChain(Arc::new(self))
    }
}

/// A chain that requests pass.
#[derive(Clone)]
pub struct SharedChain(Arc<Chain>);

impl SharedChain {
    pub fn run(&self, request: Request) -> BoxFuture<'static, Response> {
        Next { before: self.0.filters.len(), chain: self.0.clone() }.run(request)
    }
}

/// What stands behind a filter.
#[derive(Clone)]
pub struct Next {
    chain: Arc<Chain>,
    /// So many filters are still to be passed.
    before: usize,
}

impl Next {
    pub fn run(self, request: Request) -> BoxFuture<'static, Response> {
        let chain = self.chain.clone();
        match chain.filters[..self.before].split_last() {
            Some((filter, rest)) => filter(request, Self { before: rest.len(), ..self }),
            None => (chain.answer)(request),
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::http::text;

    #[tokio::test]
    async fn filters_see_requests_from_the_outermost_in_and_responses_the_other_way() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = |what: String| {
            let seen = seen.clone();
            move || seen.lock().push(what.clone())
        };
        let filter = |name: &str| {
            let (there, back) = (note(format!("> {name}")), note(format!("< {name}")));
            move |request: Request, next: Next| {
                there();
                let (back, answer) = (back.clone(), next.run(request));
                async move {
                    let response = answer.await;
                    back();
                    response
                }
            }
        };
        let answered = note("answered".to_owned());
        let chain = Chain::new(move |_| {
            answered();
            std::future::ready(text(http::StatusCode::OK, ""))
        });
        let chain = chain.filter(filter("inner")).filter(filter("outer")).shared();
        for _ in 0..2 {
            chain.run(Request::default()).await;
            let seen = std::mem::take(&mut *seen.lock());
            assert_eq!(seen, ["> outer", "> inner", "answered", "< inner", "< outer"]);
        }
    }
}
