use serde::{Deserialize, Serialize};

use super::error::FailedReason;
use crate::clock::UnixNanos;

/// Where a task stands. The reasons are part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Queued(QueuedReason),
    Running,
    Waiting(WaitingReason),
    Completed,
    Failed(FailedReason),
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueuedReason {
    New,
    Retry,
    Interrupted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitingReason {
    Input,
    Message,
    Timer,
    Child,
    /// Another version of an entry of shared state.
    State,
    /// For its component to be unblocked.
    Blocked(Blocked),
    /// The answer of a model that the operator has configured.
    Model,
}

/// How a task of a blocked component stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// Its total time does not count from here on.
    pub since: UnixNanos,
    was: Before,
}

/// Where it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Before {
    New,
    Retry,
    Interrupted,
    Input,
    Message,
    Timer,
    Child,
    State,
    Model,
}

/// A fact about a task that changes where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// An instance was given to it: the first, or the next after a crash, a retry or an eviction.
    Started,
    /// Its instance left memory until something happens.
    Suspended(WaitingReason),
    /// The process that ran it died, or was stopped.
    Interrupted,
    /// Its component was blocked, at this time.
    Blocked(UnixNanos),
    Unblocked,
    /// It failed and its policy tries again.
    RetryScheduled,
    /// Its owner tries again.
    Retried,
    /// Its owner says what became of an operation whose outcome was unknown: it goes on from there.
    Settled,
    Completed,
    Failed(FailedReason),
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {from} cannot have the event {event:?}")]
pub struct IllegalTransition {
    from: State,
    event: TaskEvent,
}

impl State {
    /// The one transition table, for running tasks and for recovery alike.
    pub fn after(self, event: TaskEvent) -> Result<State, IllegalTransition> {
        use TaskEvent as E;
        match (self, event) {
            (Self::Waiting(WaitingReason::Blocked(blocked)), E::Unblocked) => Ok(blocked.was.state()),
            (Self::Waiting(WaitingReason::Blocked(_)), E::Started | E::Blocked(_)) => {
                Err(IllegalTransition { from: self, event })
            }
            (Self::Queued(_) | Self::Waiting(_), E::Started) => Ok(Self::Running),
            (Self::Queued(_) | Self::Running | Self::Waiting(_), E::Blocked(since)) => {
                let was = Before::of(self).ok_or(IllegalTransition { from: self, event })?;
                Ok(Self::Waiting(WaitingReason::Blocked(Blocked { since, was })))
            }
            (Self::Running, E::Suspended(reason)) => Ok(Self::Waiting(reason)),
            (Self::Running, E::Interrupted) => Ok(Self::Queued(QueuedReason::Interrupted)),
            (Self::Running, E::RetryScheduled) => Ok(Self::Queued(QueuedReason::Retry)),
            (Self::Running, E::Completed) => Ok(Self::Completed),
            // Also before it ran: the total time is over, its component is gone, its journal is damaged.
            (Self::Queued(_) | Self::Running | Self::Waiting(_), E::Failed(reason)) => {
                Ok(Self::Failed(reason))
            }
            (Self::Queued(_) | Self::Running | Self::Waiting(_), E::Cancelled) => Ok(Self::Cancelled),
            (Self::Failed(_) | Self::Cancelled, E::Retried) => Ok(Self::Queued(QueuedReason::Retry)),
            (
                Self::Waiting(WaitingReason::Input) | Self::Failed(FailedReason::UnknownOutcome),
                E::Settled,
            ) => Ok(Self::Queued(QueuedReason::Retry)),
            (from, event) => Err(IllegalTransition { from, event }),
        }
    }

    /// Whether nothing more happens to it by itself.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed(_) | Self::Cancelled)
    }

    /// How it stands still, where its component is blocked.
    pub fn blocked(self) -> Option<Blocked> {
        match self {
            Self::Waiting(WaitingReason::Blocked(blocked)) => Some(blocked),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Queued(_) => "queued",
            Self::Running => "running",
            Self::Waiting(_) => "waiting",
            Self::Completed => "completed",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn reason(self) -> Option<&'static str> {
        Some(match self {
            Self::Queued(QueuedReason::New) => "new",
            Self::Queued(QueuedReason::Retry) => "retry",
            Self::Queued(QueuedReason::Interrupted) => "interrupted",
            Self::Waiting(WaitingReason::Input) => "input",
            Self::Waiting(WaitingReason::Message) => "message",
            Self::Waiting(WaitingReason::Timer) => "timer",
            Self::Waiting(WaitingReason::Child) => "child",
            Self::Waiting(WaitingReason::State) => "state",
            Self::Waiting(WaitingReason::Blocked(_)) => "blocked",
            Self::Waiting(WaitingReason::Model) => "model",
            Self::Failed(reason) => reason.as_str(),
            Self::Running | Self::Completed | Self::Cancelled => return None,
        })
    }
}

impl Before {
    fn of(state: State) -> Option<Self> {
        Some(match state {
            State::Queued(QueuedReason::New) => Self::New,
            State::Queued(QueuedReason::Retry) => Self::Retry,
            // Its instance left memory, as with the process that ran it.
            State::Queued(QueuedReason::Interrupted) | State::Running => Self::Interrupted,
            State::Waiting(WaitingReason::Input) => Self::Input,
            State::Waiting(WaitingReason::Message) => Self::Message,
            State::Waiting(WaitingReason::Timer) => Self::Timer,
            State::Waiting(WaitingReason::Child) => Self::Child,
            State::Waiting(WaitingReason::State) => Self::State,
            State::Waiting(WaitingReason::Model) => Self::Model,
            State::Waiting(WaitingReason::Blocked(_))
            | State::Completed
            | State::Failed(_)
            | State::Cancelled => return None,
        })
    }

    fn state(self) -> State {
        match self {
            Self::New => State::Queued(QueuedReason::New),
            Self::Retry => State::Queued(QueuedReason::Retry),
            Self::Interrupted => State::Queued(QueuedReason::Interrupted),
            Self::Input => State::Waiting(WaitingReason::Input),
            Self::Message => State::Waiting(WaitingReason::Message),
            Self::Timer => State::Waiting(WaitingReason::Timer),
            Self::Child => State::Waiting(WaitingReason::Child),
            Self::State => State::Waiting(WaitingReason::State),
            Self::Model => State::Waiting(WaitingReason::Model),
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.reason() {
            Some(reason) => write!(f, "{} ({reason})", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

/// One of each kind that events tell apart, for tables.
#[doc(hidden)]
pub const EXAMPLES: [State; 9] = [
    State::Queued(QueuedReason::New),
    State::Running,
    State::Waiting(WaitingReason::Timer),
    State::Waiting(WaitingReason::Input),
    State::Waiting(WaitingReason::Blocked(Blocked { since: 2_000, was: Before::Timer })),
    State::Completed,
    State::Failed(FailedReason::Trap),
    State::Failed(FailedReason::UnknownOutcome),
    State::Cancelled,
];

#[cfg(test)]
mod tests {
    use super::*;
    use TaskEvent as E;

    use super::EXAMPLES as STATES;
    const EVENTS: [TaskEvent; 11] = [
        E::Started,
        E::Suspended(WaitingReason::Timer),
        E::Interrupted,
        E::Blocked(1),
        E::Unblocked,
        E::RetryScheduled,
        E::Retried,
        E::Settled,
        E::Completed,
        E::Failed(FailedReason::Trap),
        E::Cancelled,
    ];

    /// The whole table, drawn: a row a state, a column an event, in the order above; `.` is refused.
    #[test]
    fn the_table_is_what_is_drawn_here() {
        let drawn: Vec<String> = STATES
            .iter()
            .map(|state| {
                EVENTS
                    .iter()
                    .map(|event| state.after(*event).map_or(".", |next| &next.name()[..1]))
                    .collect::<String>()
            })
            .collect();
        // started suspended interrupted blocked unblocked retry-scheduled retried settled completed failed cancelled
        let expected = [
            "r..w.....fc",
            ".wqw.q..cfc",
            "r..w.....fc",
            "r..w...q.fc",
            "....w....fc",
            "...........",
            "......q....",
            "......qq...",
            "......q....",
        ];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn an_unblocked_task_stands_where_it_stood() {
        let queued = [QueuedReason::New, QueuedReason::Retry, QueuedReason::Interrupted].map(State::Queued);
        let waiting = [
            WaitingReason::Input,
            WaitingReason::Message,
            WaitingReason::Timer,
            WaitingReason::Child,
            WaitingReason::State,
        ];
        for state in queued.into_iter().chain(waiting.map(State::Waiting)) {
            let blocked = state.after(E::Blocked(7)).expect("blocked");
            assert_eq!(blocked.blocked().map(|blocked| blocked.since), Some(7), "{state}");
            assert_eq!(blocked.after(E::Unblocked), Ok(state));
        }
        let blocked = State::Running.after(E::Blocked(7)).expect("blocked");
        assert_eq!(blocked.after(E::Unblocked), Ok(State::Queued(QueuedReason::Interrupted)));
    }

    #[test]
    fn a_completed_task_never_changes() {
        for event in EVENTS {
            assert!(State::Completed.after(event).is_err(), "{event:?}");
        }
    }
}
