//! The client's root folders, as names.

use crate::bindings::longhaul::tool::roots as host;
use crate::{HostError, Ticket};

pub use host::Root;

/// Asks the client and waits; without one that has roots, a minute.
pub fn list() -> Result<Vec<Root>, HostError> {
    take(ask()?)
}

pub fn ask() -> Result<Ticket, HostError> {
    host::ask()
}

pub fn take(ticket: Ticket) -> Result<Vec<Root>, HostError> {
    host::take(ticket)
}
