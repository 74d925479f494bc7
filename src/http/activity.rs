//! What one connection is doing, and since when: from it follows when the connection is given up, and whether it may be
//! closed to make room for another one.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::in_flight::InFlight;
use super::owner::Peer;
use crate::authority::Principal;
use crate::limits;
use crate::shares::{Account, Held, Pool, Refusal, STRANGERS};

/// How long each part of a connection's life may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub head: Duration,
    pub idle: Duration,
    pub unread: Duration,
    /// A connection is looked at at least so often.
    pub look: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(limits::REQUEST_HEAD_SECONDS),
            idle: Duration::from_secs(limits::IDLE_CONNECTION_SECONDS),
            unread: Duration::from_secs(limits::UNREAD_ANSWER_SECONDS),
            look: Duration::from_secs(limits::CONNECTION_LOOK_SECONDS),
        }
    }
}

/// Why a connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Late {
    #[error("the head of a request did not end in time")]
    Head,
    #[error("there was no request for too long")]
    Idle,
    #[error("the answer is not read")]
    Unread,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A request's head is expected or on its way.
    Head,
    /// From the end of the head to the end of the answer.
    Answering,
    Idle,
}

/// Written by the connection's own task, read by the one that accepts as well.
pub struct Activity {
    pub peer: Peer,
    account: Arc<Account>,
    patience: Patience,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    since: Instant,
    /// Bytes of answers that the system took.
    written: u64,
    /// What is to be written is not all with the system.
    is_unflushed: bool,
    /// Since when the system has had no room for all of it, and what had been written then.
    blocked: Option<(Instant, u64)>,
    /// What the requests hold whose answers are not all with the system.
    held: Vec<InFlight>,
    /// Parts of answers, which they hold besides.
    parts: Option<Held>,
    /// Whose the request is that is answered.
    whose: Option<Principal>,
}

impl Activity {
    pub fn new(account: Arc<Account>, peer: Peer, patience: Patience, now: Instant) -> Self {
        let state = State {
            phase: Phase::Head,
            since: now,
            written: 0,
            is_unflushed: false,
            blocked: None,
            held: Vec::new(),
            parts: None,
            whose: None,
        };
        Self { peer, account, patience, state: Mutex::new(state) }
    }

    /// Notes that bytes arrived.
    pub fn read(&self, now: Instant) {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            state.enter(Phase::Head, now);
        }
    }

    /// Notes that a request's head is whole.
    pub fn begin_answer(&self, now: Instant) {
        self.lock().enter(Phase::Answering, now);
    }

    /// Notes that the answer's body has ended, or was given up. What hyper has of it is written out after that.
    pub fn end_answer(&self, now: Instant) {
        let mut state = self.lock();
        state.enter(Phase::Idle, now);
        state.is_unflushed = true;
    }

    /// Notes that the connection is a listener's from now on, which holds none of what its request did.
    pub fn begin_stream(&self, now: Instant) {
        let mut state = self.lock();
        state.enter(Phase::Answering, now);
        state.is_unflushed = false;
        state.parts = None;
        state.held.clear();
    }

    /// Keeps what a request holds until its answer is with the system, or the connection is gone.
    pub fn hold(&self, whose: &Principal, in_flight: InFlight) {
        let mut state = self.lock();
        state.held.push(in_flight);
        state.whose = Some(whose.clone());
    }

    /// Takes so much for a part of an answer, where that is more than a connection may hold anyway and the answer was not
    /// taken as a whole.
    pub fn take_part(&self, bytes: usize) -> Result<(), Refusal> {
        if bytes <= limits::MAX_CONNECTION_BUFFER_BYTES {
            return Ok(());
        }
        let mut state = self.lock();
        let State { parts, whose, held, .. } = &mut *state;
        if held.last().is_some_and(InFlight::has_answer) {
            return Ok(());
        }
        let who = whose.as_ref().map_or(STRANGERS, Principal::name);
        match parts {
            Some(parts) => parts.grow(bytes as u64),
            None => self.account.take(Pool::AnswerBytes, who, bytes as u64).map(|held| *parts = Some(held)),
        }
    }

    /// Notes what became of a write.
    pub fn write<E>(&self, done: &Poll<Result<usize, E>>, now: Instant) {
        let mut state = self.lock();
        state.is_unflushed = true;
        match done {
            Poll::Ready(Ok(bytes)) => state.written += *bytes as u64,
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let written = state.written;
                state.blocked.get_or_insert((now, written));
            }
        }
    }

    /// Notes that the system has all that was to be written.
    pub fn flush(&self) {
        let mut state = self.lock();
        (state.is_unflushed, state.blocked) = (false, None);
        state.give_back();
    }

    /// Since when nothing is under way, if that is so: such a connection may be closed and nothing is lost.
    pub fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        (state.phase != Phase::Answering && !state.is_unflushed).then_some(state.since)
    }

    /// When to look again, or why the connection is given up.
    pub fn look(&self, now: Instant) -> Result<Instant, Late> {
        let mut state = self.lock();
        let due = match state.phase {
            Phase::Head => Some((state.since + self.patience.head, Late::Head)),
            Phase::Idle => Some((state.since + self.patience.idle, Late::Idle)),
            Phase::Answering => None,
        };
        // What waits to be read is looked at first: the next request waits for that.
        if let Some((since, before)) = state.blocked {
            let due = since + self.patience.unread;
            if now < due {
                return Ok(due.min(now + self.patience.look));
            }
            if state.written - before < limits::MIN_READ_BYTES {
                return Err(Late::Unread);
            }
            state.blocked = Some((now, state.written));
            return Ok(now + self.patience.look);
        }
        match due {
            Some((due, why)) if due <= now => Err(why),
            Some((due, _)) => Ok(due.min(now + self.patience.look)),
            None => Ok(now + self.patience.look),
        }
    }

    /// Ends when the connection is to be given up.
    pub async fn late(&self) -> Late {
        loop {
            match self.look(Instant::now()) {
                Ok(again) => tokio::time::sleep_until(again).await,
                Err(why) => return why,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn enter(&mut self, phase: Phase, now: Instant) {
        (self.phase, self.since) = (phase, now);
    }

    /// Once all of an answer is with the system, nothing of its request is held.
    fn give_back(&mut self) {
        self.parts = None;
        if self.phase != Phase::Answering {
            self.held.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares::Bounds;

    const SECOND: Duration = Duration::from_secs(1);

    fn activity(begin: Instant) -> Activity {
        let patience =
            Patience { head: 10 * SECOND, idle: 100 * SECOND, unread: 30 * SECOND, look: 5 * SECOND };
        let peer = Peer::new(std::net::Ipv4Addr::LOCALHOST.into(), false);
        Activity::new(Account::new(Bounds::default()), peer, patience, begin)
    }

    /// Looks as often as it is asked to: why it is given up, and how long after `from`; `None` after an hour.
    fn late_after(activity: &Activity, from: Instant) -> Option<(Late, u64)> {
        let mut now = from;
        while now < from + 3_600 * SECOND {
            match activity.look(now) {
                Ok(again) => now = again,
                Err(why) => return Some((why, (now - from).as_secs())),
            }
        }
        None
    }

    #[test]
    fn each_part_of_its_life_has_its_time() {
        let begin = Instant::now();
        let activity = activity(begin);
        assert_eq!(late_after(&activity, begin), Some((Late::Head, 10)));
        activity.begin_answer(begin);
        assert_eq!(late_after(&activity, begin), None, "an answer takes as long as it takes");
        assert_eq!(activity.idle_since(), None);
        activity.end_answer(begin + SECOND);
        assert_eq!(activity.idle_since(), None, "it is not written yet");
        activity.flush();
        assert_eq!(late_after(&activity, begin), Some((Late::Idle, 101)));
        activity.read(begin + 50 * SECOND);
        assert_eq!(late_after(&activity, begin), Some((Late::Head, 60)));
    }

    #[test]
    fn an_answer_must_be_read_at_some_rate() {
        let begin = Instant::now();
        let activity = activity(begin);
        let pending: Poll<Result<usize, ()>> = Poll::Pending;
        let some = |bytes| Poll::Ready(Ok::<usize, ()>(bytes));
        activity.begin_answer(begin);
        activity.write(&pending, begin);
        // The whole of it is with hyper, and not with the system.
        activity.end_answer(begin);
        assert_eq!(activity.idle_since(), None);
        activity.write(&some(limits::MIN_READ_BYTES as usize), begin + SECOND);
        activity.write(&pending, begin + SECOND);
        assert!(activity.look(begin + 30 * SECOND).is_ok(), "enough was read in that time");
        activity.write(&some(1), begin + 31 * SECOND);
        assert_eq!(late_after(&activity, begin + 31 * SECOND), Some((Late::Unread, 29)));
        // Once all of it is with the system, it is the next request's turn.
        activity.flush();
        assert_eq!(activity.idle_since(), Some(begin));
        assert_eq!(late_after(&activity, begin + 60 * SECOND), Some((Late::Idle, 40)));
    }
}
