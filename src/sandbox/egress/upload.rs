//! The body of a request, whole or piece by piece.

use std::fmt;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
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
