//! The body of a request as the host takes it off: whole where it is short, else piece by piece. It is taken to its end whatever
//! becomes of the exchange, so that no moment of the host's shows in what the guest's calls return.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt, try_unfold};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use wasmtime_wasi_http::WasiBody;

use super::held::{Amount, Held};
use super::sent::{Sent, Tally};
use crate::limits;
use crate::sandbox::egress::Failure;

/// Dropped, the rest of it is thrown away as it is written.
pub struct Body {
    inner: Option<WasiBody>,
    /// `None` where the guest made none.
    held: Option<Arc<Held>>,
    runtime: Handle,
    taken: Amount,
    /// Taken off, and still held.
    gathered: BytesMut,
    gathered_chunks: usize,
    end: Option<Result<(), Failure>>,
}

/// What became of a body that might be short.
pub enum Gathered {
    Whole(Bytes),
    /// There is more of it, or will be.
    Grows(Body),
    Broken(Failure),
}

impl Body {
    pub fn new(inner: WasiBody, held: Option<Arc<Held>>, runtime: Handle) -> Self {
        let gathered = BytesMut::new();
        Self {
            inner: Some(inner),
            held,
            runtime,
            taken: Amount::default(),
            gathered,
            gathered_chunks: 0,
            end: None,
        }
    }

    /// Waits for its end, as long as it is short and `leaves` does not come first.
    pub async fn gather(mut self, leaves: impl Future<Output = ()>) -> Gathered {
        let mut leaves = std::pin::pin!(leaves);
        loop {
            let written = tokio::select! {
                biased;
                written = self.written() => written,
                () = &mut leaves => return Gathered::Grows(self),
            };
            match written {
                Ok(Some(bytes)) => {
                    self.gathered.extend_from_slice(&bytes);
                    self.gathered_chunks += 1;
                    if !self.taken.is_sent_whole() {
                        return Gathered::Grows(self);
                    }
                }
                Ok(None) => return Gathered::Whole(std::mem::take(&mut self.gathered).freeze()),
                Err(failure) => return Gathered::Broken(failure),
            }
        }
    }

    /// Whether it begins with what was sent of it.
    pub async fn begins_as(&mut self, sent: &Sent) -> bool {
        let (mut left, mut tally) = (sent.bytes, Tally::default());
        while left > 0 {
            let Ok(Some(piece)) = self.next().await else { return false };
            let known = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
            tally.add(&piece[..known]);
            left -= known as u64;
        }
        tally.sent() == *sent
    }

    /// Its pieces, as they are taken; `tally` counts them.
    pub fn pieces(self, tally: Arc<Mutex<Tally>>) -> BoxStream<'static, Result<Bytes, Failure>> {
        let next = |(mut body, tally): (Self, Arc<Mutex<Tally>>)| async move {
            let next = body.next().await?;
            Ok(next.map(|piece| {
                tally.lock().add(&piece);
                (piece, (body, tally))
            }))
        };
        try_unfold((self, tally), next).boxed()
    }

    /// What is handed on next, never nothing; `None` at its end. Dropped before it ends, it has taken nothing.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while self.gathered.is_empty() {
            let Some(bytes) = self.written().await? else { return Ok(None) };
            self.gather_one(&bytes);
            while self.gathered.len() < limits::MAX_SENT_PIECE_BYTES / 2 {
                // An end is there again for the next call.
                let Some(Ok(Some(bytes))) = self.written().now_or_never() else { break };
                self.gather_one(&bytes);
            }
            if self.gathered.is_empty() {
                self.let_go_of(0);
            }
        }
        let length = self.gathered.len().min(2 * limits::MAX_SENT_PIECE_BYTES);
        let piece = self.gathered.split_to(length).freeze();
        self.let_go_of(length);
        Ok(Some(piece))
    }

    fn gather_one(&mut self, bytes: &Bytes) {
        self.gathered.extend_from_slice(bytes);
        self.gathered_chunks += 1;
    }

    /// So much is not held any more.
    fn let_go_of(&mut self, bytes: usize) {
        let taken = Amount { bytes: bytes as u64, chunks: std::mem::take(&mut self.gathered_chunks) };
        if let Some(held) = &self.held {
            held.take(taken);
        }
    }

    /// What one write of the guest's wrote, perhaps nothing.
    async fn written(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(end) = &self.end {
                return end.clone().map(|()| None);
            }
            let Some(inner) = &mut self.inner else { return Ok(None) };
            let end = match inner.frame().await {
                Some(Ok(frame)) => {
                    // Trailers are not sent on: servers of HTTP/1 seldom look at them.
                    let Ok(data) = frame.into_data() else { continue };
                    self.taken.add(data.len());
                    if self.taken.bytes <= limits::MAX_STREAMED_BODY_BYTES {
                        return Ok(Some(data));
                    }
                    self.end = Some(Err(Failure::SentTooLarge));
                    continue;
                }
                None if self.held.as_ref().is_none_or(|held| held.is_finished()) => Ok(()),
                // The guest dropped it before it was complete.
                None | Some(Err(_)) => Err(Failure::Unfinished),
            };
            self.inner = None;
            self.end = Some(end);
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let Some(mut inner) = self.inner.take() else { return };
        self.let_go_of(self.gathered.len());
        let held = self.held.take();
        self.runtime.spawn(async move {
            while let Some(Ok(frame)) = inner.frame().await {
                let bytes = frame.data_ref().map(|data| data.len() as u64);
                if let (Some(held), Some(bytes)) = (&held, bytes) {
                    held.take(Amount { bytes, chunks: 1 });
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tokio::sync::mpsc;
    use wasmtime_wasi_http::Error;

    use super::*;

    type Write = Result<Frame<Bytes>, Error>;

    /// A guest that writes.
    struct Guest {
        writes: Option<mpsc::UnboundedSender<Write>>,
        held: Arc<Held>,
    }

    impl Guest {
        fn new() -> (Self, Body) {
            let (to, writes) = mpsc::unbounded_channel::<Write>();
            let writes = futures::stream::unfold(writes, |mut writes| async move {
                writes.recv().await.map(|write| (write, writes))
            });
            let held = Held::new();
            let body = Body::new(
                StreamBody::new(writes).boxed_unsync(),
                Some(held.clone()),
                tokio::runtime::Handle::current(),
            );
            (Self { writes: Some(to), held }, body)
        }

        fn write(&self, bytes: usize) {
            self.held.add(bytes);
            let sent = self.writes.as_ref().map(|to| to.send(Ok(Frame::data(vec![b'a'; bytes].into()))));
            assert!(sent.is_some_and(|sent| sent.is_ok()), "it is taken off");
        }

        fn finish(&mut self) {
            self.held.mark_finished();
            self.writes = None;
        }
    }

    async fn gathered(writes: &[usize], is_finished: bool) -> Gathered {
        let (mut guest, body) = Guest::new();
        writes.iter().for_each(|bytes| guest.write(*bytes));
        if is_finished {
            guest.finish();
        }
        drop(guest);
        body.gather(std::future::pending()).await
    }

    async fn sent_of(body: Body) -> (Vec<usize>, Option<Failure>, Sent) {
        let tally = Arc::<Mutex<Tally>>::default();
        let (mut lengths, mut failure) = (Vec::new(), None);
        for piece in body.pieces(tally.clone()).collect::<Vec<_>>().await {
            match piece {
                Ok(piece) => lengths.push(piece.len()),
                Err(broken) => failure = Some(broken),
            }
        }
        let sent = tally.lock().sent();
        (lengths, failure, sent)
    }

    #[tokio::test]
    async fn what_fits_is_whole_and_what_does_not_streams() {
        let most = limits::MAX_SENT_BODY_BYTES;
        for writes in [&[][..], &[0], &[5, 7], &[most - 1, 1]] {
            let Gathered::Whole(body) = gathered(writes, true).await else {
                panic!("{writes:?} is not whole")
            };
            assert_eq!(body.len(), writes.iter().sum::<usize>());
        }
        let many = vec![1; limits::MAX_SENT_BODY_CHUNKS + 1];
        for writes in [&[most, 1, 5][..], &many] {
            let Gathered::Grows(body) = gathered(writes, true).await else { panic!("it is whole") };
            let (lengths, failure, sent) = sent_of(body).await;
            assert_eq!((lengths.iter().sum::<usize>(), failure), (writes.iter().sum(), None));
            assert!(lengths.iter().all(|length| *length <= 2 * limits::MAX_SENT_PIECE_BYTES));
            assert_eq!(sent.hash, blake3::hash(&vec![b'a'; writes.iter().sum()]));
        }
    }

    #[tokio::test]
    async fn only_a_body_that_its_guest_finished_is_complete() {
        assert!(matches!(gathered(&[5], false).await, Gathered::Broken(Failure::Unfinished)));
        let Gathered::Grows(body) = gathered(&[limits::MAX_SENT_BODY_BYTES, 1], false).await else {
            panic!("it is whole")
        };
        assert_eq!(sent_of(body).await.1, Some(Failure::Unfinished));
    }

    #[tokio::test]
    async fn a_body_that_is_not_waited_for_leaves_with_what_is_there() {
        let (mut guest, body) = Guest::new();
        guest.write(5);
        let Gathered::Grows(body) = body.gather(std::future::ready(())).await else { panic!("it waits") };
        guest.finish();
        assert_eq!(sent_of(body).await.0, [5]);
    }

    #[tokio::test]
    async fn what_was_sent_is_known_again_however_it_is_written() {
        let sent = |text: &[u8]| Sent { bytes: text.len() as u64, hash: blake3::hash(text) };
        let as_sent = async |writes: &[usize], sent: Sent| {
            let (mut guest, mut body) = Guest::new();
            writes.iter().for_each(|bytes| guest.write(*bytes));
            guest.finish();
            body.begins_as(&sent).await
        };
        assert!(as_sent(&[1, 1, 2], sent(b"aaa")).await, "there may be more behind it");
        assert!(as_sent(&[], sent(b"")).await);
        assert!(as_sent(&[200_000, 100_000], sent(&[b'a'; 250_000])).await);
        assert!(!as_sent(&[3], sent(b"aab")).await);
        assert!(!as_sent(&[2], sent(b"aaa")).await, "it is shorter");
    }

    #[tokio::test]
    async fn a_body_that_no_exchange_wants_is_thrown_away_as_it_is_written() {
        let (guest, body) = Guest::new();
        guest.write(limits::MAX_SENT_BODY_BYTES);
        drop(body);
        guest.held.has_room().await;
        guest.write(limits::MAX_SENT_BODY_BYTES);
        guest.held.has_room().await;
    }
}
