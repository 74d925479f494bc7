//! One line of a trace as bytes: a step, a mark, or a label that later lines name by its number. Pure.
//!
//! A line begins with a byte: its class in the upper three bits, the kind of step or mark in the lower five.
//!
//! ```text
//! label   0: length u8, text; it gets the next number of its block, from 2
//! done    1: label, start, varint took, number
//! given up 2: the same
//! begun   3: label, start, number, and for a record its kind u8 and its hash u64 LE
//! mark    4: label, at, varint a, varint b
//! label   = varint: 0 none, 1 `length u8, text` follow, else its number
//! start   = zigzag varint, microseconds since the end of the line before
//! number  = varint, doubled: the lowest bit says that it is an operation's
//! ```

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::journal::records::{put_varint, take_varint};
use crate::limits;

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $number:literal, $word:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum $name { $($(#[$each])* $variant = $number,)* }

        impl $name {
            /// In the order of their numbers, which run from 0 without a gap.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            pub(super) fn from_number(number: u8) -> Option<Self> {
                Self::ALL.get(usize::from(number)).copied()
            }
        }
    };
}

numbered! {
    /// What a step is. The numbers are on disk; there may be 32.
    StepKind {
        /// A step of a closure.
        Step = 0, "step";
        Sleep = 1, "sleep";
        /// For whatever the guest waits for; short ones are not shown.
        Wait = 2, "wait";
        Http = 3, "http";
        /// A call to another tool, from its start until its end is taken.
        Call = 4, "call";
        /// A call to another MCP server.
        Remote = 5, "remote";
        Question = 6, "question";
        Sample = 7, "sample";
        Roots = 8, "roots";
        /// A message that the guest waits for, from then until it takes it.
        Receive = 9, "receive";
        Send = 10, "send";
        Output = 11, "output";
        State = 12, "state";
        Checkpoint = 13, "checkpoint";
    }
}

numbered! {
    /// What happened to a task between its steps. The numbers are on disk; there may be 32.
    MarkKind {
        /// An instance begins; the label says why, `a` is the attempt.
        Attempt = 0, "attempt";
        /// Replay is over: `a` records in `b` microseconds.
        Replayed = 1, "replayed";
        /// The instance left memory until what the label names happens.
        Evicted = 2, "evicted";
        /// The server stopped in order; `a` is the attempt to come.
        Stopped = 3, "stopped";
        /// The try failed for the label's reason, and attempt `a` follows; where `b` is 1, from the start.
        Failed = 4, "failed";
        /// The task ended as the label says.
        Ended = 5, "ended";
        /// Its owner took the task up again as the label says, as attempt `a`, from the start or where `b` - 1 is the
        /// step.
        Reopened = 6, "reopened";
        /// The instance was lost without a word, which is seen when the next one begins; the label says why,
        /// where that is known.
        Crashed = 7, "crashed";
    }
}

impl MarkKind {
    /// Whether `a` is an attempt.
    pub fn names_attempt(self) -> bool {
        matches!(self, Self::Attempt | Self::Stopped | Self::Failed | Self::Reopened)
    }
}

/// Where a step stands: its record in the journal, or its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    Record(u64),
    Operation(u64),
}

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// With the call's kind and hash, where it is a record: the next instance finds it by them.
    Begun {
        call: Option<(u8, u64)>,
    },
    Done {
        took: u64,
    },
    GivenUp {
        took: u64,
    },
}

/// Times are microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub kind: StepKind,
    pub label: Arc<str>,
    pub at: u64,
    pub number: Number,
    pub progress: Progress,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub kind: MarkKind,
    pub label: Arc<str>,
    pub at: u64,
    pub a: u64,
    pub b: u64,
}

impl Mark {
    /// What was under way is not waited for any more.
    pub fn starts_over(&self) -> bool {
        matches!((self.kind, self.b), (MarkKind::Failed, 1) | (MarkKind::Reopened, 0))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Step(Step),
    Mark(Mark),
}

const LABEL: u8 = 0;
const DONE: u8 = 1;
const GIVEN_UP: u8 = 2;
const BEGUN: u8 = 3;
const MARK: u8 = 4;
const CLASS_SHIFT: u32 = 5;
const KIND_MASK: u8 = 0x1f;
const FIRST_LABEL: u64 = 2;

/// What a line takes at most, with its label.
pub const MAX_LINE_BYTES: usize = limits::MAX_TRACE_LABEL_BYTES + 64;

/// What the lines of a block share: where time stands, and their labels.
#[derive(Default)]
pub struct Context {
    pub cursor: u64,
    labels: Vec<Arc<str>>,
}

impl Context {
    pub fn at(cursor: u64) -> Self {
        Self { cursor, labels: Vec::new() }
    }

    /// How many labels have a number.
    pub fn labels(&self) -> usize {
        self.labels.len()
    }

    pub fn return_to(&mut self, cursor: u64, labels: usize) {
        self.cursor = cursor;
        self.labels.truncate(labels);
    }

    pub fn put_step(&mut self, out: &mut Vec<u8>, step: &Step) {
        let class = match step.progress {
            Progress::Done { .. } => DONE,
            Progress::GivenUp { .. } => GIVEN_UP,
            Progress::Begun { .. } => BEGUN,
        };
        let label = self.put_label(out, &step.label);
        out.push(class << CLASS_SHIFT | step.kind as u8);
        put_reference(out, label, &step.label);
        self.put_time(out, step.at);
        if let Progress::Done { took } | Progress::GivenUp { took } = step.progress {
            put_varint(out, took);
            self.cursor = step.at.saturating_add(took);
        }
        put_varint(
            out,
            match step.number {
                Number::Record(number) => number << 1,
                Number::Operation(number) => number << 1 | 1,
            },
        );
        if let (Progress::Begun { call }, Number::Record(_)) = (step.progress, step.number) {
            let (kind, hash) = call.unwrap_or_default();
            out.push(kind);
            out.extend_from_slice(&hash.to_le_bytes());
        }
    }

    pub fn put_mark(&mut self, out: &mut Vec<u8>, mark: &Mark) {
        let label = self.put_label(out, &mark.label);
        out.push(MARK << CLASS_SHIFT | mark.kind as u8);
        put_reference(out, label, &mark.label);
        self.put_time(out, mark.at);
        put_varint(out, mark.a);
        put_varint(out, mark.b);
    }

    /// Takes one line off the front, and the labels before it; `None` where the bytes are no line.
    pub fn take(&mut self, bytes: &mut &[u8]) -> Option<Line> {
        loop {
            let (head, rest) = bytes.split_first()?;
            *bytes = rest;
            let (class, kind) = (head >> CLASS_SHIFT, head & KIND_MASK);
            if class != LABEL {
                return self.take_line(bytes, class, kind);
            }
            let label = take_text(bytes)?;
            self.labels.push(label);
        }
    }

    fn take_line(&mut self, bytes: &mut &[u8], class: u8, kind: u8) -> Option<Line> {
        let label = match take_varint(bytes)? {
            0 => "".into(),
            1 => take_text(bytes)?,
            number => self.labels.get(usize::try_from(number - FIRST_LABEL).ok()?)?.clone(),
        };
        let at = self.cursor.wrapping_add_signed(unzigzag(take_varint(bytes)?));
        self.cursor = at;
        if class == MARK {
            let (kind, a, b) = (MarkKind::from_number(kind)?, take_varint(bytes)?, take_varint(bytes)?);
            return Some(Line::Mark(Mark { kind, label, at, a, b }));
        }
        let took = if class == BEGUN { 0 } else { take_varint(bytes)? };
        self.cursor = at.saturating_add(took);
        let number = take_varint(bytes)?;
        let number =
            if number & 1 == 0 { Number::Record(number >> 1) } else { Number::Operation(number >> 1) };
        let progress = match (class, number) {
            (DONE, _) => Progress::Done { took },
            (GIVEN_UP, _) => Progress::GivenUp { took },
            (BEGUN, Number::Operation(_)) => Progress::Begun { call: None },
            (BEGUN, Number::Record(_)) => {
                let (kind, rest) = bytes.split_first()?;
                let (hash, rest) = rest.split_first_chunk::<8>()?;
                *bytes = rest;
                Progress::Begun { call: Some((*kind, u64::from_le_bytes(*hash))) }
            }
            _ => return None,
        };
        Some(Line::Step(Step { kind: StepKind::from_number(kind)?, label, at, number, progress }))
    }

    /// The label's number, which is given here if it is new and there is one left.
    fn put_label(&mut self, out: &mut Vec<u8>, label: &Arc<str>) -> Option<u64> {
        if label.is_empty() {
            return None;
        }
        let known = self.labels.iter().rposition(|known| *known == *label);
        let number = match known {
            Some(number) => number,
            None if self.labels.len() >= limits::MAX_TRACE_LABELS => return None,
            None => {
                out.push(LABEL << CLASS_SHIFT);
                put_text(out, label);
                self.labels.push(label.clone());
                self.labels.len() - 1
            }
        };
        Some(number as u64 + FIRST_LABEL)
    }

    fn put_time(&mut self, out: &mut Vec<u8>, at: u64) {
        put_varint(out, zigzag(at.wrapping_sub(self.cursor) as i64));
        self.cursor = at;
    }
}

fn put_reference(out: &mut Vec<u8>, number: Option<u64>, label: &str) {
    match number {
        Some(number) => put_varint(out, number),
        None if label.is_empty() => put_varint(out, 0),
        None => {
            put_varint(out, 1);
            put_text(out, label);
        }
    }
}

/// Labels are cut to [`limits::MAX_TRACE_LABEL_BYTES`], which fit one byte, when they come in.
fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.as_bytes());
}

fn take_text(bytes: &mut &[u8]) -> Option<Arc<str>> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    *bytes = rest;
    Some(std::str::from_utf8(text).ok()?.into())
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
