//! Why a session was not made, for the answer over HTTP: rmcp makes a fault of the server's of it.

use std::cell::RefCell;
use std::future::Future;

use crate::http::{Response, refused};
use crate::shares::Refusal;

tokio::task_local! {
    static REFUSED: RefCell<Option<Refusal>>;
}

/// Notes why this request is refused, if it is one that is answered by [`answer`].
pub fn note(refusal: &Refusal) {
    let _ = REFUSED.try_with(|noted| noted.replace(Some(refusal.clone())));
}

/// The answer of a request that may make a session, or the refusal that was noted meanwhile.
pub async fn answer(served: impl Future<Output = Response>) -> Response {
    let noting = async {
        let response = served.await;
        REFUSED.with(RefCell::take).map_or(response, |refusal| refused(&refusal))
    };
    REFUSED.scope(RefCell::new(None), noting).await
}
