//! An answer from its head on: whole where it is short and comes at once, else piece by piece.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use http::{HeaderMap, StatusCode};

use super::answer::{Answer, Head, Timer, within};
use super::failure::Failure;
use crate::limits;

pub enum Opened {
    Whole(Answer),
    Streams {
        status: StatusCode,
        headers: HeaderMap,
        /// What has come of its body, perhaps nothing.
        first: Bytes,
        rest: Rest,
    },
}

/// The rest of a body, as far as it is taken.
pub struct Rest {
    body: BoxStream<'static, Result<Bytes, Failure>>,
    between_bytes: Duration,
}

/// Waits a moment for a short answer, which is one record then.
pub async fn opened(head: Head, between_bytes: Duration, timer: &dyn Timer) -> Result<Opened, Failure> {
    let Head { status, headers, body } = head;
    let mut rest = Rest { body, between_bytes };
    let mut came = Vec::new();
    let mut moment = timer.sleep(Duration::from_millis(limits::WHOLE_ANSWER_MS));
    while came.len() <= limits::MAX_WHOLE_ANSWER_BYTES {
        tokio::select! {
            biased;
            piece = rest.next(timer) => match piece? {
                None => return Ok(Opened::Whole(Answer { status, headers, body: came.into() })),
                Some(piece) => came.extend_from_slice(&piece),
            },
            () = &mut moment => break,
        }
    }
    Ok(Opened::Streams { status, headers, first: came.into(), rest })
}

impl Rest {
    /// The next bytes, never none; `None` at the end. Dropped before it ends, it has taken nothing.
    pub async fn next(&mut self, timer: &dyn Timer) -> Result<Option<Bytes>, Failure> {
        loop {
            let next = self.body.next().map(|piece| piece.transpose());
            let next = within(timer, self.between_bytes, next, Failure::AnswerTimeout).await?;
            if next.as_ref().is_none_or(|piece| !piece.is_empty()) {
                return Ok(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::BoxFuture;

    const BETWEEN: Duration = Duration::from_secs(7);

    /// Only waits as long as this are over.
    struct Elapsed(Duration);

    impl Timer for Elapsed {
        fn sleep(&self, time: Duration) -> BoxFuture<()> {
            let is_over = time == self.0;
            Box::pin(async move {
                if !is_over {
                    std::future::pending::<()>().await;
                }
            })
        }
    }

    fn head(pieces: Vec<Result<Bytes, Failure>>, ends: bool) -> Head {
        let pieces = futures::stream::iter(pieces);
        let body = match ends {
            true => pieces.boxed(),
            false => pieces.chain(futures::stream::pending()).boxed(),
        };
        Head { status: StatusCode::OK, headers: HeaderMap::new(), body }
    }

    fn bytes(length: usize) -> Result<Bytes, Failure> {
        Ok(vec![b'a'; length].into())
    }

    #[tokio::test]
    async fn a_short_answer_that_comes_at_once_is_whole() {
        let longest = limits::MAX_WHOLE_ANSWER_BYTES;
        for length in [0, 1, longest] {
            let came = opened(head(vec![bytes(length)], true), BETWEEN, &Elapsed(Duration::ZERO)).await;
            let Ok(Opened::Whole(answer)) = came else { panic!("{length} bytes are no whole answer") };
            assert_eq!(answer.body.len(), length);
        }
        let came =
            opened(head(vec![bytes(longest), bytes(1)], true), BETWEEN, &Elapsed(Duration::ZERO)).await;
        let Ok(Opened::Streams { first, mut rest, .. }) = came else { panic!("a long answer is whole") };
        assert_eq!(first.len(), longest + 1);
        assert_eq!(rest.next(&Elapsed(Duration::ZERO)).await, Ok(None));
    }

    #[tokio::test]
    async fn an_answer_that_takes_its_time_is_begun_with() {
        let moment = Elapsed(Duration::from_millis(limits::WHOLE_ANSWER_MS));
        for (pieces, length) in [(vec![], 0), (vec![bytes(5)], 5)] {
            let came = opened(head(pieces, false), BETWEEN, &moment).await;
            let Ok(Opened::Streams { first, mut rest, .. }) = came else { panic!("it has not ended") };
            assert_eq!(first.len(), length);
            assert_eq!(rest.next(&Elapsed(BETWEEN)).await, Err(Failure::AnswerTimeout));
        }
    }

    #[tokio::test]
    async fn one_that_breaks_before_it_is_begun_with_is_none() {
        let pieces = vec![bytes(5), Err(Failure::Incomplete)];
        let came = opened(head(pieces, false), BETWEEN, &Elapsed(Duration::ZERO)).await;
        assert!(matches!(came, Err(Failure::Incomplete)));
    }
}
