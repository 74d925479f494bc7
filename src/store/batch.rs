use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use smallvec::SmallVec;

use super::frame;
use super::space::Space;
use crate::limits::MAX_LOGGED_VALUE_BYTES;

/// What is written together: all of it or nothing, in the order of the calls.
#[derive(Default)]
pub struct Batch {
    /// Most have one, the lease.
    pub(super) guards: SmallVec<[Guard; 1]>,
    pub(super) leases: Vec<LeaseChange>,
    pub(super) effects: Option<Effects>,
    pub(super) marks: SmallVec<[(Arc<AtomicU64>, u64); 1]>,
    pub(super) counts: SmallVec<[(Count, i64); 1]>,
    pub(super) ops: usize,
    /// The ops as the log holds them.
    pub(super) frame: Vec<u8>,
    /// Values that go past the log.
    pub(super) direct: Vec<(Space, Vec<u8>, Arc<[u8]>)>,
    pub(super) direct_bytes: usize,
    pub(super) longest_key: usize,
    pub(super) need: Need,
    pub(super) is_patient: bool,
}

/// What a batch may have of a disk that is nearly full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Need {
    /// New work, and what work adds: refused as [`StoreError::NoSpace`](super::StoreError::NoSpace) first.
    #[default]
    Growth,
    /// The end of what there is. It may have half of the reserve.
    End,
    /// What makes room, or takes powers away. It may have nearly all of the reserve.
    Relief,
}

/// What follows from a batch, for the store's sink. The store does not look into it.
pub type Effects = Box<dyn Any + Send>;

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

/// Names a sum that the store keeps in a row of [`Space::Count`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Count {
    /// What is counted, and for whom.
    Named { kind: u8, name: Arc<str> },
    /// Of a task.
    Task([u8; 16]),
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
    pub fn put(mut self, space: Space, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.add_put(space, key, value);
        self
    }

    #[must_use]
    pub fn delete(mut self, space: Space, key: impl AsRef<[u8]>) -> Self {
        self.add_delete(space, key);
        self
    }

    /// Deletes every row of the space whose key starts with `prefix`.
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

    /// The sink gets `effects` once it is known what became of the batch. Takes the place of any given before.
    #[must_use]
    pub fn effects(mut self, effects: Effects) -> Self {
        self.effects = Some(effects);
        self
    }

    pub fn add_put(&mut self, space: Space, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.add_put_in_parts(space, key, &[value.as_ref()]);
    }

    /// So many bytes of keys and values are about to be added.
    pub fn reserve(&mut self, bytes: usize) {
        self.frame.reserve(bytes);
    }

    /// The value is these parts, one behind the other.
    pub fn add_put_in_parts(&mut self, space: Space, key: impl AsRef<[u8]>, value: &[&[u8]]) {
        let key = key.as_ref();
        let length = value.iter().map(|part| part.len()).sum::<usize>();
        if length > MAX_LOGGED_VALUE_BYTES {
            self.direct_bytes += length;
            self.direct.push((space, key.to_vec(), value.concat().into()));
            frame::push_direct(&mut self.frame, space, key);
        } else {
            frame::push_put(&mut self.frame, space, key, value);
        }
        self.added(key);
    }

    pub fn add_delete(&mut self, space: Space, key: impl AsRef<[u8]>) {
        frame::push_delete(&mut self.frame, space, key.as_ref());
        self.added(key.as_ref());
    }

    pub fn add_delete_prefix(&mut self, space: Space, prefix: impl AsRef<[u8]>) {
        frame::push_delete_prefix(&mut self.frame, space, prefix.as_ref());
        self.added(prefix.as_ref());
    }

    pub fn add_guard(&mut self, guard: Guard) {
        self.guards.push(guard);
    }

    /// It may have at least what this need allows.
    pub fn add_need(&mut self, need: Need) {
        self.need = self.need.max(need);
    }

    /// Nothing waits for it: it shares the commit of the next batch, or has one of its own after `PATIENT_BATCH_MS`.
    pub fn be_patient(&mut self) {
        self.is_patient = true;
    }

    /// Once the batch is applied, before the sink gets its effects, `mark` holds `number`: the cheapest way to know.
    pub fn add_mark(&mut self, mark: Arc<AtomicU64>, number: u64) {
        self.marks.push((mark, number));
    }

    /// Once the batch is applied, the count is more, or less, by so much. Its row is written once for all batches of a
    /// commit, with what they come to, so that it is true of exactly the rows that are there. It is never less than 0.
    pub fn add_count(&mut self, count: Count, change: i64) {
        if change != 0 {
            self.counts.push((count, change));
        }
    }

    /// Both as one: this one's changes, then the other's. What follows from either is added to both at once. It is as
    /// patient as this one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.guards.extend(other.guards);
        self.leases.extend(other.leases);
        self.marks.extend(other.marks);
        self.counts.extend(other.counts);
        self.ops += other.ops;
        self.direct.extend(other.direct);
        self.frame.extend_from_slice(&other.frame);
        self.direct_bytes += other.direct_bytes;
        self.longest_key = self.longest_key.max(other.longest_key);
        self.need = self.need.max(other.need);
        self
    }

    pub fn need(&self) -> Need {
        self.need
    }

    /// Whether it changes nothing on disk.
    pub fn is_empty(&self) -> bool {
        self.ops == 0 && self.counts.is_empty()
    }

    /// About what it will occupy in the log and outside it.
    pub fn bytes(&self) -> usize {
        self.frame.len() + self.direct_bytes
    }

    fn added(&mut self, key: &[u8]) {
        self.ops += 1;
        self.longest_key = self.longest_key.max(key.len());
    }
}

impl Count {
    /// Of its row.
    pub fn key(&self) -> Vec<u8> {
        match self {
            Self::Named { kind, name } => [&[*kind], name.as_bytes()].concat(),
            Self::Task(id) => id.to_vec(),
        }
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

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("guards", &self.guards)
            .field("ops", &self.ops)
            .field("bytes", &self.bytes())
            .field("leases", &self.leases)
            .field("has_effects", &self.effects.is_some())
            .finish()
    }
}
