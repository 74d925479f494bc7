//! The body of an answer that streams, from its server or from disk to the guest. A piece is on disk before the guest sees it.
//!
//! After a restart what is on disk comes first. What is not is asked for again where the request may leave once more, and what
//! comes then must begin as it did: it is held against the hash of what was read, and shown from there on. Where that is not
//! allowed, or it begins otherwise, the guest gets an error in the place of the rest, as it would from a connection that broke.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::source::{Asked, Source};
use super::{Exchange, Exchanges, Shared};
use crate::engine::{OpHandle, PlaceOfPiece};
use crate::limits;
use crate::sandbox::egress::{Failure, Sending};
use crate::sandbox::stop::Stop;
use crate::sandbox::world::http::outcome;
use crate::sandbox::world::http::pieces::{Again, Differs, Piece, Read};
use crate::sandbox::world::http::request::may_read_on;
use crate::sandbox::world::http::streamed::{Held, Next, Streamed};
use crate::sandbox::world::http::way_out::{Came, Flow};

struct Pump {
    exchanges: Exchanges,
    op: OpHandle,
    hash: u64,
    /// Where the next piece stands.
    at: PlaceOfPiece,
    /// What was read from disk.
    read: Read,
    to: mpsc::Sender<Next>,
}

/// A body is on its way, as long as this is there.
pub(super) struct Pumping(Arc<Shared>);

impl Pumping {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.pumps.fetch_add(1, Ordering::SeqCst);
        Self(shared.clone())
    }
}

impl Drop for Pumping {
    fn drop(&mut self) {
        self.0.pumps.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}

impl Exchanges {
    pub(super) fn is_pumping(&self) -> bool {
        self.0.pumps.load(Ordering::SeqCst) > 0
    }

    /// Keeps the instance for a body that begins.
    pub(super) fn pumping(&self) -> Pumping {
        Pumping::new(&self.0)
    }

    /// Begins with a body. It ends early where the guest drops it.
    pub(super) fn stream(
        &self,
        exchange: &Exchange,
        hash: u64,
        source: Source,
        pumping: Pumping,
    ) -> Result<Streamed, Stop> {
        let held = hold(&self.0.bodies)?;
        let epoch = self.0.recorder.epoch()?;
        let (to, pieces) = mpsc::channel(limits::MAX_HELD_PIECES);
        let exchanges = self.clone();
        let at = PlaceOfPiece { epoch, place: 0 };
        let pump = Pump { exchanges: self.clone(), op: exchange.op, hash, at, read: Read::default(), to };
        self.0.egress.runtime.spawn(async move {
            let _pumping = pumping;
            let (mut cut, guest) = (exchanges.0.cut.subscribe(), pump.to.clone());
            let pumped = tokio::select! {
                biased;
                _ = cut.wait_for(|cut| *cut) => return,
                () = guest.closed() => return,
                pumped = pump.run(source) => pumped,
            };
            if let Err(stop) = pumped {
                exchanges.0.stop(stop);
            }
        });
        Ok(Streamed::new(pieces, held))
    }
}

/// One more body that streams. The guest's own doings decide how many it has, but for those of answers that it has not looked
/// at, of which there is a bound below this one.
fn hold(bodies: &Arc<AtomicUsize>) -> Result<Held, Stop> {
    let held = Held::new(bodies);
    if bodies.load(Ordering::SeqCst) <= limits::MAX_OPEN_STREAMS {
        return Ok(held);
    }
    Err(Stop::Limit {
        bound: "MAX_OPEN_STREAMS",
        message: format!(
            "more than {} answers stream to the tool: read or drop some before more are asked for",
            limits::MAX_OPEN_STREAMS
        ),
    })
}

impl Pump {
    async fn run(mut self, source: Source) -> Result<(), Stop> {
        let asked = match source {
            Source::Open(flow) => return self.take(flow).await,
            Source::Disk(asked) => asked,
        };
        if self.show_recorded().await? {
            return Ok(());
        }
        self.exchanges.is_live().await;
        match self.ask_again(*asked).await? {
            Ok(flow) => self.take(flow).await,
            Err(failure) => self.write(vec![Piece::Broken(failure)]).await,
        }
    }

    /// Shows what is on disk. Whether that is all there will be.
    async fn show_recorded(&mut self) -> Result<bool, Stop> {
        loop {
            let pieces = self.exchanges.0.recorder.pieces(self.op, self.at).await?;
            if pieces.is_empty() {
                return Ok(false);
            }
            for piece in pieces {
                let piece = Piece::decode(&piece).ok_or_else(|| {
                    let (place, op) = (self.at.place, self.op.number);
                    Stop::HostFault(format!("piece {place} of the answer to operation {op} is unreadable"))
                })?;
                self.at.place += 1;
                if let Piece::Data(bytes) = &piece {
                    self.read.add(bytes);
                }
                let is_last = piece.is_last();
                self.show(piece).await;
                if is_last {
                    return Ok(true);
                }
            }
        }
    }

    /// Sends the request once more, with the key that it had. The inner error is the stream's end.
    async fn ask_again(&self, asked: Asked) -> Result<Result<Flow, Failure>, Stop> {
        let Asked { request, body, head } = asked;
        let (recorder, egress) = (&self.exchanges.0.recorder, &self.exchanges.0.egress);
        let Some(body) = body else { return Ok(Err(Failure::Incomplete)) };
        if !may_read_on(&egress.effects, &request.parts.method, &request.target) {
            return Ok(Err(Failure::Incomplete));
        }
        if let Err(failure) = egress.way_out.check(&request.target).await? {
            return Ok(Err(failure));
        }
        let (key, timeouts) = (recorder.op_key(self.op, self.hash), request.timeouts());
        let came = egress.way_out.exchange(request.outgoing(Sending::Whole(body), &key), timeouts).await?;
        Ok(match came {
            Came::Over(Err(failure)) => Err(failure),
            Came::Over(Ok(answer)) if head.is_of_same(answer.status, &answer.headers) => {
                Ok(Flow::Whole(Some(answer.body)))
            }
            Came::Streams(now, flow) if head.is_of_same(now.status, &now.headers) => Ok(flow),
            Came::Over(Ok(_)) | Came::Streams(..) => Err(Failure::Differs),
        })
    }

    /// To its end.
    async fn take(&mut self, mut flow: Flow) -> Result<(), Stop> {
        let mut again = self.read.again();
        loop {
            let next = flow.next().await?;
            let pieces =
                pieces_of(next, &mut again).unwrap_or_else(|Differs| vec![Piece::Broken(Failure::Differs)]);
            let is_last = pieces.last().is_some_and(Piece::is_last);
            self.write(pieces).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Puts them on disk, and then shows them.
    async fn write(&mut self, pieces: Vec<Piece>) -> Result<(), Stop> {
        if pieces.is_empty() {
            return Ok(());
        }
        let recorder = &self.exchanges.0.recorder;
        for piece in &pieces {
            let encoded = piece.encode().map_err(Stop::HostFault)?;
            if !recorder.put_piece(self.op, self.hash, self.at, &encoded)? {
                // The guest begins again from a checkpoint, and this instance is about to end.
                std::future::pending::<()>().await;
            }
            self.at.place += 1;
        }
        crate::crash_point!("piece_written");
        recorder.barrier().await?;
        crate::crash_point!("piece");
        for piece in pieces {
            self.show(piece).await;
        }
        Ok(())
    }

    async fn show(&self, piece: Piece) {
        let next = match piece {
            Piece::Data(bytes) => Next::Piece(bytes.into()),
            Piece::End => Next::End,
            Piece::Broken(failure) => Next::Broken(outcome::error(failure)),
        };
        // Where the guest has dropped the body, this is about to end.
        let _ = self.to.send(next).await;
    }
}

/// What came, beyond what was read before, cut to fit rows of the store.
fn pieces_of(next: Result<Option<Bytes>, Failure>, again: &mut Again) -> Result<Vec<Piece>, Differs> {
    match next {
        Err(failure) => Ok(vec![Piece::Broken(failure)]),
        Ok(None) => again.end().map(|()| vec![Piece::End]),
        Ok(Some(bytes)) => {
            let bytes = again.beyond(bytes)?;
            let pieces = bytes.chunks(limits::MAX_STREAMED_PIECE_BYTES);
            Ok(pieces.map(|piece| Piece::Data(piece.to_vec())).collect())
        }
    }
}
