//! The `taskIds` of a `subscriptions/listen` over HTTP, which rmcp does not read.

use std::sync::{Arc, OnceLock};

/// The tasks of which one `subscriptions/listen` wants to hear.
pub struct TaskIds {
    pub asked: Vec<String>,
    /// The request declares the tasks extension.
    pub declared: bool,
    honoured: OnceLock<Vec<String>>,
}

tokio::task_local! {
    /// rmcp makes the handler of such a request within the request's own future.
    static OF_REQUEST: Arc<TaskIds>;
}

impl TaskIds {
    pub fn new(asked: Vec<String>, declared: bool) -> Arc<Self> {
        Arc::new(Self { asked, declared, honoured: OnceLock::new() })
    }

    /// Within the future of one request.
    pub fn scope<F: Future>(self: &Arc<Self>, request: F) -> impl Future<Output = F::Output> {
        OF_REQUEST.scope(self.clone(), request)
    }

    /// Those that are watched.
    pub fn honoured(&self) -> &[String] {
        self.honoured.get().map_or(&[], Vec::as_slice)
    }

    pub fn of_this_request() -> Option<Arc<Self>> {
        OF_REQUEST.try_with(Arc::clone).ok()
    }

    /// Called before the subscription is acknowledged.
    pub fn honour(&self, ids: Vec<String>) {
        // A request is armed once.
        let _ = self.honoured.set(ids);
    }
}
