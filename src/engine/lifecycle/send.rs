//! An owner sends a message to a task.

use super::find::Standing;
use crate::authority::Principal;
use crate::engine::audit::{Deed, Subject};
use crate::engine::error::EngineError;
use crate::engine::family::messages::Outgoing;
use crate::engine::family::messages::send;
use crate::engine::handle::TaskEngine;
use crate::task::TaskId;

impl TaskEngine {
    /// Sends a message to an open task of this principal. It is on disk when its number comes back.
    pub async fn send(
        &self,
        principal: &Principal,
        id: TaskId,
        message: Outgoing,
    ) -> Result<u64, EngineError> {
        let sent = self.send_message(principal, id, message).await;
        self.shared.audit.audited(principal, Subject::of_task(Deed::Send, id), sent)
    }

    async fn send_message(
        &self,
        principal: &Principal,
        id: TaskId,
        message: Outgoing,
    ) -> Result<u64, EngineError> {
        let over = |state| {
            let hint = "it takes no messages any more";
            EngineError::WrongState { task: id, state, hint }
        };
        let entry = match self.find(principal, id).await? {
            Standing::Open(entry) => entry,
            Standing::Ended(document) => return Err(over(document.state)),
        };
        let sent = send(&self.shared, &entry, principal.name().to_owned(), principal, message)?;
        let (seq, ack) = sent.ok_or_else(|| over(entry.lock().status.state.to_string()))?;
        match ack {
            Some(ack) => drop(ack.await?),
            None => {
                let subject = Subject::of_task(Deed::Send, id);
                self.shared.audit.repeated(principal, subject, "same_message");
            }
        }
        Ok(seq)
    }
}
