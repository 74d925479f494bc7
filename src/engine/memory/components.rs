//! Components that are known to be in the store: an attempt looks for its own only where none has found it before.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::task::ComponentId;

#[derive(Default)]
pub struct StoredComponents {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    found: HashSet<ComponentId>,
    /// Counts how often all was forgotten.
    forgotten: u64,
}

/// When a component was not known: what is read then may have gone by the time it is noted.
#[derive(Clone, Copy, Debug)]
pub struct Missed(u64);

impl StoredComponents {
    /// `Ok` where it is known to be there.
    pub fn find(&self, component: &ComponentId) -> Result<(), Missed> {
        let known = self.known.lock();
        if known.found.contains(component) { Ok(()) } else { Err(Missed(known.forgotten)) }
    }

    /// It was found in the store after it was missed here. Forgotten meanwhile, it is looked for again.
    pub fn note(&self, component: ComponentId, missed: Missed) {
        let mut known = self.known.lock();
        if known.forgotten == missed.0 {
            known.found.insert(component);
        }
    }

    /// One of them has been deleted from the store.
    pub fn forget_all(&self) {
        let mut known = self.known.lock();
        known.found.clear();
        known.forgotten += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_before_a_sweep_is_looked_for_after_it() {
        let (components, id) = (StoredComponents::default(), ComponentId::of_bytes(b"a component"));
        let missed = components.find(&id).expect_err("not looked for yet");
        components.note(id.clone(), missed);
        assert!(components.find(&id).is_ok());
        components.forget_all();
        let missed = components.find(&id).expect_err("it may be gone");
        components.forget_all();
        components.note(id.clone(), missed);
        assert!(components.find(&id).is_err(), "it was read before it was deleted");
    }
}
