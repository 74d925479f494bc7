//! Streams that are written here and not by hyper, which would keep 16 KiB of buffers for each as long as it lives:
//! those of listeners, who are sent something now and then.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use http::{HeaderValue, Version, header};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::activity::Late;
use super::message::{Body, Bytes, Response};
use crate::limits;

/// Marks a response that sends a listener something now and then, and is the last of its connection.
#[derive(Clone, Copy)]
pub struct EventStream;

/// A body behind a head that hyper has sent.
pub struct Tail {
    body: Body,
    /// How its parts are set apart; HTTP/1.0 knows no way.
    is_chunked: bool,
}

/// Where a body waits until hyper has written all that comes before it.
#[derive(Default)]
pub struct Takeover {
    tail: Mutex<Option<Tail>>,
    /// hyper asks for a body once it has its head in its buffer.
    is_asked_for: AtomicBool,
    /// hyper writes out its buffer, then flushes; this is what lies between.
    is_unflushed: AtomicBool,
}

impl Takeover {
    /// Keeps the body of a stream back, and leaves hyper one that never says anything.
    pub fn hold(self: Arc<Self>, response: Response, version: Version) -> Response {
        if response.extensions().get::<EventStream>().is_none() {
            return response;
        }
        let (mut parts, body) = response.into_parts();
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        *self.tail.lock() = Some(Tail { body, is_chunked: version >= Version::HTTP_11 });
        let asked = stream::once(async move {
            self.is_asked_for.store(true, Ordering::Relaxed);
            pending::<io::Result<Bytes>>().await
        });
        Response::from_parts(parts, Body::from_stream(asked))
    }

    /// Notes a write of hyper's.
    pub fn written(&self) {
        self.is_unflushed.store(true, Ordering::Relaxed);
    }

    /// Notes a flush of hyper's.
    pub fn flushed(&self) {
        self.is_unflushed.store(false, Ordering::Relaxed);
    }

    /// Takes the body once its head is on the wire. Asked after each turn of hyper's, which ends with writing what it
    /// has to write.
    pub fn take_over(&self) -> Option<Tail> {
        let is_written =
            self.is_asked_for.load(Ordering::Relaxed) && !self.is_unflushed.load(Ordering::Relaxed);
        if is_written { self.tail.lock().take() } else { None }
    }
}

/// Writes the body until it ends, the client goes, or it does not read what it is sent.
pub async fn write_tail(mut stream: TcpStream, tail: Tail) -> io::Result<()> {
    let Tail { body, is_chunked } = tail;
    let mut body = body.into_data_stream();
    let (mut reader, mut writer) = stream.split();
    let gone = async {
        let mut ignored = [0; 64];
        while reader.read(&mut ignored).await? > 0 {}
        Ok(())
    };
    let sent = async {
        while let Some(part) = body.next().await {
            // Broken off without an end, it is not taken for a whole one.
            let part = part.map_err(io::Error::other)?;
            if is_chunked && !part.is_empty() {
                let size = format!("{:x}\r\n", part.len());
                write_in_time(&mut writer, &[size.as_bytes(), &part, b"\r\n"].concat()).await?;
            } else {
                write_in_time(&mut writer, &part).await?;
            }
        }
        if is_chunked {
            write_in_time(&mut writer, b"0\r\n\r\n").await?;
        }
        writer.shutdown().await
    };
    tokio::select! {
        gone = gone => gone,
        sent = sent => sent,
    }
}

/// Writes all of it, at no less than the rate at which every answer has to be read.
async fn write_in_time(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let seconds = limits::UNREAD_ANSWER_SECONDS;
    let spans = 1 + bytes.len() as u64 / limits::MIN_READ_BYTES;
    let patience = Duration::from_secs(seconds.saturating_mul(spans));
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, Late::Unread);
    tokio::time::timeout(patience, writer.write_all(bytes)).await.map_err(late)?
}
