//! Bodies of requests on their way from a worker to the server, and from there to where they go.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::stream::{StreamExt, unfold};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::limits;
use crate::sandbox::egress::{Failure, Upload};

/// Those of one guest.
pub struct Uploads {
    last: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
    places: Arc<Semaphore>,
}

struct Open {
    /// `None` is its end. Dropped without one, it is not complete.
    to: mpsc::Sender<Option<Bytes>>,
    /// Until its exchange takes it.
    pieces: Option<mpsc::Receiver<Option<Bytes>>>,
    bytes: u64,
    _place: OwnedSemaphorePermit,
}

impl Default for Uploads {
    fn default() -> Self {
        // Those that are being given up are still there when others begin.
        let places = Arc::new(Semaphore::new(2 * limits::MAX_OPEN_EXCHANGES));
        Self { last: AtomicU64::new(0), open: Mutex::default(), places }
    }
}

impl Uploads {
    pub fn places(&self) -> Arc<Semaphore> {
        self.places.clone()
    }

    /// Under the number that is returned.
    pub fn open(&self, place: OwnedSemaphorePermit) -> u64 {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (to, pieces) = mpsc::channel(limits::MAX_HELD_SENT_PIECES);
        let open = Open { to, pieces: Some(pieces), bytes: 0, _place: place };
        self.open.lock().insert(number, open);
        number
    }

    /// For its exchange, once.
    pub fn take(&self, number: u64) -> Option<Upload> {
        let pieces = self.open.lock().get_mut(&number)?.pieces.take()?;
        let pieces = unfold(Some(pieces), |pieces| async move {
            let mut pieces = pieces?;
            match pieces.recv().await {
                Some(Some(piece)) => Some((Ok(piece), Some(pieces))),
                Some(None) => None,
                None => Some((Err(Failure::Unfinished), None)),
            }
        });
        Some(Upload::new(pieces.boxed()))
    }

    /// Where the next piece goes; `None` where there are no more than its bounds allow, or it is not open.
    pub fn next(&self, number: u64, bytes: usize) -> Option<mpsc::Sender<Option<Bytes>>> {
        let mut open = self.open.lock();
        let upload = open.get_mut(&number)?;
        upload.bytes += bytes as u64;
        let fits =
            bytes <= 2 * limits::MAX_SENT_PIECE_BYTES && upload.bytes <= limits::MAX_STREAMED_BODY_BYTES;
        fits.then(|| upload.to.clone())
    }

    /// No more of it comes.
    pub fn end(&self, number: u64) -> Option<mpsc::Sender<Option<Bytes>>> {
        self.open.lock().remove(&number).map(|upload| upload.to)
    }

    /// Its exchange is over: where it has not taken it, nothing will.
    pub fn leave(&self, number: u64) {
        if let Some(upload) = self.open.lock().get_mut(&number) {
            drop(upload.pieces.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn opened(uploads: &Uploads) -> u64 {
        uploads.open(uploads.places().acquire_owned().await.unwrap())
    }

    async fn pieces(upload: Upload) -> Vec<Result<Bytes, Failure>> {
        upload.pieces().collect().await
    }

    #[tokio::test]
    async fn only_what_is_ended_is_complete() {
        let uploads = Uploads::default();
        for is_complete in [true, false] {
            let number = opened(&uploads).await;
            let upload = uploads.take(number).unwrap();
            uploads.next(number, 1).unwrap().send(Some(Bytes::from_static(b"a"))).await.unwrap();
            let to = uploads.end(number).unwrap();
            if is_complete {
                to.send(None).await.unwrap();
            }
            drop(to);
            let mut expected = vec![Ok(Bytes::from_static(b"a"))];
            expected.extend((!is_complete).then_some(Err(Failure::Unfinished)));
            assert_eq!(pieces(upload).await, expected);
        }
    }

    #[tokio::test]
    async fn what_no_exchange_takes_is_not_waited_for() {
        let uploads = Uploads::default();
        let number = opened(&uploads).await;
        let to = uploads.next(number, 1).unwrap();
        uploads.leave(number);
        assert!(to.send(Some(Bytes::new())).await.is_err());
        assert!(uploads.take(number).is_none());
    }

    #[tokio::test]
    async fn a_worker_keeps_to_the_bounds() {
        let uploads = Uploads::default();
        let number = opened(&uploads).await;
        assert!(uploads.next(number, 2 * limits::MAX_SENT_PIECE_BYTES).is_some());
        assert!(uploads.next(number, 2 * limits::MAX_SENT_PIECE_BYTES + 1).is_none());
        assert!(uploads.next(number + 1, 1).is_none());
        uploads.open.lock().get_mut(&number).unwrap().bytes = limits::MAX_STREAMED_BODY_BYTES;
        assert!(uploads.next(number, 1).is_none());
    }
}
