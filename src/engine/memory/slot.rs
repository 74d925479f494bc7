//! What an instance takes up: a place among those that live, memory, and a place among those of its tool.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use super::gates::Passed;
use super::ready::Ready;
use crate::limits;
use crate::shares::{Account, Held, Pool, Whose};

/// Room for one instance. When it is given back, tasks that found none are looked at again.
pub struct Slot {
    /// Dropped before the tasks are looked at.
    places: Option<Places>,
    pub guest: GuestMemory,
    /// What its attempt has read before it begins: arguments, journal.
    past: Mutex<Option<Held>>,
    ready: Arc<Ready>,
}

/// The places that a slot stands for: held, and given back together.
pub struct Places {
    _permit: OwnedSemaphorePermit,
    _held: Held,
    _passed: Option<Passed>,
}

impl Places {
    pub fn new(permit: OwnedSemaphorePermit, held: Held, passed: Option<Passed>) -> Self {
        Self { _permit: permit, _held: held, _passed: passed }
    }
}

/// The memory that an instance begins with, on its principal's account.
pub struct Taken {
    pub guest: Held,
    /// For what it reads before it begins, where that is much.
    pub past: Option<Held>,
}

impl Slot {
    pub fn new(ready: Arc<Ready>, shares: Arc<Account>, places: Places, taken: Taken, who: &str) -> Self {
        let Taken { guest, past } = taken;
        let guest = Guest { taken: Mutex::new(Some(guest)), shares, who: who.into(), ready: ready.clone() };
        Self { places: Some(places), guest: GuestMemory(Arc::new(guest)), past: Mutex::new(past), ready }
    }

    /// The attempt has read so many bytes before it begins. They are in memory, so they count whatever the bounds say.
    pub fn hold_past(&self, bytes: u64) {
        let mut past = self.past.lock();
        match &mut *past {
            Some(past) => past.grow_anyway(bytes.saturating_sub(past.amount())),
            None if bytes > limits::UNCOUNTED_PAST_BYTES => {
                let Guest { shares, who, .. } = &*self.guest.0;
                *past = Some(shares.hold(Pool::GuestMemory, who, bytes));
            }
            None => {}
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.places.take());
        drop(self.past.get_mut().take());
        self.ready.give_back();
    }
}

/// The memory of one instance on its principal's account, as it grows. It is given back when the last who knows of it
/// is gone.
#[derive(Clone)]
pub struct GuestMemory(Arc<Guest>);

struct Guest {
    /// Given back before the tasks are looked at.
    taken: Mutex<Option<Held>>,
    shares: Arc<Account>,
    who: Arc<str>,
    ready: Arc<Ready>,
}

/// An instance gets no more memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoRoom {
    /// There is none now: it is to make room, and to come back where there are so many bytes.
    Now { needs: u64 },
    /// It asks for more than there ever is for it.
    Ever { message: String },
}

impl GuestMemory {
    /// The instance has grown to so many bytes, or is about to.
    pub fn grow_to(&self, bytes: u64) -> Result<(), NoRoom> {
        let mut taken = self.0.taken.lock();
        let Some(taken) = &mut *taken else { return Ok(()) };
        let Some(more) = bytes.checked_sub(taken.amount()).filter(|more| *more > 0) else { return Ok(()) };
        // In large pieces where there is room: most guests grow page by page.
        if taken.grow(more.next_multiple_of(limits::GUEST_MEMORY_STEP_BYTES)).is_ok() {
            return Ok(());
        }
        let Err(refused) = taken.grow(more) else { return Ok(()) };
        let (most, whose) = most_memory(&self.0.shares, &self.0.who);
        if bytes > most {
            let (mib, most) = (bytes.div_ceil(1 << 20), most >> 20);
            let whose = match whose {
                Whose::Process => "this server gives its tools".to_owned(),
                Whose::Principal(who) => format!("the share of {who} is"),
            };
            let message =
                format!("the tool needs {mib} MiB of memory, and {whose} {most} MiB at most ({POOL})");
            return Err(NoRoom::Ever { message });
        }
        tracing::debug!(who = %self.0.who, bytes, %refused, "an instance makes room");
        Err(NoRoom::Now { needs: bytes })
    }
}

const POOL: &str = "guest_memory";

/// The most that one instance of this principal can ever have, and whose bound that is.
pub fn most_memory(shares: &Account, who: &str) -> (u64, Whose) {
    let (share, process) = (shares.share(Pool::GuestMemory, who), shares.most(Pool::GuestMemory, who));
    if share < process { (share, Whose::Principal(who.into())) } else { (process, Whose::Process) }
}

/// The most that it can have as long as those tasks are open that are: they may be for days.
pub fn most_memory_now(shares: &Account, who: &str) -> u64 {
    let share = shares.share(Pool::Memory, who).saturating_sub(shares.used_by(Pool::TaskMemory, who));
    let process = shares.most(Pool::Memory, who).saturating_sub(shares.used(Pool::TaskMemory));
    most_memory(shares, who).0.min(share).min(process)
}

impl Drop for Guest {
    fn drop(&mut self) {
        drop(self.taken.lock().take());
        self.ready.give_back();
    }
}
