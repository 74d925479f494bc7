//! What comes back, and how long it is waited for.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, StatusCode};

use super::failure::Failure;
use crate::engine::BoxFuture;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The begin of an answer; its body is still on its way.
pub struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: BoxStream<'static, Result<Bytes, Failure>>,
}

/// Time as the task has it.
pub trait Timer: Send + Sync {
    fn sleep(&self, time: Duration) -> BoxFuture<()>;
}

pub(super) async fn within<T>(
    timer: &dyn Timer,
    time: Duration,
    future: impl Future<Output = Result<T, Failure>>,
    late: Failure,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        output = future => output,
        () = timer.sleep(time) => Err(late),
    }
}
