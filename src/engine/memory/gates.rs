//! The bounds of single tools: how many of a tool's tasks have an instance at once, and how often one begins. A rate is
//! durable: when the next may begin is a row, written with each that does.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::ToolBounds;
use crate::clock::UnixNanos;
use crate::store::{Snapshot, Space, StoreError};

/// The row of a tool's rate, among the settings; its name follows.
const RATE_ROW: &str = "rate/";

/// All tools that have bounds of their own.
#[derive(Default)]
pub struct Gates(HashMap<String, Arc<Gate>>);

/// One tool's bounds.
pub struct Gate {
    pub tool: Arc<str>,
    bounds: ToolBounds,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Instances of it.
    live: u64,
    /// When the one after the last may begin.
    next: UnixNanos,
}

/// An instance of a tool that has bounds.
pub struct Passed(Arc<Gate>);

/// A task may not have an instance now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shut {
    /// As many have one as may.
    Full,
    /// It may begin at that time.
    Until(UnixNanos),
}

impl Gates {
    /// Gates for these tools, which stand as their rows say.
    pub fn open(bounds: BTreeMap<String, ToolBounds>, snapshot: &Snapshot<'_>) -> Result<Self, StoreError> {
        let mut rows = HashMap::new();
        if bounds.values().any(|bounds| bounds.rate.is_some()) {
            snapshot.scan_prefix(Space::Setting, RATE_ROW.as_bytes(), false, |key, row| {
                let name = String::from_utf8_lossy(&key[RATE_ROW.len()..]).into_owned();
                rows.extend(row.try_into().ok().map(|bytes| (name, u64::from_be_bytes(bytes))));
                ControlFlow::Continue(())
            })?;
        }
        let gate = |(tool, bounds): (String, ToolBounds)| {
            let next = rows.get(&tool).copied().unwrap_or(0);
            let state = Mutex::new(State { live: 0, next });
            (tool.clone(), Arc::new(Gate { tool: tool.into(), bounds, state }))
        };
        Ok(Self(bounds.into_iter().map(gate).collect()))
    }

    pub fn of(&self, tool: &str) -> Option<&Arc<Gate>> {
        if self.0.is_empty() { None } else { self.0.get(tool) }
    }
}

impl Gate {
    /// Whether there is room for one instance more, of a task that `begins` or goes on.
    pub fn check(&self, begins: bool, now: UnixNanos) -> Result<(), Shut> {
        let state = self.state.lock();
        if self.bounds.concurrency.is_some_and(|bound| state.live >= bound) {
            return Err(Shut::Full);
        }
        match self.bounds.rate.filter(|_| begins) {
            Some(rate) => rate.after(state.next, now).map(drop).map_err(Shut::Until),
            None => Ok(()),
        }
    }

    /// One instance more, after it was checked that there is room.
    pub fn pass(self: &Arc<Self>, begins: bool, now: UnixNanos) -> Passed {
        let mut state = self.state.lock();
        if let Some(rate) = self.bounds.rate.filter(|_| begins) {
            state.next = rate.after(state.next, now).unwrap_or(state.next);
        }
        state.live += 1;
        Passed(self.clone())
    }

    /// The row that says when the next may begin; `None` where the tool has no rate.
    pub fn rate_row(&self) -> Option<(String, [u8; 8])> {
        self.bounds.rate?;
        Some((format!("{RATE_ROW}{}", self.tool), self.state.lock().next.to_be_bytes()))
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.live = state.live.saturating_sub(1);
    }
}
