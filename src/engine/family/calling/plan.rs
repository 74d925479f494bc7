//! Which children a start makes: the tool of each call, and every bound.

use std::sync::Arc;

use serde_json::Value;

use super::types::{CallRefusal, ChildCall};
use crate::authority::{Capability, Lost, Powers, glob_matches};
use crate::catalog::{Catalog, ToolEntry};
use crate::engine::error::EngineError;
use crate::engine::family::children::{self, Tree};
use crate::engine::memory::open_task::OpenTask;
use crate::engine::memory::task_trees::Reserved;
use crate::engine::record::ops::OpHandle;
use crate::engine::record::recorder::Recorder;
use crate::engine::shared::Shared;
use crate::limits;
use crate::shares::Pool;
use crate::store::StoreError;
use crate::task::{Called, Task};

/// Why there is no plan.
pub enum Unplanned {
    Refused(CallRefusal),
    /// The parent was given the power for it, and has lost it since.
    Lost(Lost),
    Fault(EngineError),
}

impl From<EngineError> for Unplanned {
    fn from(error: EngineError) -> Self {
        Self::Fault(error)
    }
}

impl From<StoreError> for Unplanned {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

impl Recorder {
    /// The children of these calls, within every bound.
    pub(super) fn plan(
        &self,
        parent: &Task,
        family: &Tree,
        epoch: u32,
        ops: &[OpHandle],
        calls: &[ChildCall],
    ) -> Result<(Vec<Task>, Reserved<'_>), Unplanned> {
        let shared = self.shared();
        let catalog = shared.catalog();
        let depth = parent.called.as_ref().map_or(0, |called| called.depth) + 1;
        check_sizes(calls)?;
        let powers = self.powers_of(parent);
        let mut chosen = Vec::with_capacity(calls.len());
        for call in calls {
            chosen.push(choose(shared, &catalog, parent, &powers, call)?);
        }
        let tree = shared.tree;
        let limit = |text: String| Err(Unplanned::Refused(CallRefusal::Limit(text)));
        if depth > tree.depth {
            return limit(format!("calls nest {} deep, which is the bound (MAX_CALL_DEPTH)", tree.depth));
        }
        let open = self.entry().children().len();
        if open + calls.len() > tree.open_children {
            let bound = tree.open_children;
            return limit(format!(
                "{open} children of this task are open and {} more are asked for: the bound is {bound} \
                 (MAX_OPEN_CHILDREN); wait until some have ended",
                calls.len()
            ));
        }
        let count = calls.len() as u64;
        let bytes = count.saturating_mul(limits::TASK_CHARGE_BYTES);
        let has_room = OpenTask::check(&shared.shares, &parent.principal, count);
        let has_room =
            has_room.and_then(|()| shared.shares.admit(Pool::StoredBytes, &parent.principal, bytes));
        if let Err(refused) = has_room {
            return limit(refused.to_string());
        }
        let reserved = family.reserve(shared, count);
        let Some(reserved) = reserved else {
            let bound = tree.tasks;
            return limit(format!(
                "the tasks under the root {} are {bound} in all, which is the bound (MAX_TREE_TASKS)",
                parent.root
            ));
        };
        let like = Task { parent: Some(parent.id), arguments: String::new(), ..parent.clone() };
        let of_call = |(Chosen { tool, arguments, alternatives }, (op, call)): (Chosen, _)| {
            let (op, call): (&OpHandle, &ChildCall) = (op, call);
            let called = Called {
                epoch,
                op: op.number,
                depth,
                detached: call.detached,
                timeout_seconds: call.timeout_seconds,
                retries: call.retries,
                failures: 0,
                alternatives,
            };
            let task = children::child(shared, &like, &tool, called)?;
            Ok(Task { arguments, ..task })
        };
        let planned: Result<Vec<Task>, Unplanned> =
            chosen.into_iter().zip(ops.iter().zip(calls)).map(of_call).collect();
        // A list shows them in the order in which they were asked for.
        let mut tasks = planned?;
        let mut named: Vec<_> = tasks.iter().map(|task| (task.id, task.created_at)).collect();
        named.sort_unstable();
        tasks.iter_mut().zip(named).for_each(|(task, named)| (task.id, task.created_at) = named);
        Ok((tasks, reserved))
    }
}

fn check_sizes(calls: &[ChildCall]) -> Result<(), Unplanned> {
    let refused = |text: String| Err(Unplanned::Refused(CallRefusal::Limit(text)));
    let bytes: usize = calls.iter().map(|call| call.arguments.len()).sum();
    if bytes > limits::MAX_ARGUMENTS_BYTES {
        let bound = limits::MAX_ARGUMENTS_BYTES;
        return refused(format!("the arguments are {bytes} bytes of JSON; one start takes at most {bound}"));
    }
    let bound = limits::MAX_ALTERNATIVES;
    if calls.iter().any(|call| call.alternatives.len() > bound) {
        return refused(format!("a call takes at most {bound} alternatives"));
    }
    let bound = limits::MAX_CHILD_RETRIES;
    if calls.iter().any(|call| call.retries > bound) {
        return refused(format!("a call takes at most {bound} retries"));
    }
    Ok(())
}

pub fn may_call(task: &Task, name: &str) -> bool {
    task.grant.allows(Capability::CallTool { name }) && task.scope.iter().any(|glob| glob_matches(glob, name))
}

/// The first tool of a call that can be reached, and what is left to try after it.
struct Chosen {
    tool: Arc<ToolEntry>,
    /// As this tool takes them.
    arguments: String,
    alternatives: Vec<String>,
}

fn choose(
    shared: &Shared,
    catalog: &Catalog,
    parent: &Task,
    powers: &Powers,
    call: &ChildCall,
) -> Result<Chosen, Unplanned> {
    let refused = |refusal| Err(Unplanned::Refused(refusal));
    let arguments: Value = match serde_json::from_str(&call.arguments) {
        Ok(arguments) => arguments,
        Err(error) => return refused(CallRefusal::Invalid(format!("the arguments are no JSON: {error}"))),
    };
    let names = || std::iter::once(&call.tool).chain(&call.alternatives);
    if let Some(name) = names().find(|name| !parent.grant.allows(Capability::CallTool { name })) {
        return refused(CallRefusal::NotGranted(name.clone()));
    }
    for (number, name) in names().enumerate() {
        if powers.check(Capability::CallTool { name }).is_err() {
            continue;
        }
        let reached = children::reachable(catalog, &parent.scope, name, &arguments);
        if let Some((tool, rewritten)) = reached.filter(|(tool, _)| !shared.is_blocked(tool)) {
            let arguments = rewritten.unwrap_or_else(|| call.arguments.clone());
            return Ok(Chosen { tool, arguments, alternatives: call.alternatives[number..].to_vec() });
        }
    }
    let mut given = names().filter(|name| may_call(parent, name));
    if let Some(lost) = given.find_map(|name| powers.check(Capability::CallTool { name }).err()) {
        return Err(Unplanned::Lost(lost));
    }
    let tool = catalog.callable(&call.tool).filter(|_| may_call(parent, &call.tool));
    refused(match tool.map(|tool| tool.accept(&arguments).map(drop)) {
        Some(Err(error)) => CallRefusal::Invalid(format!("{}: {error}", call.tool)),
        Some(Ok(())) => CallRefusal::Lost(EngineError::Blocked { tool: call.tool.clone() }.to_string()),
        None if let Some(waiting) =
            catalog.unapproved_with(&call.tool).filter(|_| may_call(parent, &call.tool)) =>
        {
            CallRefusal::Lost(EngineError::unapproved(&call.tool, waiting).to_string())
        }
        _ => {
            CallRefusal::NotFound(format!("there is no tool '{}' that this task's owner may call", call.tool))
        }
    })
}
