//! What the end of a worker means to the tasks that ran there.

use super::outcome::cut;
use crate::engine::Outcome;
use crate::launch::End;
use crate::limits;

/// Signals that a process is sent for what it does itself, and their names.
const OWN_FAULTS: [(i32, &str); 9] = [
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (8, "SIGFPE"),
    (11, "SIGSEGV"),
    // Of the processor's time, of a file's size, and of a call that is not allowed.
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
    (31, "SIGSYS"),
];
#[cfg(target_os = "linux")]
const SIGBUS: i32 = 7;
#[cfg(not(target_os = "linux"))]
const SIGBUS: i32 = 10;

/// How a worker came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    /// By what ran in it: its guests would bring it there again.
    OwnFault(String),
    /// By what is not theirs: their tasks go on by replay.
    FromOutside(String),
}

impl Death {
    /// `complained` is what it said last.
    pub fn of(end: End, complained: &str) -> Self {
        let said = match complained.trim() {
            "" => String::new(),
            words => format!("; it said: {}", cut(words.to_owned(), limits::MAX_WORKER_WORDS_BYTES)),
        };
        let signal = match end {
            End::Signal(signal) => signal,
            End::Code(code) => {
                let words = format!("the worker process of this component ended with status {code}{said}");
                return Self::OwnFault(words);
            }
        };
        let own = OWN_FAULTS.into_iter().chain([(SIGBUS, "SIGBUS")]).find(|(number, _)| *number == signal);
        match own {
            Some((_, name)) => {
                Self::OwnFault(format!("the worker process of this component died of {name}{said}"))
            }
            None => Self::FromOutside(format!(
                "the worker process of this component was killed from outside (signal {signal}), as a machine does that \
                 has no memory left{said}"
            )),
        }
    }

    /// It said what no worker says, and was killed for it.
    pub fn of_misconduct(why: &std::io::Error) -> Self {
        Self::OwnFault(format!(
            "the worker process of this component was ended, for it broke its protocol: {why}"
        ))
    }

    pub fn of_slow_start() -> Self {
        Self::FromOutside(format!(
            "the worker process of this component was not ready within {} s (MAX_WORKER_START_SECONDS)",
            limits::MAX_WORKER_START_SECONDS
        ))
    }

    /// A guest did not end in time, and its worker was killed for it.
    pub fn of_delay() -> Self {
        Self::FromOutside(format!(
            "the worker process of this component was ended, for one of its guests did not stop within {} s \
             (WORKER_STOP_SECONDS)",
            limits::WORKER_STOP_SECONDS
        ))
    }

    /// Of the tasks that ran there.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::OwnFault(words) => Outcome::Trap { message: words.clone(), backtrace: None },
            Self::FromOutside(words) => Outcome::HostFault { message: words.clone() },
        }
    }

    pub fn words(&self) -> &str {
        match self {
            Self::OwnFault(words) | Self::FromOutside(words) => words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_its_own_is_a_trap_and_a_kill_an_interruption() {
        for (end, is_own, words) in [
            (End::Signal(11), true, "died of SIGSEGV; it said: oh"),
            (End::Signal(6), true, "died of SIGABRT"),
            (End::Signal(SIGBUS), true, "died of SIGBUS"),
            (End::Code(3), true, "ended with status 3"),
            (End::Signal(9), false, "killed from outside (signal 9)"),
            (End::Signal(15), false, "(signal 15)"),
            (End::Signal(2), false, "(signal 2)"),
        ] {
            let death = Death::of(end, " oh\n");
            assert_eq!(matches!(death.outcome(), Outcome::Trap { .. }), is_own, "{death:?}");
            assert!(death.words().contains(words), "{death:?}");
        }
        assert!(!Death::of(End::Signal(9), "").words().contains("it said"));
    }
}
