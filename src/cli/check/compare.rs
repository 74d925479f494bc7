//! What an interrupted run did otherwise than the undisturbed one.

use serde::Serialize;

use super::drive::Run;
use super::play::SentRequest;
use super::stage::Cut;
use crate::task::{FailedReason, State};

/// What an interruption led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// After which record, or while which request was out.
    #[serde(flatten)]
    pub at: At,
    pub kind: Kind,
    pub words: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    Record(u64),
    Request(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Replay did otherwise than the journal says.
    Diverged,
    UnknownOutcome,
    /// The task came to another end.
    End,
    Result,
    Log,
    Output,
    /// Its folders hold something else.
    Files,
    Journal,
    Requests,
}

impl At {
    pub fn of(cut: Cut, undisturbed: &Run) -> Option<Self> {
        match cut {
            Cut::Never => None,
            Cut::Record(record) => Some(Self::Record(record)),
            Cut::Request(number) => {
                let request = undisturbed.requests.get(number - 1)?;
                Some(Self::Request(request.line.clone()))
            }
        }
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Record(record) => write!(f, "killed after record {record}"),
            Self::Request(line) => write!(f, "killed while {line} was out"),
        }
    }
}

/// The first of what differs, in the order in which it matters.
pub fn differs(undisturbed: &Run, other: &Run) -> Option<(Kind, String)> {
    end(undisturbed, other).or_else(|| content(undisturbed, other)).or_else(|| doings(undisturbed, other))
}

fn end(undisturbed: &Run, other: &Run) -> Option<(Kind, String)> {
    let why = other.view.error.as_ref().map(|error| error.message.clone());
    if let Some(step) = other.view.unknown_step {
        return Some((
            Kind::UnknownOutcome,
            format!("operation {step} waits for a person to say what became of it"),
        ));
    }
    match other.view.state {
        state if state == undisturbed.view.state => None,
        State::Failed(FailedReason::Diverged) => Some((Kind::Diverged, why.unwrap_or_default())),
        State::Failed(FailedReason::UnknownOutcome) => Some((Kind::UnknownOutcome, why.unwrap_or_default())),
        state => {
            let because = why.map(|why| format!(": {why}")).unwrap_or_default();
            let was = undisturbed.view.state;
            Some((
                Kind::End,
                format!("the task is {}{because}; undisturbed it is {}", state.name(), was.name()),
            ))
        }
    }
}

fn content(undisturbed: &Run, other: &Run) -> Option<(Kind, String)> {
    if undisturbed.result != other.result {
        return Some((Kind::Result, "the result is another one".to_owned()));
    }
    if undisturbed.log != other.log {
        let line = first_other(&undisturbed.log, &other.log);
        return Some((Kind::Log, format!("the log is another one, from line {line} on")));
    }
    if undisturbed.outputs != other.outputs {
        let same = |(one, two): &(&_, &_)| one == two;
        let equal = undisturbed.outputs.iter().zip(&other.outputs).take_while(same).count();
        let meta = undisturbed.outputs.get(equal).or_else(|| other.outputs.get(equal));
        let name = meta.map(|(meta, _)| meta.name.as_str()).unwrap_or_default();
        return Some((Kind::Output, format!("the output '{name}' is another one")));
    }
    let (was, is) = (&undisturbed.left, &other.left);
    let mut names = was.keys().chain(is.keys());
    let differs = names.find(|name| was.get(*name) != is.get(*name));
    differs.map(|name| (Kind::Files, format!("{name} in its folders is another one, or is not there")))
}

fn first_other(one: &[u8], other: &[u8]) -> usize {
    let lines = |log: &[u8]| log.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (one, other) = (lines(one), lines(other));
    one.iter().zip(&other).take_while(|(one, other)| one == other).count() + 1
}

fn doings(undisturbed: &Run, other: &Run) -> Option<(Kind, String)> {
    // What is under way together may come back in another order.
    let sorted = |run: &Run| {
        let mut calls = run.calls.clone();
        calls.sort_unstable();
        calls
    };
    if sorted(undisturbed) != sorted(other) {
        let (was, is) = (undisturbed.calls.len(), other.calls.len());
        return Some((
            Kind::Journal,
            format!("the journal holds other calls of the host: {is} of them, undisturbed {was}"),
        ));
    }
    let (was, is) = (distinct(&undisturbed.requests), distinct(&other.requests));
    if was != is {
        let more = is.iter().find(|request| !was.contains(request));
        let less = was.iter().find(|request| !is.contains(request));
        let line = more.or(less).map(|request| request.line.as_str()).unwrap_or_default();
        return Some((Kind::Requests, format!("other requests leave: {line}")));
    }
    None
}

fn distinct(requests: &[SentRequest]) -> Vec<&SentRequest> {
    let mut requests: Vec<_> = requests.iter().collect();
    requests.sort();
    requests.dedup();
    requests
}

/// Requests that left more than once, each with its idempotency key where it has one.
pub fn sent_again(undisturbed: &Run, other: &Run) -> usize {
    other.requests.len().saturating_sub(undisturbed.requests.len())
}
