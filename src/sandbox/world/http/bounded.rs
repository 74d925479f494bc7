//! The stream on which a guest writes the body of a request. How much room there is follows from its own writes and from the
//! waits that it has ended, which are in its journal: no moment of the host's shows in what its calls return.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

use super::held::{Amount, Held};
use super::shown::block;
use crate::limits;
use crate::sandbox::threads::Meter;
use crate::sandbox::world::journal::Journal;

pub struct Bounded {
    inner: Box<dyn OutputStream>,
    held: Arc<Held>,
    /// As far as the guest can tell.
    shown: Amount,
    written: Amount,
    journal: Journal,
    meter: Arc<Meter>,
}

impl Bounded {
    pub fn new(inner: Box<dyn OutputStream>, held: Arc<Held>, journal: Journal, meter: Arc<Meter>) -> Self {
        Self { inner, held, shown: Amount::default(), written: Amount::default(), journal, meter }
    }

    /// A guest that writes more than it may hears so by its own count: the write that passes a bound is the last one.
    fn check(&self) -> StreamResult<()> {
        let fits = match self.held.is_sent() {
            true => self.written.bytes <= limits::MAX_STREAMED_BODY_BYTES,
            // Nothing takes it off yet.
            false => self.written.is_sent_whole(),
        };
        if fits {
            return Ok(());
        }
        let error = ErrorCode::HttpRequestBodySize(Some(self.written.bytes));
        Err(StreamError::LastOperationFailed(error.into()))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Bounded {
    /// Called within waits that the journal has alone.
    async fn ready(&mut self) {
        if self.shown.room() > 0 || self.check().is_err() {
            return;
        }
        self.held.has_room().await;
        self.shown = self.shown.after_wait();
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Bounded {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.check()?;
        if bytes.len() > self.shown.room() {
            return Err(StreamError::trap("a write without the room that check-write told"));
        }
        self.shown.add(bytes.len());
        self.written.add(bytes.len());
        self.held.add(bytes.len());
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.check()?;
        match self.shown.room() {
            0 => Ok(0),
            room => Ok(self.inner.check_write()?.min(room)),
        }
    }

    /// A blocking call that has to wait is one more wait.
    async fn write_ready(&mut self) -> StreamResult<usize> {
        let room = self.check_write()?;
        if room > 0 {
            return Ok(room);
        }
        let (journal, meter) = (self.journal.clone(), self.meter.clone());
        block(&journal, &meter, self.ready()).await.map_err(|stop| StreamError::Trap(stop.into()))?;
        self.check_write()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Takes everything.
    struct Taking;

    #[wasmtime_wasi::async_trait]
    impl Pollable for Taking {
        async fn ready(&mut self) {}
    }

    #[wasmtime_wasi::async_trait]
    impl OutputStream for Taking {
        fn write(&mut self, _: Bytes) -> StreamResult<()> {
            Ok(())
        }

        fn flush(&mut self) -> StreamResult<()> {
            Ok(())
        }

        fn check_write(&mut self) -> StreamResult<usize> {
            Ok(limits::MAX_SENT_PIECE_BYTES)
        }
    }

    fn stream(held: &Arc<Held>) -> Bounded {
        Bounded::new(Box::new(Taking), held.clone(), Journal::of_inspection(), Arc::default())
    }

    /// As much as there is room for. What it wrote.
    fn fill(stream: &mut Bounded) -> usize {
        let mut written = 0;
        while let Ok(room @ 1..) = stream.check_write() {
            stream.write(vec![b'a'; room].into()).unwrap();
            written += room;
        }
        written
    }

    #[tokio::test]
    async fn room_comes_with_a_wait_alone() {
        let held = Held::new();
        held.mark_sent();
        let mut stream = stream(&held);
        let most = fill(&mut stream);
        assert!(most > limits::MAX_SENT_BODY_BYTES, "what is sent whole never waits: {most}");
        assert!(stream.ready().now_or_never().is_none(), "nothing was taken");
        held.take(Amount { bytes: most as u64, chunks: usize::MAX });
        assert_eq!(stream.check_write().unwrap(), 0, "that it was taken does not show");
        stream.ready().now_or_never().expect("there is room");
        assert_eq!(fill(&mut stream), most - most / 2, "as much as is sure, whatever was taken");
        assert!(matches!(stream.write(Bytes::from_static(b"a")), Err(StreamError::Trap(_))));
    }

    #[tokio::test]
    async fn short_writes_wait_as_well() {
        let held = Held::new();
        held.mark_sent();
        let mut stream = stream(&held);
        let mut writes = 0;
        while stream.check_write().unwrap() > 0 {
            stream.write(Bytes::new()).unwrap();
            writes += 1;
        }
        assert_eq!(writes, limits::MAX_SENT_BODY_CHUNKS + 1);
        assert!(stream.ready().now_or_never().is_none());
        held.take(Amount { bytes: 0, chunks: writes / 2 + 1 });
        stream.ready().now_or_never().expect("there is room");
    }

    #[tokio::test]
    async fn a_bound_is_an_error_and_no_wait() {
        let held = Held::new();
        let mut unsent = stream(&held);
        assert_eq!(fill(&mut unsent), limits::MAX_SENT_BODY_BYTES + limits::MAX_SENT_PIECE_BYTES);
        assert!(matches!(unsent.check_write(), Err(StreamError::LastOperationFailed(_))));
        unsent.ready().now_or_never().expect("nothing to wait for");
        held.mark_sent();
        let mut longest = stream(&held);
        longest.written.bytes = limits::MAX_STREAMED_BODY_BYTES;
        longest.write(Bytes::from_static(b"a")).unwrap();
        assert!(matches!(longest.write(Bytes::new()), Err(StreamError::LastOperationFailed(_))));
    }
}
