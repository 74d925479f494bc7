//! The body of an answer that comes piece by piece, as it may be shown: what there is at once is taken together, and secrets
//! in it are masked.

use bytes::Bytes;
use futures::FutureExt;

use super::answer::Timer;
use super::failure::Failure;
use super::masking::Masker;
use super::opened::Rest;
use crate::limits;

pub struct Stream {
    /// What came with the head.
    first: Option<Bytes>,
    rest: Rest,
    masker: Option<Masker>,
    /// Nothing more comes, and why.
    over: Option<Result<(), Failure>>,
}

impl Stream {
    pub fn new(first: Bytes, rest: Rest, masker: Masker) -> Self {
        let first = Some(first).filter(|first| !first.is_empty());
        Self { first, rest, masker: Some(masker), over: None }
    }

    /// The next bytes, never none; `None` at the end. Dropped before it ends, it has taken nothing.
    pub async fn next(&mut self, timer: &dyn Timer) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(over) = &self.over {
                return over.clone().map(|()| None);
            }
            let piece = match self.first.take() {
                Some(first) => Ok(Some(first)),
                None => self.rest.next(timer).await,
            };
            let mut shown = self.pass(piece);
            while self.over.is_none() && shown.len() < limits::MAX_STREAMED_AT_ONCE_BYTES {
                let Some(piece) = self.rest.next(timer).now_or_never() else { break };
                shown.append(&mut self.pass(piece));
            }
            if !shown.is_empty() {
                return Ok(Some(shown.into()));
            }
        }
    }

    fn pass(&mut self, piece: Result<Option<Bytes>, Failure>) -> Vec<u8> {
        match piece {
            Ok(Some(piece)) => self.masker.as_mut().map(|masker| masker.pass(&piece)).unwrap_or_default(),
            Ok(None) => {
                self.over = Some(Ok(()));
                self.masker.take().map(Masker::rest).unwrap_or_default()
            }
            // What is held back of a stream that breaks may be the begin of a secret, and is not shown.
            Err(failure) => {
                self.over = Some(Err(failure));
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt;
    use http::{HeaderMap, StatusCode};

    use super::super::answer::Head;
    use super::super::opened::{Opened, opened};
    use super::*;
    use crate::authority::Secret;
    use crate::engine::BoxFuture;

    /// The moment for whole answers is over, and nothing else.
    struct Moment;

    impl Timer for Moment {
        fn sleep(&self, time: Duration) -> BoxFuture<()> {
            let is_over = time == Duration::from_millis(limits::WHOLE_ANSWER_MS);
            Box::pin(async move {
                if !is_over {
                    std::future::pending::<()>().await;
                }
            })
        }
    }

    async fn shown(
        first: &'static str,
        then: Vec<Result<&'static str, Failure>>,
    ) -> Vec<Result<String, Failure>> {
        let first = futures::stream::iter([Ok(Bytes::from_static(first.as_bytes()))]);
        // Between the first and the rest the moment ends.
        let mut waited = false;
        let pause = futures::stream::poll_fn(move |context| {
            context.waker().wake_by_ref();
            match std::mem::replace(&mut waited, true) {
                false => std::task::Poll::Pending,
                true => std::task::Poll::Ready(None),
            }
        });
        let then =
            futures::stream::iter(then).map(|piece| piece.map(|text| Bytes::from_static(text.as_bytes())));
        let body = first.chain(pause).chain(then).boxed();
        let head = Head { status: StatusCode::OK, headers: HeaderMap::new(), body };
        let Ok(Opened::Streams { first, rest, .. }) = opened(head, Duration::from_secs(7), &Moment).await
        else {
            panic!("it does not stream")
        };
        let mut stream = Stream::new(first, rest, Masker::new(vec![Secret::new("secret")]));
        let mut all = Vec::new();
        loop {
            match stream.next(&Moment).await {
                Ok(None) => return all,
                Ok(Some(piece)) => all.push(Ok(String::from_utf8_lossy(&piece).into_owned())),
                Err(failure) => {
                    all.push(Err(failure));
                    return all;
                }
            }
        }
    }

    #[tokio::test]
    async fn what_there_is_at_once_comes_together_and_masked() {
        let all = shown("one se", vec![Ok("cre"), Ok("t two"), Ok(" sec")]).await;
        assert_eq!(all.into_iter().collect::<Result<String, _>>().as_deref(), Ok("one ****** two sec"));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_shows_no_begin_of_a_secret() {
        let all = shown("one ", vec![Ok("two secre"), Err(Failure::Incomplete)]).await;
        let shown: String = all.iter().flatten().map(String::as_str).collect();
        assert_eq!((shown.as_str(), all.last()), ("one two ", Some(&Err(Failure::Incomplete))));
    }
}
