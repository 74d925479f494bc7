//! A principal loses its token, and its open tasks with it.

use std::ops::ControlFlow;

use crate::authority::Principal;
use crate::engine::error::{EngineError, TokenError};
use crate::engine::handle::TaskEngine;
use crate::engine::rows;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::TaskId;

/// What their owner reads of tasks that go with a token.
const REASON: &str = "its owner's token was revoked";

impl TaskEngine {
    /// Revokes a token and cancels the open tasks of its principal; how many. Where that was cut short, the same again
    /// cancels the rest.
    pub async fn revoke_token_and_tasks(&self, by: &Principal, name: &str) -> Result<u64, EngineError> {
        let revoked = self.revoke_token(by, name).await;
        let open = match &revoked {
            // Without a token there may be tasks all the same.
            Ok(()) | Err(EngineError::Token(TokenError::Missing(_))) => self.open_tasks_of(name).await?,
            Err(_) => Vec::new(),
        };
        if open.is_empty() {
            return revoked.map(|()| 0);
        }
        let owner = by.clone().overseeing();
        let mut cancelled = 0;
        for id in open {
            crate::crash_point!("revoking");
            match self.cancel(&owner, id, Some(REASON.to_owned())).await {
                Ok(_) => cancelled += 1,
                // It went with its parent, or ended, and was taken away since.
                Err(EngineError::NoSuchTask(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(cancelled)
    }

    /// Roots before what they called, which mostly ends with them.
    async fn open_tasks_of(&self, name: &str) -> Result<Vec<TaskId>, EngineError> {
        if Principal::check_name(name).is_err() {
            return Ok(Vec::new());
        }
        let name = name.to_owned();
        let read = move |snapshot: &Snapshot<'_>| open_tasks_of(snapshot, &name);
        Ok(self.shared.store.read_long(read).await?)
    }
}

fn open_tasks_of(snapshot: &Snapshot<'_>, name: &str) -> Result<Vec<TaskId>, StoreError> {
    let mut open = Vec::new();
    snapshot.scan_prefix(Space::Open, &[], false, |key, _| {
        open.extend(rows::trailing_id(key));
        ControlFlow::Continue(())
    })?;
    let mut found = Vec::new();
    for id in open {
        let task = rows::read_task_row(snapshot, id)?;
        found.extend(
            task.filter(|(task, _)| task.principal == name).map(|(task, _)| (task.parent.is_some(), id)),
        );
    }
    found.sort_by_key(|(is_child, _)| *is_child);
    Ok(found.into_iter().map(|(_, id)| id).collect())
}
