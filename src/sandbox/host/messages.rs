use wasmtime::Result;

use super::bindings::longhaul::tool::messages::{self, Error, Message};
use super::calls::refused;
use crate::engine::{Addressee, Op, messages as engine};
use crate::limits;
use crate::sandbox::stop::Stop;
use crate::sandbox::world::World;
use crate::sandbox::world::tickets::{Awaited, Ticket};
use crate::task::{WaitingReason, WakeOn};

impl messages::Host for World {
    fn receive(&mut self, names: Vec<String>) -> Result<Result<u64, Error>> {
        if names.len() > limits::MAX_RECEIVED_NAMES {
            let bound = limits::MAX_RECEIVED_NAMES;
            return Ok(Err(Error::Limit(format!(
                "a receive takes at most {bound} names, this one has {}",
                names.len()
            ))));
        }
        let parts: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        let begun = self.begin_awaited("messages.receive", &parts)?;
        let ticket = Ticket::Awaited(Awaited {
            op: begun.op,
            hash: begun.hash,
            on: WakeOn::Message(names),
            reason: WaitingReason::Message,
            deadline: None,
        });
        Ok(Ok(self.tickets.issue(ticket)?))
    }

    async fn take(&mut self, ticket: u64) -> Result<Result<Message, Error>> {
        const WHAT: &str = "messages.take";
        let awaited = match self.arrived(ticket, WHAT, |on| matches!(on, WakeOn::Message(_))).await? {
            Ok(awaited) => awaited,
            Err(error) => return Ok(Err(error)),
        };
        let recorder = self.journal.task(WHAT)?.clone();
        let WakeOn::Message(names) = &awaited.on else { return Ok(Err(Error::Invalid(WHAT.to_owned()))) };
        let taken = match recorder.op(awaited.op)? {
            Some(Op::Done { outcome, .. }) => Some(engine::decode(&outcome)?),
            _ => recorder.take_message(awaited.op, awaited.hash, names).await?,
        };
        let engine::Message { seq, name, payload, sender } =
            taken.ok_or_else(|| Stop::HostFault("a message that was there is gone".to_owned()))?;
        Ok(Ok(Message { seq, name, payload, sender }))
    }

    async fn send(&mut self, to: String, name: String, payload: String) -> Result<Result<u64, Error>> {
        let to = match to.as_str() {
            "parent" => Addressee::Parent,
            id => match id.parse() {
                Ok(id) => Addressee::Child(id),
                Err(_) => {
                    let text = format!("a message goes to `parent` or to the id of a child, not to '{id}'");
                    return Ok(Err(Error::Invalid(text)));
                }
            },
        };
        let recorder = self.journal.task("messages.send")?.clone();
        Ok(recorder.send_message(to, &name, &payload).await?.map_err(|refusal| refused(self, refusal)))
    }
}
