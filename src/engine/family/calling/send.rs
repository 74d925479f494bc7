//! Messages of a task to its parent and to its children.

use serde_json::Value;

use super::record::{Answer, KIND_SEND, decode, fault};
use super::types::{Addressee, CallRefusal};
use crate::engine::error::EngineError;
use crate::engine::family::children;
use crate::engine::family::messages::{self, Outgoing};
use crate::engine::journal::records::Next;
use crate::engine::record::error::RecorderError;
use crate::engine::record::output::call_hash;
use crate::engine::record::recorder::Recorder;
use crate::engine::rows;
use crate::engine::rows::tree;
use crate::engine::trace::StepKind;

impl Recorder {
    /// Sends a message to the task's parent or to a child of it: once, whatever crashes. Its number there.
    pub async fn send_message(&self, to: Addressee, name: &str, payload: &str) -> Answer<u64> {
        const WHAT: &str = "messages.send";
        let whom = match &to {
            Addressee::Parent => "parent".to_owned(),
            Addressee::Child(id) => id.to_string(),
        };
        let hash = call_hash(WHAT, &[whom.as_bytes(), name.as_bytes(), payload.as_bytes()]);
        if let Next::Replayed(payload) =
            self.next_step(Some((StepKind::Send, name)), (KIND_SEND, hash), WHAT)?
        {
            return decode(&payload);
        }
        // All that led here is on disk: after a crash the guest comes here again, and sends under the same key.
        self.barrier().await?;
        let answer = match self.check_standing() {
            Ok(()) => self.deliver(to, name, payload, hash).await?,
            Err(lost) => Err(CallRefusal::Lost(lost.to_string())),
        };
        self.record(KIND_SEND, hash, &rows::encode(&answer).map_err(fault)?)?;
        self.barrier().await?;
        Ok(answer)
    }

    async fn deliver(&self, to: Addressee, name: &str, payload: &str, hash: u64) -> Answer<u64> {
        let (id, shared) = (self.task_id(), self.shared());
        let not_found = |text: &str| Ok(Err(CallRefusal::NotFound(text.to_owned())));
        let Ok(value) = serde_json::from_str::<Value>(payload) else {
            return Ok(Err(CallRefusal::Invalid("the payload is no JSON document".to_owned())));
        };
        let to = match to {
            Addressee::Parent => match self.task()?.parent {
                Some(parent) => parent,
                None => return not_found("this task has no parent"),
            },
            Addressee::Child(child) => {
                let is_child = shared.store.read(move |snapshot| tree::is_child(snapshot, id, child)).await;
                if !is_child.map_err(fault)? {
                    return not_found("there is no child of that id");
                }
                child
            }
        };
        let at = self.with(|_, live| Ok(live.journal.next_number()))?;
        let mut key = blake3::Hasher::new_keyed(&self.seed());
        key.update(b"message").update(&at.to_le_bytes()).update(&hash.to_le_bytes());
        let key = Some(key.finalize().to_hex().as_str()[..32].to_owned());
        let message = Outgoing { name: name.to_owned(), payload: value, key };
        let sender = id.uri();
        let sent = match shared.entry(to) {
            Some(entry) => {
                let by = children::on_behalf(&entry.principal);
                messages::send(shared, &entry, &sender, &by, &message).await
            }
            None => Ok(None),
        };
        match sent {
            Ok(Some(sent)) => Ok(Ok(sent.seq)),
            // It may have got it before a crash, and ended since.
            Ok(None) => match messages::sent_before(shared, to, &sender, &message).await.map_err(fault)? {
                Some(sent) => Ok(Ok(sent.seq)),
                None => not_found("that task has ended"),
            },
            Err(EngineError::BadMessage(why)) => Ok(Err(CallRefusal::Limit(why))),
            Err(EngineError::Share(refused)) => Ok(Err(CallRefusal::Limit(refused.to_string()))),
            Err(error) => Err(RecorderError::Fault(error.to_string())),
        }
    }
}
