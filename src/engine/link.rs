//! Which call of which task a child came from.

use std::collections::BTreeMap;

use crate::task::{Task, TaskId};

/// Which call of which task a child came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub parent: TaskId,
    pub epoch: u32,
    pub op: u64,
    pub detached: bool,
}

impl Link {
    pub fn of(task: &Task) -> Option<Self> {
        let (parent, called) = (task.parent?, task.called.as_ref()?);
        Some(Self { parent, epoch: called.epoch, op: called.op, detached: called.detached })
    }
}

/// The open children of one task that are wanted.
pub type Children = BTreeMap<TaskId, Link>;
