//! What a guest does with other tasks: it starts children, takes what they came to, gives them up, and sends messages
//! to them and to its parent. What it asks of the catalog and what it is refused are records of its journal; a child
//! begins in the same commit as the record that tells of it.

mod end;
mod plan;
mod record;
mod send;
mod types;

use std::sync::Arc;
use std::time::Duration;

use super::children::{self, Tree};
use crate::authority::Capability;
use crate::catalog::ToolDefinition;
use crate::engine::change::draft::Parts;
use crate::engine::commit::Commit;
use crate::engine::effect::Effect;
use crate::engine::error::EngineError;
use crate::engine::journal::ops::Op;
use crate::engine::journal::records::Next;
use crate::engine::link::{Children, Link};
use crate::engine::memory::entry::Live;
use crate::engine::record::error::RecorderError;
use crate::engine::record::ops::{OpChange, OpHandle};
use crate::engine::record::output::call_hash;
use crate::engine::record::recorder::Recorder;
use crate::engine::rows;
use crate::engine::rows::tree;
use crate::engine::trace::StepKind;
use crate::store::{Ack, Space, StoreError};
use crate::task::{Task, TaskId};

pub use record::{KIND_CALLS, KIND_GRANTED, KIND_SEND, describe, op_hash};
pub use types::{Addressee, CallRefusal, ChildCall, ChildEnd};

use end::end_of;
use plan::{Unplanned, may_call};
use record::{Answer, decode, fault};

impl Recorder {
    /// The tools that this task may call now: its component's grant, and what its principal may call.
    pub async fn granted_tools(&self) -> Result<Vec<ToolDefinition>, RecorderError> {
        let hash = call_hash("calls.granted", &[]);
        let unreadable = |error: serde_json::Error| RecorderError::Fault(error.to_string());
        if let Next::Replayed(payload) = self.next_step(None, (KIND_GRANTED, hash), "calls.granted")? {
            return serde_json::from_slice(&payload).map_err(unreadable);
        }
        // A list that is written down is to have all that there is.
        self.shared().loaded().await;
        let (task, catalog) = (self.task()?, self.shared().catalog());
        let tools = catalog.callables().map(|entry| &entry.tool.definition);
        let powers = self.powers_of(&task);
        let may = |name: &str| may_call(&task, name) && powers.check(Capability::CallTool { name }).is_ok();
        let granted: Vec<_> = tools.filter(|tool| may(&tool.name)).cloned().collect();
        self.record(KIND_GRANTED, hash, &serde_json::to_vec(&granted).map_err(unreadable)?)?;
        Ok(granted)
    }

    /// Starts all of them or none, in one commit with the record of it; `ops` are theirs, one each. On disk when it
    /// returns.
    pub async fn start_children(&self, ops: &[OpHandle], calls: &[ChildCall]) -> Answer<Vec<TaskId>> {
        const WHAT: &str = "calls.start";
        let hash = call_hash(WHAT, &[&rows::encode(&calls).map_err(fault)?]);
        if let Next::Replayed(payload) = self.next_step(None, (KIND_CALLS, hash), WHAT)? {
            // The record has the hash of all of them.
            ops.iter().for_each(|op| self.op_met(*op));
            return decode(&payload);
        }
        for call in calls {
            for tool in std::iter::once(&call.tool).chain(&call.alternatives) {
                self.shared().tool_known(tool).await;
            }
        }
        let parent = self.task()?;
        let epoch = self.epoch()?;
        let tree = Tree::of(self.shared(), parent.clone()).await.map_err(fault)?;
        let (planned, reserved) = match self.plan(&parent, &tree, epoch, ops, calls) {
            Ok(planned) => planned,
            Err(Unplanned::Refused(refusal)) => return self.refused(hash, refusal),
            Err(Unplanned::Lost(lost)) => {
                self.audit_lost(&parent, lost);
                return self.refused(hash, CallRefusal::Lost(lost.to_string()));
            }
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
                Err(why) if why.passes() => self.shared().pause(&why).await,
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
