//! What comes back, and how long it is waited for.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, StatusCode};
use tokio::sync::watch;

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

/// The same, of which each of these moves begins a new wait.
pub(super) async fn within_moves<T>(
    timer: &dyn Timer,
    time: Duration,
    future: impl Future<Output = Result<T, Failure>>,
    mut moves: Option<watch::Receiver<u64>>,
    late: Failure,
) -> Result<T, Failure> {
    let mut future = std::pin::pin!(future);
    loop {
        let moved = async {
            match &mut moves {
                Some(moves) => moves.changed().await,
                None => std::future::pending().await,
            }
        };
        let moved = tokio::select! {
            biased;
            output = &mut future => return output,
            moved = moved => moved,
            () = timer.sleep(time) => return Err(late),
        };
        if moved.is_err() {
            // The last one.
            moves = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use super::*;

    /// The wait of this number, from 1 on, is over.
    struct Waits {
        begun: AtomicUsize,
        over: usize,
    }

    impl Timer for Waits {
        fn sleep(&self, _: Duration) -> BoxFuture<()> {
            let is_over = self.begun.fetch_add(1, Ordering::SeqCst) + 1 == self.over;
            Box::pin(async move {
                if !is_over {
                    std::future::pending::<()>().await;
                }
            })
        }
    }

    #[tokio::test]
    async fn each_move_begins_a_new_wait_and_so_does_the_end_of_them() {
        let timer = Waits { begun: AtomicUsize::new(0), over: 4 };
        let (moves, seen) = watch::channel(0);
        let future = std::future::pending::<Result<(), Failure>>();
        let waiting = within_moves(&timer, Duration::ZERO, future, Some(seen), Failure::AnswerTimeout);
        let mut waiting = std::pin::pin!(waiting);
        for _ in 0..2 {
            assert!(futures::poll!(&mut waiting).is_pending());
            moves.send_modify(|count| *count += 1);
        }
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(moves);
        assert_eq!(futures::poll!(&mut waiting), Poll::Ready(Err(Failure::AnswerTimeout)));
        assert_eq!(timer.begun.load(Ordering::SeqCst), 4);
    }
}
