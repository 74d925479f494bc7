//! An owner sends a message to a task.

use super::find::Standing;
use crate::authority::Principal;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::error::EngineError;
use crate::engine::family::messages::{Outgoing, send, sent_before};
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
        self.shared.audit.record_error(principal, Subject::of_task(AuditAction::Send, id), sent)
    }

    async fn send_message(
        &self,
        principal: &Principal,
        id: TaskId,
        message: Outgoing,
    ) -> Result<u64, EngineError> {
        let (shared, sender) = (&self.shared, principal.name());
        let sent = match self.find(principal, id).await? {
            Standing::Open(entry) => send(shared, &entry, sender, principal, &message).await?,
            // What was sent before was sent.
            Standing::Ended(_) => sent_before(shared, id, sender, &message).await?,
        };
        let Some(sent) = sent else {
            let state = self.task(principal, id).await?.state.name().to_owned();
            let hint = "it takes no messages any more";
            return Err(EngineError::WrongState { task: id, state, hint });
        };
        if !sent.is_new {
            shared.audit.record_repeated(principal, Subject::of_task(AuditAction::Send, id), "same_message");
        }
        Ok(sent.seq)
    }
}
