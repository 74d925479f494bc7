//! A trace for people and programs: `longhaul task show ID --steps` and `task://{id}/steps`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text::shown;
use crate::clock::rfc3339;
use crate::engine::{FoldedSteps, MarkView, StepState, StepView, StepsView, TraceView};

/// What a task did, in the order in which it began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepsDocument {
    pub task: String,
    /// What came before, where the trace grew past its bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folded: Option<FoldedDocument>,
    pub entries: Vec<TraceEntry>,
    /// Rows of the trace that cannot be read; what stood in them is missing here.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreadable: u64,
}

/// The oldest steps, of which the number is left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldedDocument {
    pub steps: u64,
    pub by_kind: BTreeMap<String, u64>,
    /// Attempts, evictions and the like.
    pub marks: u64,
    pub from: String,
    pub to: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum TraceEntry {
    Step {
        /// `http`, `call`, `sleep`, …
        kind: String,
        label: String,
        started_at: String,
        /// Left out while it is under way.
        #[serde(skip_serializing_if = "Option::is_none")]
        took_ms: Option<f64>,
        /// `done`, `given_up` or `under_way`; `cut_off` where the try ended before it did.
        state: String,
        attempt: u64,
        /// Its record in the journal, which `task retry --from` takes.
        #[serde(skip_serializing_if = "Option::is_none")]
        record: Option<u64>,
        /// Its operation, which `task resolve --step` takes.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation: Option<u64>,
    },
    Mark {
        /// `attempt`, `replayed`, `evicted`, `crashed`, `stopped`, `failed`, `ended` or `reopened`.
        kind: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        about: Option<String>,
        at: String,
        attempt: u64,
        /// How many were replayed, and how long that took.
        #[serde(skip_serializing_if = "Option::is_none")]
        records: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        took_ms: Option<f64>,
        /// What the owner named.
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<u64>,
    },
}

impl From<StepsView> for StepsDocument {
    fn from(steps: StepsView) -> Self {
        Self {
            task: steps.task.to_string(),
            folded: steps.folded.map(FoldedDocument::from),
            entries: steps.entries.into_iter().map(TraceEntry::from).collect(),
            unreadable: steps.unreadable,
        }
    }
}

impl From<FoldedSteps> for FoldedDocument {
    fn from(folded: FoldedSteps) -> Self {
        let by_kind = folded.by_kind.into_iter().map(|(kind, count)| (kind.name().to_owned(), count));
        Self {
            steps: folded.steps,
            by_kind: by_kind.collect(),
            marks: folded.marks,
            from: rfc3339(folded.from),
            to: rfc3339(folded.to),
        }
    }
}

impl From<TraceView> for TraceEntry {
    fn from(entry: TraceView) -> Self {
        match entry {
            TraceView::Step(StepView {
                kind,
                label,
                started_at,
                took,
                state,
                attempt,
                record,
                operation,
            }) => Self::Step {
                kind: kind.name().to_owned(),
                label: shown(label),
                started_at: rfc3339(started_at),
                took_ms: took.map(millis),
                state: word(state).to_owned(),
                attempt,
                record,
                operation,
            },
            TraceView::Mark(MarkView { kind, about, at, attempt, records, took, step }) => Self::Mark {
                kind: kind.name().to_owned(),
                about,
                at: rfc3339(at),
                attempt,
                records,
                took_ms: took.map(millis),
                step,
            },
        }
    }
}

fn word(state: StepState) -> &'static str {
    match state {
        StepState::UnderWay => "under_way",
        StepState::Done => "done",
        StepState::GivenUp => "given_up",
        StepState::CutOff => "cut_off",
    }
}

fn millis(took: Duration) -> f64 {
    took.as_micros() as f64 / 1_000.0
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
