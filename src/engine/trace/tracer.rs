//! A task's trace as it is written: in blocks of rows, of which the oldest goes when there are too many. Pure: times
//! are arguments, and rows are handed to the caller.
//!
//! A row is a version byte and lines. It is written again, longer, by each commit until it is long enough: many rows of
//! a few bytes would cost more than their bytes. The first row of a block begins with what was before it: where time
//! stood, the present attempt, the last mark and how many steps of each kind; and with the steps that were under way.
//! So a block is read without those before it, and what is folded is counted to the last step.

use std::borrow::Cow;

use super::line::{Context, Line, MAX_LINE_BYTES, Mark, MarkKind, Number, Progress, Step, StepKind};
use crate::engine::journal::records::{put_varint, take_varint};
use crate::limits;

/// Length of a row's key, which counts as the row itself does.
pub(super) const KEY_BYTES: usize = 22;
const ROW_VERSION: u8 = 1;
const BLOCK_BYTES: usize = limits::TRACE_BLOCK_KIB as usize * 1024;

/// What has been traced, in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub steps: [u64; StepKind::ALL.len()],
    pub marks: u64,
    pub first: u64,
    pub last: u64,
    /// The present one, or the one that the last mark says is to come.
    pub attempt: u64,
    pub last_mark: Option<MarkKind>,
}

/// What a commit is to write.
#[derive(Debug, PartialEq, Eq)]
pub enum Write<'a> {
    /// It may be there already, with the beginning of this value.
    Row { block: u32, row: u16, value: Cow<'a, [u8]> },
    /// All rows of this block go.
    Fold { block: u32 },
}

#[derive(Clone, Debug)]
struct Open {
    step: Step,
    /// Its beginning is on disk, or on its way there.
    is_written: bool,
    /// An earlier instance began it.
    is_earlier: bool,
}

pub struct Tracer {
    /// How many blocks are kept; 0 where nothing is traced.
    kept: u32,
    /// The oldest block that is there.
    first: u32,
    block: u32,
    /// Number of the row in the block that is being written.
    row: u16,
    /// Bytes of the block's rows before that one.
    used: usize,
    context: Context,
    /// That row, as far as there are lines for it.
    lines: Vec<u8>,
    /// How much of it is on its way to the disk.
    taken: usize,
    /// How much of it will be, with what was drafted last.
    drafted: usize,
    /// What filled up before it was taken.
    full: Vec<Write<'static>>,
    /// Steps that were begun and are not over, oldest first.
    open: Vec<Open>,
    totals: Totals,
}

/// How many blocks so many KiB are; no number of KiB but 0 is none.
pub fn blocks_of(kib: u64) -> u32 {
    if kib == 0 {
        return 0;
    }
    let kib = kib.clamp(limits::MIN_TRACE_KIB, limits::MAX_TRACE_KIB);
    u32::try_from(kib / limits::TRACE_BLOCK_KIB).unwrap_or(u32::MAX)
}

impl Totals {
    pub fn count(&self) -> u64 {
        self.steps.iter().sum()
    }

    fn note_step(&mut self, step: &Step) {
        if let Progress::Done { took } | Progress::GivenUp { took } = step.progress {
            self.steps[step.kind as usize] += 1;
            self.note_time(step.at, step.at.saturating_add(took));
        }
    }

    fn note_mark(&mut self, mark: &Mark) {
        self.marks += 1;
        self.last_mark = Some(mark.kind);
        if mark.kind.names_attempt() {
            self.attempt = mark.a;
        }
        self.note_time(mark.at, mark.at);
    }

    fn note_time(&mut self, from: u64, to: u64) {
        self.first = if self.first == 0 { from } else { self.first.min(from) };
        self.last = self.last.max(to);
    }

    fn put(&self, out: &mut Vec<u8>) {
        let mark = self.last_mark.map_or(0, |mark| mark as u64 + 1);
        for number in [self.marks, self.first, self.last.wrapping_sub(self.first), self.attempt, mark] {
            put_varint(out, number);
        }
        put_varint(out, self.steps.iter().filter(|count| **count > 0).count() as u64);
        for (kind, count) in self.steps.iter().enumerate().filter(|(_, count)| **count > 0) {
            out.push(kind as u8);
            put_varint(out, *count);
        }
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let mut number = || take_varint(bytes);
        let (marks, first, span, attempt, mark, kinds) =
            (number()?, number()?, number()?, number()?, number()?, number()?);
        let last_mark = match mark.checked_sub(1) {
            None => None,
            Some(kind) => Some(MarkKind::from_number(u8::try_from(kind).ok()?)?),
        };
        let mut steps = [0; StepKind::ALL.len()];
        for _ in 0..kinds {
            let (kind, rest) = bytes.split_first()?;
            *bytes = rest;
            *steps.get_mut(usize::from(*kind))? = take_varint(bytes)?;
        }
        Some(Self { steps, marks, first, last: first.wrapping_add(span), attempt, last_mark })
    }
}

/// A moment of a trace.
pub struct Place {
    first: u32,
    block: u32,
    row: u16,
    used: usize,
    lines: Vec<u8>,
    taken: usize,
    full: usize,
    labels: usize,
    cursor: u64,
    open: Vec<Open>,
    totals: Totals,
}

/// Reads the rows of one block, in order.
#[derive(Default)]
pub struct BlockReader {
    context: Context,
    /// Number of the next row.
    row: u16,
}

impl BlockReader {
    /// What was before the block, in its first row, and the row's lines; `None` where the row is not the next one or
    /// cannot be read.
    pub fn read(&mut self, row: u16, value: &[u8], mut line: impl FnMut(Line)) -> Option<Option<Totals>> {
        let (version, mut rest) = value.split_first()?;
        if *version != ROW_VERSION || row != self.row {
            return None;
        }
        let mut before = None;
        if row == 0 {
            let totals = Totals::take(&mut rest)?;
            self.context = Context::at(totals.last);
            before = Some(totals);
        }
        self.row += 1;
        while !rest.is_empty() {
            line(self.context.take(&mut rest)?);
        }
        Some(before)
    }
}

impl Tracer {
    /// A trace of at most so many blocks.
    pub fn new(kept: u32) -> Self {
        Self {
            kept,
            first: 0,
            block: 0,
            row: 0,
            used: 0,
            context: Context::default(),
            lines: Vec::new(),
            taken: 0,
            drafted: 0,
            full: Vec::new(),
            open: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// Goes on behind the rows of the last block; `first` is the oldest one. Behind rows that cannot be read it begins
    /// the next block, and what they counted is lost.
    pub fn resume(kept: u32, first: u32, block: u32, rows: &[(u16, Vec<u8>)]) -> Self {
        let mut tracer = Self { first, block, ..Self::new(kept) };
        let mut reader = BlockReader::default();
        for (row, value) in rows {
            let (totals, open) = (&mut tracer.totals, &mut tracer.open);
            let mut lines = Vec::new();
            let Some(before) = reader.read(*row, value, |line| lines.push(line)) else {
                tracer.begin_block();
                return tracer;
            };
            if let Some(before) = before {
                *totals = before;
            }
            lines.into_iter().for_each(|line| note(line, totals, open));
            tracer.used += value.len() + KEY_BYTES;
        }
        (tracer.row, tracer.context) = (reader.row, reader.context);
        tracer
    }

    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Of the rows that are there, about and never more.
    pub fn stored_bytes(&self) -> u64 {
        (self.used + self.lines.len()) as u64
    }

    fn is_off(&self) -> bool {
        self.kept == 0
    }

    /// A step begins. One that an earlier instance began, and that replay comes to again, has begun before.
    pub fn begin(&mut self, kind: StepKind, number: Number, call: Option<(u8, u64)>, label: &str, at: u64) {
        if self.is_off() {
            return;
        }
        if let Some(place) = self.find(number, call) {
            if std::mem::take(&mut self.open[place].is_earlier) {
                return;
            }
            // The guest left it: nothing tells of that.
            self.open.remove(place);
        }
        if self.open.len() >= limits::MAX_TRACE_OPEN_STEPS {
            self.open.remove(0);
        }
        let label = label[..label.floor_char_boundary(limits::MAX_TRACE_LABEL_BYTES)].into();
        let step = Step { kind, label, at, number, progress: Progress::Begun { call } };
        self.open.push(Open { step, is_written: false, is_earlier: false });
    }

    /// A step is over, unless it is none that is traced. A wait that was none is forgotten.
    pub fn end(&mut self, number: Number, call: Option<(u8, u64)>, is_given_up: bool, at: u64) {
        let Some(place) = self.find(number, call) else { return };
        let Open { mut step, is_written, .. } = self.open.remove(place);
        let took = at.saturating_sub(step.at);
        if step.kind == StepKind::Wait && !is_written && took < limits::MIN_TRACED_WAIT_MICROS {
            return;
        }
        step.progress = if is_given_up { Progress::GivenUp { took } } else { Progress::Done { took } };
        self.put_step(&step);
    }

    /// A step that takes no time.
    pub fn happened(&mut self, kind: StepKind, number: Number, label: &str, at: u64) {
        self.put_step(&Step { kind, label: label.into(), at, number, progress: Progress::Done { took: 0 } });
    }

    /// Whether a step is under way.
    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// The numbers of records and operations start again from 0: what was under way is not found by them any more.
    pub fn forget_open(&mut self) {
        self.open.clear();
    }

    pub fn mark(&mut self, mark: &Mark) {
        if self.is_off() {
            return;
        }
        self.make_room();
        self.context.put_mark(&mut self.lines, mark);
        self.totals.note_mark(mark);
        if mark.starts_over() {
            self.open.clear();
        }
    }

    /// Hands over what the next commit is to write; it stays pending until [`Self::queued`]. What is under way now, and
    /// is not on disk as such, goes along. A task that only began needs no trace.
    pub fn draft(&mut self, mut take: impl FnMut(&Write<'_>)) {
        let began_only = self.totals.marks <= 1 && self.totals.last_mark == Some(MarkKind::Attempt);
        if self.open.is_empty() && began_only && self.totals.count() == 0 {
            self.drafted = self.taken;
            return;
        }
        for place in 0..self.open.len() {
            if !self.open[place].is_written {
                self.make_room();
                self.open[place].is_written = true;
                self.context.put_step(&mut self.lines, &self.open[place].step);
            }
        }
        self.drafted = self.lines.len();
        self.full.iter().for_each(&mut take);
        if self.lines.len() > self.taken {
            take(&Write::Row { block: self.block, row: self.row, value: Cow::Borrowed(&self.lines) });
        }
    }

    /// What was drafted is on its way to the disk.
    pub fn mark_queued(&mut self) {
        self.full.clear();
        self.taken = self.drafted;
    }

    pub fn place(&self) -> Place {
        Place {
            first: self.first,
            block: self.block,
            row: self.row,
            used: self.used,
            lines: self.lines.clone(),
            taken: self.taken,
            full: self.full.len(),
            labels: self.context.labels(),
            cursor: self.context.cursor,
            open: self.open.clone(),
            totals: self.totals.clone(),
        }
    }

    /// Forgets what came since, if it is not on its way to the disk.
    pub fn return_to(&mut self, place: Place) {
        self.full.truncate(place.full);
        (self.lines, self.taken) = (place.lines, place.taken);
        let is_same_block = self.block == place.block;
        (self.first, self.block) = (place.first, place.block);
        (self.row, self.used) = (place.row, place.used);
        (self.open, self.totals) = (place.open, place.totals);
        if is_same_block {
            self.context.return_to(place.cursor, place.labels);
        } else {
            // The labels of its block are gone.
            self.close_row();
            self.begin_block();
        }
    }

    /// The step of an operation is known by its number, one of a record by its call.
    fn find(&self, number: Number, call: Option<(u8, u64)>) -> Option<usize> {
        self.open.iter().rposition(|open| match open.step.progress {
            Progress::Begun { call: known @ Some(_) } => known == call,
            _ => call.is_none() && open.step.number == number,
        })
    }

    fn put_step(&mut self, step: &Step) {
        if self.is_off() {
            return;
        }
        self.make_room();
        self.context.put_step(&mut self.lines, step);
        self.totals.note_step(step);
    }

    /// For one line more: in this row, in the next one, or in the next block.
    fn make_room(&mut self) {
        if self.lines.len() == self.taken && self.taken >= limits::TRACE_ROW_BYTES {
            self.close_row();
        }
        self.begin_row();
        if self.used + self.lines.len() + KEY_BYTES + MAX_LINE_BYTES > BLOCK_BYTES {
            self.close_row();
            self.begin_block();
            self.begin_row();
            self.carry_over();
        }
    }

    fn begin_row(&mut self) {
        if !self.lines.is_empty() {
            return;
        }
        self.lines.push(ROW_VERSION);
        if self.row == 0 {
            self.context = Context::at(self.totals.last);
            self.totals.put(&mut self.lines);
        }
    }

    fn close_row(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let value = std::mem::take(&mut self.lines);
        self.used += value.len() + KEY_BYTES;
        if value.len() > self.taken {
            self.full.push(Write::Row { block: self.block, row: self.row, value: Cow::Owned(value) });
        }
        (self.row, self.taken) = (self.row.saturating_add(1), 0);
    }

    /// The oldest block goes, or several where more were kept before.
    fn begin_block(&mut self) {
        (self.block, self.row, self.used) = (self.block.saturating_add(1), 0, 0);
        while self.block - self.first >= self.kept.max(1) {
            self.full.push(Write::Fold { block: self.first });
            self.first += 1;
        }
    }

    /// What is under way stands in the new block too: the one where it began will go. Of very many the latest.
    fn carry_over(&mut self) {
        let mut carried = Vec::new();
        for open in self.open.iter().rev().filter(|open| open.is_written) {
            if (carried.len() + 1) * MAX_LINE_BYTES > BLOCK_BYTES / 2 {
                break;
            }
            carried.push(&open.step);
        }
        for step in carried.into_iter().rev() {
            self.context.put_step(&mut self.lines, step);
        }
    }
}

fn note(line: Line, totals: &mut Totals, open: &mut Vec<Open>) {
    match line {
        Line::Mark(mark) => {
            totals.note_mark(&mark);
            if mark.starts_over() {
                open.clear();
            }
        }
        Line::Step(step) => {
            totals.note_step(&step);
            let is_it = |known: &Open| known.step.number == step.number && known.step.kind == step.kind;
            match step.progress {
                Progress::Begun { .. } => {
                    open.retain(|known| !is_it(known));
                    open.push(Open { step, is_written: true, is_earlier: true });
                }
                _ if step.kind == StepKind::Checkpoint => open.clear(),
                _ => open.retain(|known| !is_it(known)),
            }
        }
    }
}
