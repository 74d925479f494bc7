//! Gives an instance to the task that is next and for which there is room.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::lifecycle::attempt;
use crate::engine::memory::entry::Entry;
use crate::engine::memory::gates::Shut;
use crate::engine::memory::ready::Looked;
use crate::engine::memory::slot::{Places, Slot, Taken, most_memory_now};
use crate::engine::runner::Runner;
use crate::engine::shared::Shared;
use crate::limits;
use crate::shares::{Pool, Refusal, Whose};

/// Gives instances to tasks, as long as there is room. Where there is none, those that wait make some.
pub async fn dispatch(shared: Arc<Shared>, runner: Arc<dyn Runner>) {
    let (mut lacks, mut asked) = (Lacks::default(), HashMap::new());
    loop {
        let woken = shared.memory.ready.wake.notified();
        if !shared.is_running() {
            return;
        }
        // Before the look: what requests give back during it is not lost.
        let freed = shared.shares.freed(Pool::Memory);
        tokio::pin!(freed);
        if lacks.memory {
            freed.as_mut().enable();
        }
        let had = std::mem::take(&mut lacks);
        let held = |who: &str| shared.shares.used_by(Pool::Instances, who);
        match shared.memory.ready.pop(held, |entry| room_for(&shared, entry, &mut lacks)) {
            Looked::Task(entry, slot) => {
                tokio::spawn(attempt::drive(shared.clone(), runner.clone(), entry, slot));
            }
            Looked::Empty => {
                asked.clear();
                woken.await;
            }
            // It is looked once more, and listened from before that.
            Looked::Passed if lacks.memory && !had.memory => {}
            Looked::Passed => {
                lacks.make_room(&shared, &mut asked);
                tokio::select! {
                    () = woken => {}
                    () = freed, if lacks.memory => {}
                    _ = shared.live.acquire(), if lacks.places => {}
                    () = shared.clock.sleep_until(lacks.until.unwrap_or_default()), if lacks.until.is_some() => {}
                }
            }
        }
    }
}

/// For whom an instance was asked to leave, `None` for the process, and what had been given back until then.
type Asked = HashMap<Option<Arc<str>>, u64>;

/// What tasks were passed over for.
#[derive(Default)]
struct Lacks {
    /// As many instances live as may.
    places: bool,
    memory: bool,
    refused: Vec<Refusal>,
    /// When a tool may begin again.
    until: Option<Duration>,
}

impl Lacks {
    /// One instance that waits is asked to leave for each principal that has its share, and one for all that find the
    /// process full; the next when that one has, or will not.
    fn make_room(&self, shared: &Shared, asked: &mut Asked) {
        let leavers = &shared.memory.leavers;
        let returns = shared.memory.ready.returns();
        let mut once = |of: Option<Arc<str>>, ask: &dyn Fn() -> bool| {
            if asked.get(&of) != Some(&returns) && ask() {
                asked.insert(of, returns);
            }
        };
        for refused in &self.refused {
            if let Whose::Principal(who) = &refused.whose {
                once(Some(who.clone()), &|| leavers.ask_one(Some(who), |_| 0));
            }
        }
        let of_process = self.refused.iter().find(|refused| refused.whose == Whose::Process);
        let pool = of_process.map(|refused| refused.pool).or(self.places.then_some(Pool::Instances));
        if let Some(pool) = pool {
            once(None, &|| leavers.ask_one(None, |who| shared.shares.used_by(pool, who)));
        }
    }

    fn note(&mut self, refused: Refusal) {
        self.memory |= refused.pool != Pool::Instances;
        if !self.refused.iter().any(|known| known.whose == refused.whose) {
            self.refused.push(refused);
        }
    }
}

/// Room for an instance of this task, if there is any now.
fn room_for(shared: &Arc<Shared>, entry: &Entry, lacks: &mut Lacks) -> Option<Slot> {
    let (who, shares) = (&*entry.principal, &shared.shares);
    let gate = entry.gate.get();
    let begins = entry.begins.load(Ordering::Relaxed);
    if let Some(gate) = gate
        && let Err(shut) = gate.check(begins, shared.date())
    {
        if let Shut::Until(date) = shut {
            let at = shared.opened.moment(date);
            lacks.until = Some(lacks.until.map_or(at, |until| until.min(at)));
        }
        return None;
    }
    let Ok(permit) = shared.live.clone().try_acquire_owned() else {
        lacks.places = true;
        return None;
    };
    let needs = Needs::of(entry, || most_memory_now(shares, who));
    // Only looked at first: what is refused here is no caller's request.
    let room = shares.check(Pool::Instances, who, 1);
    let room = room.and_then(|()| shares.check(Pool::GuestMemory, who, needs.guest + needs.past));
    let taken = room.and_then(|()| {
        let place = shares.take(Pool::Instances, who, 1)?;
        let guest = shares.take(Pool::GuestMemory, who, needs.guest)?;
        let has_past = needs.past > 0;
        let past = has_past.then(|| shares.take(Pool::GuestMemory, who, needs.past)).transpose()?;
        Ok((place, Taken { guest, past }))
    });
    match taken {
        Ok((held, memory)) => {
            let passed = gate.map(|gate| gate.pass(begins, shared.date()));
            let places = Places::new(permit, held, passed);
            Some(Slot::new(shared.memory.ready.clone(), shares.clone(), places, memory, who))
        }
        Err(refused) => {
            lacks.note(refused);
            None
        }
    }
}

/// The memory that an instance needs to begin.
struct Needs {
    guest: u64,
    past: u64,
}

impl Needs {
    /// `most` is what there can be for it now.
    fn of(entry: &Entry, most: impl FnOnce() -> u64) -> Self {
        let least = entry.needs_memory.load(Ordering::Relaxed).max(limits::GUEST_MEMORY_STEP_BYTES);
        let past = entry.past_bytes.load(Ordering::Relaxed);
        let has_past = past > limits::UNCOUNTED_PAST_BYTES;
        if least == limits::GUEST_MEMORY_STEP_BYTES && !has_past {
            return Self { guest: least, past: 0 };
        }
        let most = most();
        let past = if has_past { past.min(most.saturating_sub(least)) } else { 0 };
        if least == limits::GUEST_MEMORY_STEP_BYTES {
            return Self { guest: least, past };
        }
        // With room to grow, so that it does not come back for each page.
        let wish = least.saturating_mul(2).min(most.saturating_sub(past));
        Self { guest: wish.max(least), past }
    }
}
