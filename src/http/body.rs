//! The bodies of requests and answers, watched: a request's must arrive at some rate, and a connection is idle again once
//! an answer's has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::activity::Activity;
use super::message::{BodyError, Bytes, Response};
use super::metered::{Meter, metered};
use crate::limits;
use crate::shares::Refusal;

/// A request's body that must arrive in time.
pub struct Paced {
    inner: Incoming,
    begun: Instant,
    bytes: u64,
    /// Set up once there is something to wait for.
    due: Option<Pin<Box<Sleep>>>,
    is_unread: Arc<AtomicBool>,
}

impl Paced {
    /// `is_unread` says afterwards whether some of it was not read.
    pub fn new(inner: Incoming, is_unread: Arc<AtomicBool>) -> Self {
        is_unread.store(!inner.is_end_stream(), Ordering::Relaxed);
        Self { inner, begun: Instant::now(), bytes: 0, due: None, is_unread }
    }

    fn due_at(&self) -> Instant {
        let seconds = limits::REQUEST_BODY_SECONDS + self.bytes / limits::MIN_BODY_BYTES_PER_SECOND;
        self.begun + Duration::from_secs(seconds)
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            let frame = frame.transpose()?;
            if let Some(data) = frame.as_ref().and_then(Frame::data_ref) {
                self.bytes += data.len() as u64;
            }
            if frame.is_none() || self.inner.is_end_stream() {
                self.is_unread.store(false, Ordering::Relaxed);
            }
            return Poll::Ready(frame.map(Ok));
        }
        let due_at = self.due_at();
        let due = self.due.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due_at)));
        if due.deadline() != due_at {
            due.as_mut().reset(due_at);
        }
        ready!(due.as_mut().poll(context));
        Poll::Ready(Some(Err(BodyError::TooSlow)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The same response, of which the connection learns when its body has ended.
pub fn noting_its_end(response: Response, activity: Arc<Activity>) -> Response {
    response.map(|inner| metered(inner, Noted(activity)))
}

struct Noted(Arc<Activity>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.end_answer(Instant::now());
    }
}

impl Meter for Noted {
    // Its head has been sent: broken off without an end, it is not taken for a whole one.
    fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.0.take_part(bytes)
    }
}
