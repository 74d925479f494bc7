//! A new task becomes part of a commit.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::value::Change;
use crate::authority::Principal;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::charge::{self, Charge};
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::link::Link;
use crate::engine::memory::entry::{Anchor, arguments_in_memory};
use crate::engine::memory::open_task::OpenTask;
use crate::engine::rows;
use crate::engine::rows::open::Listed;
use crate::engine::shared::Shared;
use crate::limits;
use crate::store::Space;
use crate::task::{Task, canonical};

/// Adds a new task to a commit, with its row of the audit; `change` is how it begins, `arguments` the BLAKE3 of its
/// arguments in canonical form, `open` its place among the open ones. It is open from the commit on, whether or not its caller still waits.
pub fn admit(
    shared: &Shared,
    commit: &mut Commit,
    task: Task,
    mut change: Change,
    by: &Principal,
    arguments: [u8; 32],
    open: OpenTask,
) -> Result<(), EngineError> {
    let id = task.id;
    rows::put_task(commit, &task)?;
    change.add_to(id, listed(&task), commit)?;
    commit.add_put(Space::ByPrincipal, rows::by_principal_key(&task.principal, id), []);
    let subject = Subject::of_task(AuditAction::Call, id).tool(&task.tool, &task.component).hash(arguments);
    shared.audit.record_admitted(commit, by, subject)?;
    let charge = Charge::new(task.arguments.len());
    commit.add_count(charge::bytes_of(open.principal()), charge::change(charge.total()));
    let entry = shared.open_entry(&task, change.status, open);
    let past_bytes = arguments_in_memory(task.arguments.len() as u64);
    entry.past_bytes.store(past_bytes, Ordering::Relaxed);
    // Those that wait may be many: long arguments are on disk, and read again when it begins.
    let is_kept = task.arguments.len() <= limits::MAX_KEPT_ARGUMENTS_BYTES;
    {
        let mut state = entry.lock();
        state.anchor = Some(Anchor { elapsed: shared.clock.elapsed(), logical: 0 });
        state.task = is_kept.then(|| Arc::new(task));
        state.fresh = true;
        state.charge = Some(charge);
    }
    commit.stage(entry);
    Ok(())
}

/// What the list of open tasks says of this one besides where it stands.
pub fn listed(task: &Task) -> Listed<'_> {
    Listed {
        principal: &task.principal,
        created_at: task.created_at,
        link: Link::of(task),
        total_seconds: task.limits.total_seconds,
        past_bytes: arguments_in_memory(task.arguments.len() as u64),
    }
}

/// A text of JSON in the form in which all that say the same are one.
pub fn canonical_text(json: &str) -> Cow<'_, str> {
    serde_json::from_str(json).map_or(Cow::Borrowed(json), |value| Cow::Owned(canonical(&value)))
}

/// BLAKE3 of the arguments in that form.
pub fn hash_of_text(json: &str) -> [u8; 32] {
    *blake3::hash(canonical_text(json).as_bytes()).as_bytes()
}
