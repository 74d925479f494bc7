//! In builds with debug assertions alone, as crash points are, so that the tests of other crates have it too.
//!
//! A store for tests that says no: to the n-th batch that is handed over from now on, in each of the ways in which a
//! store does. Batches that write nothing are not counted: whether one is needed depends on the writer's pace.
//! And one whose writer is held at a moment, so that a test sees what others see then.

use futures::executor::block_on;
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::request::Request;
use super::shared::Shared;
use crate::store::{Batch, Guard, Kind, Need, Space, Store, StoreError};

/// A way to say no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum No {
    /// At once, and to this batch alone.
    Busy,
    /// At once, and for good.
    Latched,
    /// In the answer: a guard on a row does not hold.
    Guard,
    /// In the answer: another process has the task's lease, from this batch on.
    Lease,
    /// At once, and to all from this batch on that are new work.
    Space,
}

/// A moment at which the writer can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A group is queued, and nothing of it is on disk.
    BeforeCommit,
    /// A group is on disk and can be read, and neither the sink nor its owners know.
    BeforeTelling,
}

#[derive(Default)]
pub(super) struct Refusing {
    orders: Mutex<Orders>,
    held: Mutex<Option<Moment>>,
    let_go: Condvar,
}

/// A store's writer is held as long as this is there.
pub struct Hold(Store);

impl Drop for Hold {
    fn drop(&mut self) {
        *self.0.refusing().held() = None;
        self.0.refusing().let_go.notify_all();
    }
}

#[derive(Default)]
struct Orders {
    /// In tests of this crate always.
    is_counting: bool,
    /// One a batch since counting began: the ways to refuse it that fit.
    seen: Vec<Vec<No>>,
    refuse: Option<(usize, No)>,
}

impl Refusing {
    /// The batch as it is handed on, unless it is refused at once.
    pub fn pass(&self, shared: &Shared, mut batch: Batch) -> Result<Batch, StoreError> {
        let is_counted = cfg!(test) || self.orders().is_counting;
        if batch.is_empty() || !is_counted {
            return Ok(batch);
        }
        let lease = batch.guards.iter().find_map(|guard| match guard {
            Guard::Lease { task, .. } => Some(*task),
            _ => None,
        });
        let number = {
            let mut orders = self.orders();
            let mut fits = vec![No::Busy, No::Latched];
            fits.extend(lease.map(|_| No::Lease));
            fits.extend(batch.guards.iter().find(|guard| guard.key().is_some()).map(|_| No::Guard));
            orders.seen.push(fits);
            orders.seen.len()
        };
        let is_meant = |(at, no): &(usize, No)| match no {
            No::Space => *at <= number && batch.need == Need::Growth,
            _ => *at == number,
        };
        let refuse = self.orders().refuse.filter(is_meant);
        match refuse.map(|(_, no)| no) {
            None => {}
            Some(No::Space) => return Err(shared.not_taken(batch, StoreError::NoSpace { free: 0 })),
            Some(No::Busy) => {
                return Err(shared.not_taken(batch, StoreError::Busy { queued: number, bytes: 0 }));
            }
            Some(No::Latched) => {
                // What came before it is on disk, in every run.
                let (ack, answer) = oneshot::channel();
                shared.enqueue(Request::new(Batch::new(), ack, true))?;
                drop(block_on(answer));
                let refusal = shared.latch("a test pulled the disk");
                return Err(shared.not_taken(batch, refusal));
            }
            Some(No::Guard) => {
                let key = b"there is no such row".to_vec();
                batch.guards.insert(0, Guard::Present { space: Space::Setting, key });
            }
            Some(No::Lease) => {
                let lost = lease.into_iter().fold(Batch::new(), Batch::end_lease);
                shared.enqueue(Request::new(lost, oneshot::channel().0, false))?;
            }
        }
        Ok(batch)
    }

    /// The writer comes here at each of the moments.
    pub fn reach(&self, moment: Moment) {
        let mut held = self.held();
        while *held == Some(moment) {
            self.let_go.wait(&mut held);
        }
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock()
    }

    fn held(&self) -> MutexGuard<'_, Option<Moment>> {
        self.held.lock()
    }
}

impl Store {
    /// Counts from here on, and refuses one batch, counted from 1.
    pub fn refuse(&self, refuse: Option<(usize, No)>) {
        *self.refusing().orders() = Orders { is_counting: true, seen: Vec::new(), refuse };
    }

    /// From now on the writer is held when it comes to this moment, until what is returned goes.
    pub fn hold(&self, at: Moment) -> Hold {
        *self.refusing().held() = Some(at);
        Hold(self.clone())
    }

    /// Of each batch since then, in order: the ways to refuse it that fit.
    pub fn handed_over(&self) -> Vec<Vec<No>> {
        self.refusing().orders().seen.clone()
    }

    fn refusing(&self) -> &Refusing {
        match &self.inner.kind {
            Kind::File(file) => &file.shared.refusing,
            #[cfg(test)]
            Kind::Memory(_) => panic!("only a store on a drive refuses"),
        }
    }
}
