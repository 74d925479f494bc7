//! A trace for people and programs: `longhaul task show ID --steps` and `task://{id}/steps`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::tasks::own;
use crate::authority::Principal;
use crate::catalog::show_hidden;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::text::rfc3339;
use crate::engine::trace::{
    BlockReader, Line, Mark, MarkKind, Number, Progress, Step, StepKind, Totals, place_of,
};
use crate::store::{Snapshot, Space, StoreError};
use crate::task::{Status, TaskId};

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

impl TaskEngine {
    /// What a task did, as far as that is on disk.
    pub async fn steps(&self, principal: &Principal, id: TaskId) -> Result<StepsDocument, EngineError> {
        let principal = principal.clone();
        let found = self
            .shared
            .store
            .read_long(move |snapshot| {
                let Some((_, status)) = own(snapshot, &principal, id)? else { return Ok(None) };
                read(snapshot, id, &status).map(Some)
            })
            .await?;
        found.ok_or(EngineError::NoSuchTask(id))
    }
}

fn read(snapshot: &Snapshot<'_>, id: TaskId, status: &Status) -> Result<StepsDocument, StoreError> {
    let mut story = Story::default();
    let (mut block, mut reader) = (None, BlockReader::default());
    snapshot.scan_prefix(Space::Trace, id.as_bytes(), false, |key, value| {
        let Some((number, row)) = place_of(key) else { return ControlFlow::Continue(()) };
        if block.replace(number) != Some(number) {
            reader = BlockReader::default();
        }
        match reader.read(row, value, |line| story.add(line)) {
            Some(before) => story.begins_with(before),
            None => story.unreadable += 1,
        }
        ControlFlow::Continue(())
    })?;
    Ok(story.document(id, status))
}

struct Shown {
    line: Line,
    attempt: u64,
    /// It was under way when the try ended or a checkpoint took its number away.
    is_cut_off: bool,
}

/// The lines of a trace, put in order.
#[derive(Default)]
pub struct Story {
    folded: Option<Totals>,
    lines: Vec<Shown>,
    /// Where the present instance begins among them.
    section: usize,
    attempt: u64,
    unreadable: u64,
}

impl Story {
    fn begins_with(&mut self, before: Option<Totals>) {
        if let (None, Some(before)) = (&self.folded, before) {
            // The lines of its row up to the next attempt are of the one before.
            for shown in self.lines.iter_mut().filter(|shown| shown.attempt == 0) {
                shown.attempt = before.attempt;
            }
            self.attempt = self.attempt.max(before.attempt);
            self.folded = Some(before);
        }
    }

    fn add(&mut self, line: Line) {
        match &line {
            Line::Step(step) => {
                if step.kind == StepKind::Checkpoint {
                    self.cut_off();
                }
                if let Some(known) = self.lines.iter_mut().rev().find_map(|shown| shown.begun(step)) {
                    return known.clone_from(step);
                }
            }
            Line::Mark(mark) if mark.kind == MarkKind::Crashed => {
                self.sort_section();
                self.section = self.lines.len();
            }
            Line::Mark(mark) if mark.kind == MarkKind::Attempt => {
                self.sort_section();
                (self.section, self.attempt) = (self.lines.len() + 1, mark.a);
            }
            Line::Mark(mark) if mark.starts_over() => self.cut_off(),
            Line::Mark(_) => {}
        }
        self.lines.push(Shown { line, attempt: self.attempt, is_cut_off: false });
    }

    fn cut_off(&mut self) {
        for shown in &mut self.lines {
            shown.is_cut_off = true;
        }
    }

    /// Steps that overlap were written as they ended. In one moment replay ends, then steps begin, then the rest.
    fn sort_section(&mut self) {
        self.lines[self.section..].sort_by_key(|shown| match &shown.line {
            Line::Mark(mark) if mark.kind == MarkKind::Replayed => (mark.at, 0),
            Line::Step(step) => (step.at, 1),
            Line::Mark(mark) => (mark.at, 2),
        });
    }

    fn document(mut self, id: TaskId, status: &Status) -> StepsDocument {
        self.sort_section();
        if let Some(at) = status.ended_at {
            self.cut_off();
            let label = status.state.to_string().into();
            let mark = Mark { kind: MarkKind::Ended, label, at: at / 1_000, a: 0, b: 0 };
            let attempt = u64::from(status.attempt);
            self.lines.push(Shown { line: Line::Mark(mark), attempt, is_cut_off: false });
        }
        let folded = self.folded.filter(|folded| folded.count() + folded.marks > 0);
        StepsDocument {
            task: id.to_string(),
            folded: folded.as_ref().map(folded_document),
            entries: self.lines.iter().map(Shown::entry).collect(),
            unreadable: self.unreadable,
        }
    }
}

impl Shown {
    /// The same step as it began, which is then shown once.
    fn begun(&mut self, step: &Step) -> Option<&mut Step> {
        match &mut self.line {
            Line::Step(known)
                if matches!(known.progress, Progress::Begun { .. })
                    && (known.number, known.kind, known.at) == (step.number, step.kind, step.at)
                    && !self.is_cut_off =>
            {
                Some(known)
            }
            _ => None,
        }
    }

    fn entry(&self) -> TraceEntry {
        match &self.line {
            Line::Step(step) => self.step(step),
            Line::Mark(mark) => self.mark(mark),
        }
    }

    fn step(&self, step: &Step) -> TraceEntry {
        let (took_ms, state) = match step.progress {
            Progress::Begun { .. } if self.is_cut_off => (None, "cut_off"),
            Progress::Begun { .. } => (None, "under_way"),
            Progress::Done { took } => (Some(millis(took)), "done"),
            Progress::GivenUp { took } => (Some(millis(took)), "given_up"),
        };
        let (record, operation) = match step.number {
            Number::Record(number) => (Some(number), None),
            Number::Operation(number) => (None, Some(number)),
        };
        TraceEntry::Step {
            kind: step.kind.name().to_owned(),
            label: show_hidden(&step.label).into_owned(),
            started_at: time(step.at),
            took_ms,
            state: state.to_owned(),
            attempt: self.attempt,
            record,
            operation,
        }
    }

    fn mark(&self, mark: &Mark) -> TraceEntry {
        let is_replay = mark.kind == MarkKind::Replayed;
        TraceEntry::Mark {
            kind: mark.kind.name().to_owned(),
            about: (!mark.label.is_empty()).then(|| mark.label.to_string()),
            at: time(mark.at),
            attempt: self.attempt,
            records: is_replay.then_some(mark.a),
            took_ms: is_replay.then(|| millis(mark.b)),
            step: mark.b.checked_sub(1).filter(|_| mark.kind == MarkKind::Reopened),
        }
    }
}

fn folded_document(folded: &Totals) -> FoldedDocument {
    let counts = StepKind::ALL.iter().zip(folded.steps).filter(|(_, count)| *count > 0);
    FoldedDocument {
        steps: folded.count(),
        by_kind: counts.map(|(kind, count)| (kind.name().to_owned(), count)).collect(),
        marks: folded.marks,
        from: time(folded.first),
        to: time(folded.last),
    }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

fn time(micros: u64) -> String {
    rfc3339(micros.saturating_mul(1_000))
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
