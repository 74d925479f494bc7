//! How the handler of a `subscriptions/listen` over HTTP leaves its stream to the response, past rmcp.

use std::convert::Infallible;
use std::sync::Arc;

use futures::stream::BoxStream;
use parking_lot::Mutex;

use crate::http::Bytes;

/// Makes the stream of a listener, of its acknowledgment and its end.
pub type Listener = Box<dyn FnOnce(Bytes, Bytes) -> BoxStream<'static, Result<Bytes, Infallible>> + Send>;

/// Where the handler of a listen request leaves its stream.
#[derive(Clone, Default)]
pub struct Handoff(Arc<Mutex<Option<Listener>>>);

tokio::task_local! {
    /// rmcp makes the handler within the request's own future.
    static OF_REQUEST: Handoff;
}

impl Handoff {
    pub fn of_this_request() -> Option<Self> {
        OF_REQUEST.try_with(Self::clone).ok()
    }

    /// Within the future of one request.
    pub fn scope<F: Future>(&self, request: F) -> impl Future<Output = F::Output> {
        OF_REQUEST.scope(self.clone(), request)
    }

    pub fn put(&self, listener: Listener) {
        *self.0.lock() = Some(listener);
    }

    pub fn take(&self) -> Option<Listener> {
        self.0.lock().take()
    }
}
