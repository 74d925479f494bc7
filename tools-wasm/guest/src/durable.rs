//! What the host does for a tool. Each module is one host interface; times are `Duration`s, in milliseconds on the
//! way, rounded up so that nothing waits shorter than asked.

use std::time::Duration;

use crate::bindings::longhaul::tool as host;
use crate::{HostError, Ticket};

/// Progress and the status line; watchers see them once they are on disk.
pub mod progress {
    use super::host;

    /// `total` is left out (`None`) where it is unknown.
    pub fn report(done: u64, total: impl Into<Option<u64>>, message: impl AsRef<str>) {
        host::progress::report(done, total.into(), Some(message.as_ref()));
    }

    /// Leaves the status line as it is.
    pub fn advance(done: u64, total: impl Into<Option<u64>>) {
        host::progress::report(done, total.into(), None);
    }

    /// Changes the status line alone.
    pub fn status(message: impl AsRef<str>) {
        host::progress::status(message.as_ref());
    }
}

/// Lines of the task's log, beside what goes to stdout and stderr.
pub mod log {
    pub use super::host::log::{Level, write};

    pub fn debug(message: impl AsRef<str>) {
        write(Level::Debug, message.as_ref());
    }

    pub fn info(message: impl AsRef<str>) {
        write(Level::Info, message.as_ref());
    }

    pub fn warning(message: impl AsRef<str>) {
        write(Level::Warning, message.as_ref());
    }

    pub fn error(message: impl AsRef<str>) {
        write(Level::Error, message.as_ref());
    }
}

/// Named partial results, readable while the task runs. They only grow.
pub mod outputs {
    use super::{HostError, host};

    /// A whole output in one commit.
    pub fn write(name: &str, mime_type: &str, data: impl AsRef<[u8]>) -> Result<(), HostError> {
        host::outputs::write(name, mime_type, data.as_ref())
    }

    /// Opens an output that grows by [`Growing::append`].
    pub fn open(name: &str, mime_type: &str) -> Result<Growing, HostError> {
        host::outputs::open(name, mime_type)?;
        Ok(Growing { name: name.to_owned() })
    }

    /// Takes up an output that was opened before the last checkpoint.
    pub fn reopened(name: &str) -> Growing {
        Growing { name: name.to_owned() }
    }

    /// An output that is not complete yet. It stays open when this is dropped: only [`Growing::close`] says that
    /// it is whole.
    pub struct Growing {
        name: String,
    }

    impl Growing {
        pub fn append(&mut self, data: impl AsRef<[u8]>) -> Result<(), HostError> {
            host::outputs::append(&self.name, data.as_ref())
        }

        pub fn close(self) -> Result<(), HostError> {
            host::outputs::close(&self.name)
        }
    }
}

/// Durable timers: a restart does not begin them anew.
pub mod timers {
    use super::{Duration, Ticket, host, millis};

    pub fn sleep(time: Duration) {
        host::timers::sleep(millis(time));
    }

    /// A ticket that is ready after this time.
    pub fn start(after: Duration) -> Ticket {
        host::timers::start(millis(after))
    }
}

/// One wait for tickets of any kind.
pub mod waits {
    use super::{Duration, HostError, Ticket, host, millis};

    /// Waits until at least one is ready; returns those that are, in the order given, or none when the time was over.
    pub fn any(tickets: &[Ticket], timeout: impl Into<Option<Duration>>) -> Result<Vec<Ticket>, HostError> {
        host::waits::wait(tickets, timeout.into().map(millis))
    }

    /// Waits until each is ready, however long it takes.
    pub fn all(tickets: &[Ticket]) -> Result<(), HostError> {
        let mut open = tickets.to_vec();
        while !open.is_empty() {
            let ready = any(&open, None)?;
            open.retain(|ticket| !ready.contains(ticket));
        }
        Ok(())
    }

    /// Gives a ticket up: a question is withdrawn, a child is cancelled unless it is detached.
    pub fn abandon(ticket: Ticket) {
        host::waits::abandon(ticket);
    }
}

/// A restart begins at the entry point with what was saved, instead of replaying all that came before.
pub mod checkpoint {
    use serde::{Serialize, de::DeserializeOwned};

    use super::host;
    use crate::Failure;

    /// Saves a value, as JSON. No ticket may be open.
    pub fn save(state: &impl Serialize) -> Result<(), Failure> {
        Ok(host::checkpoint::save(&serde_json::to_vec(state)?)?)
    }

    /// What was saved last, or `None` at the very start.
    pub fn restore<S: DeserializeOwned>() -> Result<Option<S>, Failure> {
        Ok(host::checkpoint::restore().map(|state| serde_json::from_slice(&state)).transpose()?)
    }
}

/// A component that uses this is told that it is to be cancelled, and has a few seconds to clean up.
pub mod cancellation {
    use super::{Ticket, host};

    pub fn requested() -> bool {
        host::cancellation::requested()
    }

    /// A ticket that is ready once cancellation was requested.
    pub fn signal() -> Ticket {
        host::cancellation::signal()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
