//! A body whose parts are asked for as they come along, of a request that arrives or of an answer that is read.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::message::{Body, BodyError, Bytes};
use crate::shares::Refusal;

/// What is asked for each part of a body that comes along. It goes with the body.
pub trait Meter: Send + Unpin + 'static {
    fn take(&mut self, bytes: usize) -> Result<(), Refusal>;
}

/// The same body, which breaks off where its meter refuses a part.
pub fn metered(inner: Body, meter: impl Meter) -> Body {
    Body::new(Metered { inner, meter })
}

struct Metered<M> {
    inner: Body,
    meter: M,
}

impl<M: Meter> HttpBody for Metered<M> {
    type Data = Bytes;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(refused) = self.meter.take(data.len())
        {
            return Poll::Ready(Some(Err(axum::Error::new(BodyError::Refused(refused)))));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
