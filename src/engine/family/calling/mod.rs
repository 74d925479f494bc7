//! What a guest does with other tasks: it starts children, takes what they came to, gives them up, and sends messages
//! to them and to its parent. What it asks of the catalog and what it is refused are records of its journal; a child
//! begins in the same commit as the record that tells of it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::children::{self, Tree};
use super::messages;
use super::messages::Outgoing;
use crate::authority::{Capability, glob_matches};
use crate::catalog::{Catalog, ToolDefinition, ToolEntry};
use crate::engine::change::draft::Parts;
use crate::engine::commit::Commit;
use crate::engine::effect::Effect;
use crate::engine::error::EngineError;
use crate::engine::journal::last_lines::with_quote;
use crate::engine::journal::ops::Op;
use crate::engine::journal::records::Next;
use crate::engine::link::{Children, Link};
use crate::engine::memory::entry::Live;
use crate::engine::memory::task_trees::Reserved;
use crate::engine::record::error::RecorderError;
use crate::engine::record::ops::{OpChange, OpHandle};
use crate::engine::record::output::call_hash;
use crate::engine::record::recorder::Recorder;
use crate::engine::rows;
use crate::engine::rows::tree;
use crate::engine::trace::StepKind;
use crate::limits;
use crate::store::{Ack, Snapshot, Space, StoreError};
use crate::task::{Called, FailedReason, ProtocolError, State, Task, TaskId, ToolResult};

pub const KIND_CALLS: u8 = 210;
pub const KIND_GRANTED: u8 = 211;
pub const KIND_SEND: u8 = 212;

/// A call to another tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildCall {
    pub tool: String,
    /// A JSON object as text.
    pub arguments: String,
    /// Tried in turn where the tool before fails, times out or cannot be reached.
    pub alternatives: Vec<String>,
    /// How often each tool is tried again.
    pub retries: u32,
    /// Bounds each try.
    pub timeout_seconds: Option<u64>,
    pub detached: bool,
}

impl ChildCall {
    /// A call without alternatives, retries or a deadline of its own.
    pub fn new(tool: impl Into<String>, arguments: &Value) -> Self {
        Self {
            tool: tool.into(),
            arguments: arguments.to_string(),
            alternatives: Vec::new(),
            retries: 0,
            timeout_seconds: None,
            detached: false,
        }
    }
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildEnd {
    Completed(ToolResult),
    Protocol(ProtocolError),
    Failed(String),
    TimedOut(String),
    Cancelled(String),
}

/// Why a guest's call is not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallRefusal {
    /// The component holds no grant for this tool.
    NotGranted(String),
    Invalid(String),
    Limit(String),
    NotFound(String),
}

/// Where a guest's message goes.
pub enum Addressee {
    Parent,
    Child(TaskId),
}

type Answer<T> = Result<Result<T, CallRefusal>, RecorderError>;

impl Recorder {
    /// The tools that this task may call now: its component's grant, and what its principal may call.
    pub fn granted_tools(&self) -> Result<Vec<ToolDefinition>, RecorderError> {
        let hash = call_hash("calls.granted", &[]);
        let unreadable = |error: serde_json::Error| RecorderError::Fault(error.to_string());
        if let Next::Replayed(payload) = self.next_step(None, (KIND_GRANTED, hash), "calls.granted")? {
            return serde_json::from_slice(&payload).map_err(unreadable);
        }
        let (task, catalog) = (self.task()?, self.shared().catalog());
        let tools = catalog.callables().map(|entry| &entry.tool.definition);
        let granted: Vec<_> = tools.filter(|tool| may_call(&task, &tool.name)).cloned().collect();
        self.record(KIND_GRANTED, hash, &serde_json::to_vec(&granted).map_err(unreadable)?)?;
        Ok(granted)
    }

    /// Starts all of them or none, in one commit with the record of it; `ops` are theirs, one each. On disk when it
    /// returns.
    pub async fn start_children(&self, ops: &[OpHandle], calls: &[ChildCall]) -> Answer<Vec<TaskId>> {
        const WHAT: &str = "calls.start";
        let hash = call_hash(WHAT, &[&rows::encode(&calls).map_err(fault)?]);
        if let Next::Replayed(payload) = self.next_step(None, (KIND_CALLS, hash), WHAT)? {
            return decode(&payload);
        }
        let parent = self.task()?;
        let epoch = self.epoch()?;
        let tree = Tree::of(self.shared(), parent.clone()).await.map_err(fault)?;
        let (planned, reserved) = match self.plan(&parent, &tree, epoch, ops, calls) {
            Ok(planned) => planned,
            Err(Unplanned::Refused(refusal)) => return self.refused(hash, refusal),
            Err(Unplanned::Fault(error)) => return Err(RecorderError::Fault(error.to_string())),
        };
        let ids: Vec<TaskId> = planned.iter().map(|task| task.id).collect();
        let payload = rows::encode(&Ok::<_, CallRefusal>(&ids)).map_err(fault)?;
        // The record, the operations and the children: what is written under one lock is one commit.
        let numbers: Vec<u64> = ops.iter().map(|op| op.number).collect();
        let begin = |live: &mut Live| {
            self.append(live, KIND_CALLS, hash, &payload)?;
            for (op, call) in ops.iter().zip(calls) {
                live.trace_begun(*op, StepKind::Call, &call.tool);
                live.put_op((self.task_id(), epoch), *op, op_hash(call), OpChange::Intent { sends: 0 })?;
            }
            Ok(())
        };
        let ack = loop {
            let committed = self.commit_with(&numbers, begin, |open, commit| {
                for task in &planned {
                    open.extend(Link::of(task).map(|link| (task.id, link)));
                    children::add(self.shared(), commit, task.clone(), Duration::ZERO)?;
                }
                Ok(())
            })?;
            match committed {
                Ok(ack) => break ack,
                Err(StoreError::Busy { .. }) => self.shared().pause().await,
                Err(error) => return Err(fault(error)),
            }
        };
        reserved.keep();
        let answer = ack.await;
        if answer.is_err() {
            self.shared().memory.trees.give_back(parent.root, planned.len() as u64);
        }
        self.settled(answer).await?;
        crate::crash_point!("called");
        Ok(Ok(ids))
    }

    /// What an operation's child came to, kept as its outcome; `None` where that is still open. On disk when it
    /// returns.
    pub async fn take_child(&self, op: OpHandle, call: u64) -> Result<Option<ChildEnd>, RecorderError> {
        if let Some(Op::Done { outcome, .. }) = self.op(op)? {
            let end = rows::decode(Space::Op, b"child", &outcome);
            return end.map(Some).map_err(fault);
        }
        let (parent, epoch) = (self.task_id(), self.epoch()?);
        let end = self.shared().store.read(move |snapshot| end_of(snapshot, parent, epoch, op.number)).await;
        let Some(end) = end.map_err(fault)? else { return Ok(None) };
        self.op_done(op, call, rows::encode(&end).map_err(fault)?)?;
        self.barrier().await?;
        Ok(Some(end))
    }

    /// The guest does not want an operation's child any more: it is cancelled unless it is detached.
    pub fn give_up_child(&self, op: OpHandle, call: u64) -> Result<(), RecorderError> {
        let epoch = self.epoch()?;
        let abandon = |live: &mut Live| live.put_op((self.task_id(), epoch), op, call, OpChange::Abandoned);
        let committed = self.commit_with(&[op.number], abandon, |open, commit| {
            let is_it = |link: &Link| (link.epoch, link.op) == (epoch, op.number) && !link.detached;
            let Some(child) = open.iter().find(|(_, link)| is_it(link)).map(|(child, _)| *child) else {
                return Ok(());
            };
            open.remove(&child);
            commit.add_put(Space::Child, tree::pointer_key(self.task_id(), epoch, op.number), []);
            commit.add_effect(Effect::Orphaned(vec![child]));
            Ok(())
        });
        committed?.map(drop).map_err(fault)
    }

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
        let answer = self.deliver(to, name, payload, hash).await?;
        self.record(KIND_SEND, hash, &rows::encode(&answer).map_err(fault)?)?;
        self.barrier().await?;
        Ok(answer)
    }

    /// The epoch of the live instance.
    pub fn epoch(&self) -> Result<u32, RecorderError> {
        self.with(|state, _| Ok(state.epoch()))
    }

    fn task(&self) -> Result<Arc<Task>, RecorderError> {
        let task = self.entry().lock().task.clone();
        task.ok_or_else(|| RecorderError::Fault("the attempt has ended: its task is gone".to_owned()))
    }

    fn refused<T>(&self, hash: u64, refusal: CallRefusal) -> Answer<T> {
        let payload = rows::encode(&Err::<Vec<TaskId>, _>(&refusal)).map_err(fault)?;
        self.record(KIND_CALLS, hash, &payload)?;
        Ok(Err(refusal))
    }

    /// The children of these calls, within every bound.
    fn plan(
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
        let mut chosen = Vec::with_capacity(calls.len());
        for call in calls {
            chosen.push(choose(&catalog, parent, call)?);
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
        if shared.open_tasks().len() + calls.len() > limits::MAX_OPEN_TASKS {
            return limit("too many tasks are open on this server (MAX_OPEN_TASKS)".to_owned());
        }
        let count = calls.len() as u64;
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
            Err(error) => Err(RecorderError::Fault(error.to_string())),
        }
    }

    /// Commits what is pending with what `begin` records and `more` adds, under the locks of the task and of its
    /// children. An error, also the inner one, which is the store's, leaves all of it as it was.
    fn commit_with(
        &self,
        ops: &[u64],
        begin: impl FnOnce(&mut Live) -> Result<(), RecorderError>,
        more: impl FnOnce(&mut Children, &mut Commit) -> Result<(), EngineError>,
    ) -> Result<Result<Ack, StoreError>, RecorderError> {
        let mut state = self.lock_live()?;
        let mut open = self.entry().children();
        let (mut children, mut commit) = (open.clone(), Commit::new());
        more(&mut children, &mut commit).map_err(|error| RecorderError::Fault(error.to_string()))?;
        let parts = Parts { is_marked: true, ..Parts::ALL };
        let committed = self.commit_recorded(&mut state, ops, parts, begin, commit)?;
        if committed.is_ok() {
            *open = children;
        }
        Ok(committed)
    }
}

/// Stands for a call in the row of its operation.
pub fn op_hash(call: &ChildCall) -> u64 {
    call_hash("calls.start", &[call.tool.as_bytes(), call.arguments.as_bytes()])
}

/// A record for people.
pub fn describe(kind: u8, payload: &[u8]) -> (&'static str, Option<String>) {
    match kind {
        KIND_CALLS => (
            "calls.start",
            decode::<Vec<TaskId>>(payload).ok().map(|answer| {
                describe_answer(answer, |ids| {
                    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                })
            }),
        ),
        KIND_GRANTED => ("calls.granted", None),
        _ => (
            "messages.send",
            decode::<u64>(payload).ok().map(|answer| describe_answer(answer, |seq| format!("seq {seq}"))),
        ),
    }
}

fn describe_answer<T>(answer: Result<T, CallRefusal>, text: impl Fn(T) -> String) -> String {
    match answer {
        Ok(value) => text(value),
        Err(refusal) => format!("refused: {refusal:?}"),
    }
}

/// Why there is no plan.
enum Unplanned {
    Refused(CallRefusal),
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

fn may_call(task: &Task, name: &str) -> bool {
    task.grant.allows(Capability::CallTool { name }) && task.scope.iter().any(|glob| glob_matches(glob, name))
}

/// The first tool of a call that can be reached, and what is left to try after it.
struct Chosen {
    tool: Arc<ToolEntry>,
    /// As this tool takes them.
    arguments: String,
    alternatives: Vec<String>,
}

fn choose(catalog: &Catalog, parent: &Task, call: &ChildCall) -> Result<Chosen, Unplanned> {
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
        if let Some((tool, rewritten)) = children::reachable(catalog, &parent.scope, name, &arguments) {
            let arguments = rewritten.unwrap_or_else(|| call.arguments.clone());
            return Ok(Chosen { tool, arguments, alternatives: call.alternatives[number..].to_vec() });
        }
    }
    let tool = catalog.callable(&call.tool).filter(|_| may_call(parent, &call.tool));
    refused(match tool.map(|tool| tool.accept(&arguments).map(drop)) {
        Some(Err(error)) => CallRefusal::Invalid(format!("{}: {error}", call.tool)),
        _ => {
            CallRefusal::NotFound(format!("there is no tool '{}' that this task's owner may call", call.tool))
        }
    })
}

/// What an operation's child came to; `None` as long as it is open.
fn end_of(
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

fn decode<T: for<'a> Deserialize<'a>>(payload: &[u8]) -> Answer<T> {
    rows::decode(Space::Journal, b"calls", payload).map_err(fault)
}

fn fault(error: StoreError) -> RecorderError {
    RecorderError::Fault(error.to_string())
}
