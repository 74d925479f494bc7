//! What an exchange came to: put on disk, read from there, and shown to the guest.

use std::sync::Arc;

use bytes::Bytes;

use super::source::{Asked, Source};
use super::{Answered, Exchange, Exchanges, Given, Phase};
use crate::sandbox::stop::Stop;
use crate::sandbox::world::http::outcome::{self, Head, Outcome};
use crate::sandbox::world::http::request::Request;
use crate::sandbox::world::http::sent::Sent;
use crate::sandbox::world::http::way_out::{Came, Flow};

impl Exchanges {
    /// What is on disk of it. The request is asked once more for what is not.
    pub(super) fn recorded(
        &self,
        exchange: &Exchange,
        hash: u64,
        outcome: Outcome,
        (request, body): (Request, Option<Bytes>),
    ) -> Result<Answered, Stop> {
        let pumping = self.pumping();
        exchange.step(Phase::Over, || Ok(()))?;
        Ok(match outcome {
            Outcome::Whole(answer) => Ok(Given::Whole(answer)),
            Outcome::Failed(failure) => Err(outcome::error(failure)),
            Outcome::Begun(head) => {
                let asked = Asked { request, body, head: head.clone() };
                let body = self.stream(exchange, hash, Source::Disk(Box::new(asked)), pumping)?;
                Ok(Given::Streams(head, body))
            }
        })
    }

    /// With what was sent of a body that streamed.
    pub(super) async fn came(
        &self,
        exchange: &Arc<Exchange>,
        hash: u64,
        sent: Option<Sent>,
        came: Came,
    ) -> Result<Option<Answered>, Stop> {
        match came {
            Came::Over(Ok(answer)) => self.over(exchange, hash, sent, Outcome::Whole(answer)).await,
            Came::Over(Err(failure)) => self.over(exchange, hash, sent, Outcome::Failed(failure)).await,
            Came::Streams(head, flow) => self.begun(exchange, hash, sent, (head, flow)).await,
        }
    }

    /// Puts the outcome on disk, and then shows it to the guest. `None`: the guest let it go.
    pub(super) async fn over(
        &self,
        exchange: &Exchange,
        hash: u64,
        sent: Option<Sent>,
        outcome: Outcome,
    ) -> Result<Option<Answered>, Stop> {
        if !self.settle(exchange, hash, sent, &outcome).await? {
            return Ok(None);
        }
        Ok(match outcome {
            Outcome::Whole(answer) => Some(Ok(Given::Whole(answer))),
            Outcome::Failed(failure) => Some(Err(outcome::error(failure))),
            Outcome::Begun(_) => None,
        })
    }

    /// The same for an answer whose body is on its way.
    async fn begun(
        &self,
        exchange: &Arc<Exchange>,
        hash: u64,
        sent: Option<Sent>,
        (head, flow): (Head, Flow),
    ) -> Result<Option<Answered>, Stop> {
        // From before it counts as answered: were the instance to leave in between, the body would be lost.
        let pumping = self.pumping();
        if !self.settle(exchange, hash, sent, &Outcome::Begun(head.clone())).await? {
            return Ok(None);
        }
        let body = self.stream(exchange, hash, Source::Open(flow), pumping)?;
        Ok(Some(Ok(Given::Streams(head, body))))
    }

    async fn settle(
        &self,
        exchange: &Exchange,
        hash: u64,
        sent: Option<Sent>,
        outcome: &Outcome,
    ) -> Result<bool, Stop> {
        let recorder = &self.0.recorder;
        let stored = match sent {
            None => outcome::encode(outcome),
            Some(sent) => outcome::encode_streamed(&sent, outcome),
        };
        let stored = stored.map_err(Stop::HostFault)?;
        if !exchange.step(Phase::Over, || recorder.op_done(exchange.op, hash, stored))? {
            return Ok(false);
        }
        crate::crash_point!("op_done");
        recorder.barrier().await?;
        Ok(true)
    }
}
