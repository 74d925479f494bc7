//! Who can sample for a task, and which of its questions are being answered.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Clients at hand whose model can sample for a task: all, and those of them that take tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Models {
    all: usize,
    with_tools: usize,
}

impl Models {
    pub fn can(&self, wants_tools: bool) -> bool {
        if wants_tools { self.with_tools > 0 } else { self.all > 0 }
    }

    pub fn count(&mut self, with_tools: bool, change: fn(usize, usize) -> usize) {
        self.all = change(self.all, 1);
        if with_tools {
            self.with_tools = change(self.with_tools, 1);
        }
    }
}

/// Questions that a client works on: until which logical time.
#[derive(Default)]
pub struct Extensions {
    until: Mutex<HashMap<u64, u64>>,
}

impl Extensions {
    pub fn get(&self, number: u64) -> u64 {
        let until = self.until.lock();
        until.get(&number).copied().unwrap_or(0)
    }

    pub fn set(&self, number: u64, until: u64) {
        let mut all = self.until.lock();
        let there = all.entry(number).or_default();
        *there = until.max(*there);
    }
}
