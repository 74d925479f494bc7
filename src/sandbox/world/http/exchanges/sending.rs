//! A request whose body streams out. Its guest writes the same at each replay, so that none of it is on disk: the intent stands for
//! the request without its body, and the outcome has the length and the BLAKE3 of what was sent of it by then.
//!
//! Where it may leave once more after a kill it leaves during replay, for then its guest writes it again: what is on disk says
//! that its guest still wanted it at the end of the journal. What comes of it is recorded behind that end, as ever.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::{
    Answered, Comparing, Exchange, Exchanges, Phase, Shared, diverged, diverged_in_hash, unreadable,
};
use crate::engine::Op;
use crate::sandbox::egress::{Sending, Upload};
use crate::sandbox::stop::Stop;
use crate::sandbox::world::http::body::Body;
use crate::sandbox::world::http::outcome::{self, Outcome};
use crate::sandbox::world::http::request::Request;
use crate::sandbox::world::http::sent::Tally;

/// A guest in replay waits for what its server takes.
struct Resending(Arc<Shared>);

impl Resending {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.resending.fetch_add(1, Ordering::SeqCst);
        Self(shared.clone())
    }
}

impl Drop for Resending {
    fn drop(&mut self) {
        self.0.resending.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Exchanges {
    /// `None`: the guest let it go.
    pub(super) async fn perform_streamed(
        &self,
        exchange: &Arc<Exchange>,
        (known, comparing): (Option<Op>, &mut Option<Comparing>),
        request: Request,
        mut body: Body,
    ) -> Result<Option<Answered>, Stop> {
        let (recorder, op, hash) = (&self.0.recorder, exchange.op, request.hash_of_streamed());
        if let Some(known) = known.as_ref().filter(|known| known.hash() != hash) {
            // It left whole, and this is longer.
            return Err(diverged_in_hash(exchange, "the request", known.hash(), hash));
        }
        if let Some(Op::Done { outcome, .. }) = known {
            let (sent, outcome) = outcome::decode_streamed(&outcome).ok_or_else(|| unreadable(exchange))?;
            if let Some(sent) = sent
                && !body.begins_as(&sent).await
            {
                return Err(diverged(exchange, &sent.to_string(), "its body is another"));
            }
            recorder.op_met(op);
            drop(comparing.take());
            return self.recorded(exchange, hash, outcome, (request, None)).map(Some);
        }
        recorder.op_met(op);
        drop(comparing.take());
        let sends = match known {
            Some(Op::Intent { sends, .. } | Op::Resend { sends, .. }) => Some(sends),
            Some(_) => {
                drop(body);
                // The guest lets it go before it waits for anything that is not in its journal.
                self.is_live().await;
                return Err(diverged_in_hash(exchange, "to let go of", hash, hash));
            }
            None => None,
        };
        if sends.is_some() && (exchange.unknown || recorder.replays_alone()) {
            // It does not leave. One whose outcome is unknown ends the task where its journal ends.
            drop(body);
            return std::future::pending().await;
        }
        self.send(exchange, sends, request, body).await
    }

    async fn send(
        &self,
        exchange: &Arc<Exchange>,
        sends: Option<u32>,
        request: Request,
        body: Body,
    ) -> Result<Option<Answered>, Stop> {
        let (recorder, op, hash) = (&self.0.recorder, exchange.op, request.hash_of_streamed());
        let resending = sends.map(|_| Resending::new(&self.0));
        if resending.is_none() {
            self.is_live().await;
        }
        let way_out = &self.0.egress.way_out;
        if let Err(failure) = way_out.check(&request.target).await? {
            drop(body);
            self.is_live().await;
            return self.over(exchange, hash, None, Outcome::Failed(failure)).await;
        }
        let (key, timeouts) = (recorder.op_key(op, hash), request.timeouts());
        let tally = Arc::<Mutex<Tally>>::default();
        let upload = Upload::new(body.pieces(tally.clone()));
        let outgoing = request.outgoing(Sending::Streams(upload), &key);
        // Also of a request that is safe: without it nothing would say at a replay that it streams.
        let intent = || recorder.op_intent(op, hash, sends.unwrap_or(0).saturating_add(1));
        if !exchange.step(Phase::UnderWay { intent: Some(hash) }, intent)? {
            return Ok(None);
        }
        recorder.barrier().await?;
        crate::crash_point!("op_intent");
        let came = way_out.exchange(outgoing, timeouts).await?;
        self.is_live().await;
        drop(resending);
        let sent = tally.lock().sent();
        self.came(exchange, hash, Some(sent), came).await
    }
}
