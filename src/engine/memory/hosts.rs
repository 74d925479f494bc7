//! Refused hosts that stderr has named already.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::limits;
use crate::task::ComponentId;

/// By which rule a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostRule {
    /// No grant of the task names it.
    NotGranted,
    /// It is granted, and its name leads to an address that is not dialled for a name.
    Address,
}

/// What stderr has said already: once a component, rule and host.
#[derive(Default)]
pub struct ToldHosts(Mutex<HashSet<(ComponentId, HostRule, String)>>);

impl ToldHosts {
    /// Whether this is the first time. Beyond its bound nothing is: a guest can name hosts without end.
    pub fn is_first(&self, component: &ComponentId, rule: HostRule, host: &str) -> bool {
        let mut reported = self.0.lock();
        reported.len() < limits::MAX_TOLD_HOSTS && reported.insert((component.clone(), rule, host.to_owned()))
    }
}
