//! What a child came to, for its parent.

use super::types::ChildEnd;
use crate::engine::journal::last_lines::with_quote;
use crate::engine::rows;
use crate::engine::rows::tree;
use crate::store::{Snapshot, StoreError};
use crate::task::{FailedReason, State, TaskId};

/// What an operation's child came to; `None` as long as it is open.
pub fn end_of(
    snapshot: &Snapshot<'_>,
    parent: TaskId,
    epoch: u32,
    op: u64,
) -> Result<Option<ChildEnd>, StoreError> {
    let gone = || ChildEnd::Failed("the child is not there any more".to_owned());
    let Some(id) = tree::current(snapshot, parent, epoch, op)? else { return Ok(Some(gone())) };
    let (Some(task), Some(status)) = (rows::read_task_row(snapshot, id)?, rows::read_status(snapshot, id)?)
    else {
        return Ok(Some(gone()));
    };
    let name = task.0.tool;
    Ok(Some(match (status.state, status.error) {
        (State::Completed, _) => ChildEnd::Completed(rows::read_result(snapshot, id)?),
        (State::Cancelled, _) => ChildEnd::Cancelled(match status.cancel.and_then(|cancel| cancel.reason) {
            Some(reason) => format!("{name} (task {id}) was cancelled: {reason}"),
            None => format!("{name} (task {id}) was cancelled"),
        }),
        (State::Failed(_), Some(error)) => match (error.reason, error.protocol) {
            (FailedReason::ProtocolError, Some(protocol)) => ChildEnd::Protocol(protocol),
            (FailedReason::Timeout, _) => {
                ChildEnd::TimedOut(format!("{name} (task {id}) took too long: {}", error.message))
            }
            (reason, _) => ChildEnd::Failed(format!(
                "{name} (task {id}) failed ({}): {}",
                reason.as_str(),
                with_quote(&error.message, error.detail.as_deref())
            )),
        },
        (State::Failed(reason), None) => {
            ChildEnd::Failed(format!("{name} (task {id}) failed ({})", reason.as_str()))
        }
        _ => return Ok(None),
    }))
}
