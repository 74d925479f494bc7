//! The body of a request, whole or piece by piece.

use std::fmt;
use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::failure::Failure;

pub enum Sending {
    Whole(Bytes),
    Streams(Upload),
}

/// One that streams out, as fast as its server takes it.
pub struct Upload {
    pieces: BoxStream<'static, Result<Bytes, Failure>>,
    /// The pieces that were taken. Dropped with the last of them.
    moves: watch::Sender<u64>,
}

impl Upload {
    pub fn new(pieces: BoxStream<'static, Result<Bytes, Failure>>) -> Self {
        Self { pieces, moves: watch::Sender::new(0) }
    }

    /// Changes with each piece that is taken, and is closed when there is no more.
    pub fn moves(&self) -> watch::Receiver<u64> {
        self.moves.subscribe()
    }

    pub fn pieces(self) -> BoxStream<'static, Result<Bytes, Failure>> {
        let Self { pieces, moves } = self;
        // The end comes before the stream is dropped.
        let pieces = pieces.map(Some).chain(futures::stream::iter([None]));
        let taken = pieces.scan(Some(moves), |moves, piece| {
            match &piece {
                Some(Ok(_)) => {
                    if let Some(moves) = moves {
                        moves.send_modify(|count| *count += 1);
                    }
                }
                Some(Err(_)) | None => *moves = None,
            }
            std::future::ready(piece)
        });
        taken.boxed()
    }

    /// The same with what cuts them off: a connection that cannot write keeps what it was given, also for a request that is over.
    pub fn pieces_until_cut(self) -> (BoxStream<'static, Result<Bytes, Failure>>, Cut) {
        let shared = Arc::new(Mutex::new(Cuttable { pieces: Some(self.pieces()), waker: None }));
        let cut = Cut(shared.clone());
        let pieces = futures::stream::poll_fn(move |context| {
            let mut shared = shared.lock();
            shared.waker = Some(context.waker().clone());
            match &mut shared.pieces {
                Some(pieces) => pieces.poll_next_unpin(context),
                None => Poll::Ready(Some(Err(Failure::Unfinished))),
            }
        });
        (pieces.boxed(), cut)
    }
}

struct Cuttable {
    pieces: Option<BoxStream<'static, Result<Bytes, Failure>>>,
    waker: Option<Waker>,
}

/// Dropped, it takes no more of the body, which is not complete then.
pub struct Cut(Arc<Mutex<Cuttable>>);

impl Drop for Cut {
    fn drop(&mut self) {
        let (pieces, waker) = {
            let mut shared = self.0.lock();
            (shared.pieces.take(), shared.waker.take())
        };
        drop(pieces);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Sending {
    /// Of one that streams.
    pub fn moves(&self) -> Option<watch::Receiver<u64>> {
        match self {
            Self::Whole(_) => None,
            Self::Streams(upload) => Some(upload.moves()),
        }
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(body) => write!(f, "{} bytes", body.len()),
            Self::Streams(_) => f.write_str("a stream"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn upload() -> (mpsc::Sender<Bytes>, Upload) {
        let (to, from) = mpsc::channel(4);
        let pieces = futures::stream::unfold(from, |mut from: mpsc::Receiver<Bytes>| async move {
            from.recv().await.map(|piece| (Ok(piece), from))
        });
        (to, Upload::new(pieces.boxed()))
    }

    #[tokio::test]
    async fn moves_are_seen_until_the_end_alone() {
        let (to, upload) = upload();
        let mut moves = upload.moves();
        let mut pieces = upload.pieces();
        to.send(Bytes::from_static(b"a")).await.unwrap();
        assert_eq!(pieces.next().await, Some(Ok(Bytes::from_static(b"a"))));
        assert_eq!(*moves.borrow_and_update(), 1);
        drop(to);
        assert_eq!(pieces.next().await, None);
        assert!(moves.has_changed().is_err(), "also where the stream is kept");
    }

    #[tokio::test]
    async fn what_is_cut_off_is_let_go_of_by_a_connection_that_takes_nothing_and_is_not_complete() {
        let (to, upload) = upload();
        let (mut pieces, cut) = upload.pieces_until_cut();
        assert!(futures::poll!(pieces.next()).is_pending());
        drop(cut);
        assert!(to.is_closed());
        assert_eq!(pieces.next().await, Some(Err(Failure::Unfinished)));
    }
}
