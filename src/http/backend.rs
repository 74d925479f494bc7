//! What the listener asks of the program behind it, so that it needs no engine: whose a token is, and how things stand.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::metrics::Metrics;
use crate::authority::Principal;
use crate::shares::Account;

/// The program behind the listener.
pub trait Backend: Send + Sync + 'static {
    /// Whose a token is; `None` for one that is not valid, or not any more.
    fn bearer(&self, token: &str) -> Option<Bearer>;

    /// Whether there is a token at all: without one, a listener beyond loopback could not tell its callers apart.
    fn has_tokens(&self) -> bool;

    /// Who has how much of what.
    fn shares(&self) -> &Arc<Account>;

    /// Records a request that came without a valid token: `why` is `no_token` or `bad_token`.
    fn audit_unauthenticated(&self, why: &'static str);

    /// Why nothing is taken any more, in words for the owner, if that is so.
    fn failure(&self) -> Option<Arc<str>>;

    /// Whether it still prepares what it is to serve.
    fn is_loading(&self) -> bool {
        false
    }

    /// Adds what the program counts to the page of metrics.
    fn measure(&self, metrics: &mut Metrics);
}

type Revoked = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The holder of a valid token.
#[derive(Clone)]
pub struct Bearer {
    pub principal: Principal,
    /// Names the token, without being of use as one; the same across restarts.
    pub fingerprint: [u8; 8],
    revoked: Arc<dyn Fn() -> Revoked + Send + Sync>,
}

impl Bearer {
    /// `revoked` makes futures that end once the token has been revoked.
    pub fn new<F>(
        principal: Principal,
        fingerprint: [u8; 8],
        revoked: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { principal, fingerprint, revoked: Arc::new(move || Box::pin(revoked())) }
    }

    /// Ends once the token has been revoked.
    pub fn revoked(&self) -> impl Future<Output = ()> + Send + use<> {
        (self.revoked)()
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Bearer").field("principal", &self.principal).finish_non_exhaustive()
    }
}
