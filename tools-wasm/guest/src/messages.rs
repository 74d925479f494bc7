//! What others send to the running task: in order, each once, across restarts.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::bindings::longhaul::tool::messages as host;
use crate::{Failure, HostError, Ticket, Value, waits};

/// A message as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// From 1, in the order of arrival.
    pub seq: u64,
    pub name: String,
    pub payload: Value,
    /// The principal, or the task, that sent it.
    pub sender: String,
}

impl Message {
    /// The payload as a type; the error tells what does not fit.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.payload)
    }
}

/// Waits for a message with one of these names (any, if there are none), for days if need be; `None` when the time is
/// over.
pub fn receive(names: &[&str], timeout: impl Into<Option<Duration>>) -> Result<Option<Message>, Failure> {
    let ticket = ticket(names)?;
    if waits::any(&[ticket], timeout)?.is_empty() {
        waits::abandon(ticket);
        return Ok(None);
    }
    take(ticket).map(Some)
}

/// The next message with one of these names that is there already.
pub fn try_receive(names: &[&str]) -> Result<Option<Message>, Failure> {
    receive(names, Duration::ZERO)
}

/// Sends one, once, to `parent` or to the id of a child; its number there.
pub fn send(to: &str, name: &str, payload: &Value) -> Result<u64, HostError> {
    host::send(to, name, &payload.to_string())
}

/// A ticket that is ready when such a message is there; for a wait for several things.
pub fn ticket(names: &[&str]) -> Result<Ticket, HostError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    host::receive(&names)
}

/// Takes what a ticket stands for; waits where it is not ready.
pub fn take(ticket: Ticket) -> Result<Message, Failure> {
    let host::Message { seq, name, payload, sender } = host::take(ticket)?;
    Ok(Message { seq, name, payload: serde_json::from_str(&payload)?, sender })
}
