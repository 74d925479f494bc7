//! Its waits, and its end.

use tokio::sync::watch;

use super::port::{Recorded, TaskHost};
use crate::engine::{Suspension, Wait};
use crate::sandbox::wire::{RemoteWait, Request};
use crate::task::WakeOn;

/// An instance that waits and can be asked to leave memory.
pub(in crate::sandbox) enum LeaveWait {
    Here(Wait),
    There(RemoteWait),
}

impl LeaveWait {
    /// Ends when it is asked to leave.
    pub async fn asked(&self) {
        match self {
            Self::Here(wait) => wait.asked().await,
            Self::There(wait) => wait.asked().await,
        }
    }

    pub fn leave(self) {
        match self {
            Self::Here(wait) => wait.leave(),
            Self::There(wait) => wait.leave(),
        }
    }
}

impl TaskHost {
    pub fn handles_cancellation(&self) {
        match self {
            Self::Here(recorder) => recorder.handles_cancellation(),
            Self::There(remote) => remote.look(Request::HandlesCancellation),
        }
    }

    pub fn cancel_requested(&self) -> bool {
        match self {
            Self::Here(recorder) => recorder.cancel_requested(),
            Self::There(remote) => remote.look(Request::CancelRequested),
        }
    }

    pub async fn cancelled(&self) {
        match self {
            Self::Here(recorder) => recorder.cancelled().await,
            Self::There(remote) => remote.event(Request::Cancelled).await,
        }
    }

    pub async fn sleep_until(&self, deadline: u64) {
        match self {
            Self::Here(recorder) => recorder.sleep_until(deadline).await,
            Self::There(remote) => remote.event(Request::SleepUntil { deadline }).await,
        }
    }

    pub fn begin_wait(&self) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.begin_wait(),
            Self::There(remote) => remote.ask(Request::BeginWait),
        }
    }

    pub fn idles(&self, suspension: Option<&Suspension>) {
        match self {
            Self::Here(recorder) => recorder.idles(suspension),
            Self::There(remote) => remote.look(Request::Idles { suspension: suspension.cloned() }),
        }
    }

    pub fn wait_to_leave(&self) -> LeaveWait {
        match self {
            Self::Here(recorder) => LeaveWait::Here(recorder.wait_to_leave()),
            Self::There(remote) => LeaveWait::There(RemoteWait::begin(remote)),
        }
    }

    pub fn news(&self) -> watch::Receiver<u64> {
        match self {
            Self::Here(recorder) => recorder.news(),
            Self::There(remote) => remote.news(),
        }
    }

    pub fn waits_for(&self, on: &[WakeOn]) {
        match self {
            Self::Here(recorder) => recorder.waits_for(on),
            Self::There(remote) => remote.look(Request::WaitsFor { on: on.to_vec() }),
        }
    }

    pub async fn is_met(&self, on: &WakeOn) -> Recorded<bool> {
        match self {
            Self::Here(recorder) => recorder.is_met(on).await,
            Self::There(remote) => remote.ask(Request::IsMet { on: on.clone() }),
        }
    }

    pub fn extended_deadline(&self, on: &WakeOn) -> Option<u64> {
        match self {
            Self::Here(recorder) => recorder.extended_deadline(on),
            Self::There(remote) => remote.look(Request::ExtendedDeadline { on: on.clone() }),
        }
    }
}
