use std::fmt;
use std::sync::Arc;

use super::frame;
use super::key::Key;
use super::space::Space;
use crate::limits::MAX_LOGGED_VALUE_BYTES;

/// What is written together: all of it or nothing, in the order of the calls.
#[derive(Default)]
pub struct Batch {
    pub(super) guards: Vec<Guard>,
    pub(super) ops: Vec<Op>,
    pub(super) leases: Vec<LeaseChange>,
    pub(super) thens: Vec<Box<dyn FnOnce() + Send>>,
    /// The ops as the log holds them.
    pub(super) frame: Vec<u8>,
    /// Bytes of values that go past the log.
    pub(super) direct_bytes: usize,
    pub(super) longest_key: usize,
}

/// What must hold, as of the batches before this one, for the batch to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// `Batch::lease(task, token)` was the last word on this task since the process started.
    Lease {
        task: [u8; 16],
        token: u64,
    },
    Absent {
        space: Space,
        key: Vec<u8>,
    },
    Present {
        space: Space,
        key: Vec<u8>,
    },
    Is {
        space: Space,
        key: Vec<u8>,
        value: Arc<[u8]>,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Op {
    Put { space: Space, key: Key, value: Arc<[u8]> },
    Delete { space: Space, key: Key },
    DeletePrefix { space: Space, prefix: Key },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum LeaseChange {
    Begin { task: [u8; 16], token: u64 },
    End { task: [u8; 16] },
}

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn put(mut self, space: Space, key: impl AsRef<[u8]>, value: impl Into<Arc<[u8]>>) -> Self {
        self.add_put(space, key, value);
        self
    }

    #[must_use]
    pub fn delete(mut self, space: Space, key: impl AsRef<[u8]>) -> Self {
        self.add_delete(space, key);
        self
    }

    /// Delete every row of the space whose key starts with `prefix`.
    #[must_use]
    pub fn delete_prefix(mut self, space: Space, prefix: impl AsRef<[u8]>) -> Self {
        self.add_delete_prefix(space, prefix);
        self
    }

    #[must_use]
    pub fn guard(mut self, guard: Guard) -> Self {
        self.add_guard(guard);
        self
    }

    /// From this batch on, `token` is the lease of `task`, whatever it was before. Leases live in memory:
    /// all of them are void after a restart.
    #[must_use]
    pub fn lease(mut self, task: [u8; 16], token: u64) -> Self {
        self.leases.push(LeaseChange::Begin { task, token });
        self
    }

    #[must_use]
    pub fn end_lease(mut self, task: [u8; 16]) -> Self {
        self.leases.push(LeaseChange::End { task });
        self
    }

    /// Run by the writer thread after the commit and before the acknowledgement, in the order of commits,
    /// and only if the batch was applied. Must be quick and must not panic: every commit waits for it, and a
    /// panic latches the store. A read of the store sees the batch.
    #[must_use]
    pub fn then(mut self, then: impl FnOnce() + Send + 'static) -> Self {
        self.add_then(then);
        self
    }

    pub fn add_put(&mut self, space: Space, key: impl AsRef<[u8]>, value: impl Into<Arc<[u8]>>) {
        let (key, value) = (Key::from(key.as_ref()), value.into());
        if value.len() > MAX_LOGGED_VALUE_BYTES {
            self.direct_bytes += value.len();
            frame::push_direct(&mut self.frame, space, &key);
        } else {
            frame::push_put(&mut self.frame, space, &key, &value);
        }
        self.longest_key = self.longest_key.max(key.len());
        self.ops.push(Op::Put { space, key, value });
    }

    pub fn add_delete(&mut self, space: Space, key: impl AsRef<[u8]>) {
        let key = Key::from(key.as_ref());
        frame::push_delete(&mut self.frame, space, &key);
        self.longest_key = self.longest_key.max(key.len());
        self.ops.push(Op::Delete { space, key });
    }

    pub fn add_delete_prefix(&mut self, space: Space, prefix: impl AsRef<[u8]>) {
        let prefix = Key::from(prefix.as_ref());
        frame::push_delete_prefix(&mut self.frame, space, &prefix);
        self.longest_key = self.longest_key.max(prefix.len());
        self.ops.push(Op::DeletePrefix { space, prefix });
    }

    pub fn add_guard(&mut self, guard: Guard) {
        self.guards.push(guard);
    }

    pub fn add_then(&mut self, then: impl FnOnce() + Send + 'static) {
        self.thens.push(Box::new(then));
    }

    /// Both as one: this one's changes, then the other's.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.guards.extend(other.guards);
        self.ops.extend(other.ops);
        self.leases.extend(other.leases);
        self.thens.extend(other.thens);
        self.frame.extend_from_slice(&other.frame);
        self.direct_bytes += other.direct_bytes;
        self.longest_key = self.longest_key.max(other.longest_key);
        self
    }

    /// Whether it changes nothing on disk.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// About what it will occupy in the log and beside it.
    pub fn bytes(&self) -> usize {
        self.frame.len() + self.direct_bytes
    }
}

impl Guard {
    /// The row it asks about.
    pub(super) fn key(&self) -> Option<(Space, &[u8])> {
        match self {
            Guard::Lease { .. } => None,
            Guard::Absent { space, key } | Guard::Present { space, key } | Guard::Is { space, key, .. } => {
                Some((*space, key))
            }
        }
    }
}

impl Op {
    pub(super) fn space(&self) -> Space {
        match self {
            Op::Put { space, .. } | Op::Delete { space, .. } | Op::DeletePrefix { space, .. } => *space,
        }
    }

    /// Whether the value goes straight into its base table.
    pub(super) fn is_direct(&self) -> bool {
        matches!(self, Op::Put { value, .. } if value.len() > MAX_LOGGED_VALUE_BYTES)
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("guards", &self.guards)
            .field("ops", &self.ops)
            .field("leases", &self.leases)
            .field("thens", &self.thens.len())
            .finish()
    }
}
