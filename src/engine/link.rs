//! Which call of which task a child came from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::task::{Task, TaskId};

/// Which call of which task a child came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Of the tree that both stand in.
    pub root: TaskId,
    pub parent: TaskId,
    pub epoch: u32,
    pub op: u64,
    pub detached: bool,
}

impl Link {
    pub fn of(task: &Task) -> Option<Self> {
        let (parent, called) = (task.parent?, task.called.as_ref()?);
        Some(Self { root: task.root, parent, epoch: called.epoch, op: called.op, detached: called.detached })
    }
}

/// The open children of one task that are wanted.
pub type Children = BTreeMap<TaskId, Link>;
