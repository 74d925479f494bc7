//! A trace in types: what a task did and when.

use std::ops::ControlFlow;
use std::time::Duration;

use super::tasks::own;
use crate::authority::Principal;
use crate::clock::UnixNanos;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::trace::{
    BlockReader, Line, Mark, MarkKind, Number, Progress, Step, StepKind, Totals, place_of,
};
use crate::store::{Snapshot, Space, StoreError};
use crate::task::{Status, TaskId};

/// What a task did, in the order in which it began.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepsView {
    pub task: TaskId,
    /// What came before, where the trace grew past its bound.
    pub folded: Option<FoldedSteps>,
    pub entries: Vec<TraceView>,
    /// Rows of the trace that cannot be read; what stood in them is missing here.
    pub unreadable: u64,
}

/// The oldest steps, of which the number is left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoldedSteps {
    pub steps: u64,
    /// Those of which there are any.
    pub by_kind: Vec<(StepKind, u64)>,
    /// Attempts, evictions and the like.
    pub marks: u64,
    pub from: UnixNanos,
    pub to: UnixNanos,
}

/// An entry of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceView {
    Step(StepView),
    Mark(MarkView),
}

/// What the task did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepView {
    pub kind: StepKind,
    /// As the tool named it.
    pub label: String,
    pub started_at: UnixNanos,
    /// `None` while it is under way.
    pub took: Option<Duration>,
    pub state: StepState,
    pub attempt: u64,
    /// Its record in the journal, which [`TaskEngine::retry`] takes.
    pub record: Option<u64>,
    /// Its operation, which [`TaskEngine::resolve`] takes.
    pub operation: Option<u64>,
}

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepState {
    UnderWay,
    Done,
    GivenUp,
    /// The try ended before it did.
    CutOff,
}

/// What was done with the task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkView {
    pub kind: MarkKind,
    pub about: Option<String>,
    pub at: UnixNanos,
    pub attempt: u64,
    /// How many records were replayed, and how long that took.
    pub records: Option<u64>,
    pub took: Option<Duration>,
    /// What the owner named.
    pub step: Option<u64>,
}

impl TaskEngine {
    /// What a task did, as far as that is on disk.
    pub async fn steps(&self, principal: &Principal, id: TaskId) -> Result<StepsView, EngineError> {
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

fn read(snapshot: &Snapshot<'_>, id: TaskId, status: &Status) -> Result<StepsView, StoreError> {
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
    Ok(story.view(id, status))
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

    fn view(mut self, id: TaskId, status: &Status) -> StepsView {
        self.sort_section();
        if let Some(at) = status.ended_at {
            self.cut_off();
            let label = status.state.to_string().into();
            let mark = Mark { kind: MarkKind::Ended, label, at: at / 1_000, a: 0, b: 0 };
            let attempt = u64::from(status.attempt);
            self.lines.push(Shown { line: Line::Mark(mark), attempt, is_cut_off: false });
        }
        let folded = self.folded.filter(|folded| folded.count() + folded.marks > 0);
        StepsView {
            task: id,
            folded: folded.as_ref().map(FoldedSteps::of),
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

    fn entry(&self) -> TraceView {
        match &self.line {
            Line::Step(step) => TraceView::Step(self.step(step)),
            Line::Mark(mark) => TraceView::Mark(self.mark(mark)),
        }
    }

    fn step(&self, step: &Step) -> StepView {
        let (took, state) = match step.progress {
            Progress::Begun { .. } if self.is_cut_off => (None, StepState::CutOff),
            Progress::Begun { .. } => (None, StepState::UnderWay),
            Progress::Done { took } => (Some(took), StepState::Done),
            Progress::GivenUp { took } => (Some(took), StepState::GivenUp),
        };
        let (record, operation) = match step.number {
            Number::Record(number) => (Some(number), None),
            Number::Operation(number) => (None, Some(number)),
        };
        StepView {
            kind: step.kind,
            label: step.label.to_string(),
            started_at: nanos(step.at),
            took: took.map(Duration::from_micros),
            state,
            attempt: self.attempt,
            record,
            operation,
        }
    }

    fn mark(&self, mark: &Mark) -> MarkView {
        let is_replay = mark.kind == MarkKind::Replayed;
        MarkView {
            kind: mark.kind,
            about: (!mark.label.is_empty()).then(|| mark.label.to_string()),
            at: nanos(mark.at),
            attempt: self.attempt,
            records: is_replay.then_some(mark.a),
            took: is_replay.then(|| Duration::from_micros(mark.b)),
            step: mark.b.checked_sub(1).filter(|_| mark.kind == MarkKind::Reopened),
        }
    }
}

impl FoldedSteps {
    fn of(folded: &Totals) -> Self {
        let counts = StepKind::ALL.iter().copied().zip(folded.steps).filter(|(_, count)| *count > 0);
        Self {
            steps: folded.count(),
            by_kind: counts.collect(),
            marks: folded.marks,
            from: nanos(folded.first),
            to: nanos(folded.last),
        }
    }
}

fn nanos(micros: u64) -> UnixNanos {
    micros.saturating_mul(1_000)
}
