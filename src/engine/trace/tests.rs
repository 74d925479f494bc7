use std::collections::BTreeMap;

use proptest::prelude::*;

use super::line::{Context, Line, MAX_LINE_BYTES, Mark, MarkKind, Number, Progress, Step, StepKind};
use super::tracer::KEY_BYTES;
use super::tracer::{BlockReader, Totals, Tracer, Write, blocks_of};
use crate::limits;

const KEPT: u32 = (limits::DEFAULT_TRACE_KIB / limits::TRACE_BLOCK_KIB) as u32;
const BOUND: usize = limits::DEFAULT_TRACE_KIB as usize * 1024;

/// The rows of a trace as a store would hold them.
type Rows = BTreeMap<(u32, u16), Vec<u8>>;

fn commit(tracer: &mut Tracer, rows: &mut Rows) {
    tracer.draft(|write| match write {
        Write::Row { block, row, value } => {
            let before = rows.insert((*block, *row), value.to_vec()).unwrap_or_default();
            assert!(
                value.starts_with(&before) && value.len() > before.len(),
                "a row that says less or otherwise"
            );
        }
        Write::Fold { block } => rows.retain(|(known, _), _| known != block),
    });
    tracer.mark_queued();
}

fn resumed(rows: &Rows) -> Tracer {
    resumed_with(KEPT, rows)
}

fn resumed_with(kept: u32, rows: &Rows) -> Tracer {
    let blocks = || rows.keys().map(|(block, _)| *block);
    let (Some(first), Some(last)) = (blocks().min(), blocks().max()) else { return Tracer::new(kept) };
    let block: Vec<_> = rows
        .iter()
        .filter(|((block, _), _)| *block == last)
        .map(|((_, row), value)| (*row, value.clone()))
        .collect();
    Tracer::resume(kept, first, last, &block)
}

/// All lines that are kept, and what was before the first of them.
fn read(rows: &Rows) -> (Totals, Vec<Line>) {
    let (mut folded, mut lines, mut at, mut reader) = (None, Vec::new(), None, BlockReader::default());
    for ((block, row), value) in rows {
        if at.replace(*block) != Some(*block) {
            reader = BlockReader::default();
        }
        let before = reader.read(*row, value, |line| lines.push(line)).expect("a row that can be read");
        folded = folded.or(before);
    }
    (folded.unwrap_or_default(), lines)
}

fn size(rows: &Rows) -> usize {
    rows.values().map(|value| value.len() + KEY_BYTES).sum()
}

fn mark(kind: MarkKind, at: u64) -> Mark {
    Mark { kind, label: "first".into(), at, a: 1, b: 1 }
}

fn over(lines: &[Line]) -> Vec<&Step> {
    let is_over = |step: &&Step| !matches!(step.progress, Progress::Begun { .. });
    lines
        .iter()
        .filter_map(|line| if let Line::Step(step) = line { Some(step) } else { None })
        .filter(is_over)
        .collect()
}

#[derive(Clone, Debug)]
enum Act {
    Begin(usize, u64, String),
    End(u64, bool),
    Mark(usize),
    Commit,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let label = prop_oneof![Just("a".to_owned()), Just(String::new()), "[a-zé]{0,120}"];
    prop_oneof![
        8 => (0..StepKind::ALL.len(), 0..6u64, label).prop_map(|(kind, number, label)| Act::Begin(kind, number, label)),
        8 => (0..6u64, any::<bool>()).prop_map(|(number, given_up)| Act::End(number, given_up)),
        1 => (0..MarkKind::ALL.len()).prop_map(Act::Mark),
        5 => Just(Act::Commit),
        1 => Just(Act::Restart),
    ]
}

/// Odd numbers are operations.
fn call(number: u64) -> (Number, Option<(u8, u64)>) {
    if number % 2 == 1 {
        (Number::Operation(number), None)
    } else {
        (Number::Record(number), Some((7, number)))
    }
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written_and_nothing_is_lost_uncounted(
        acts in prop::collection::vec((act(), -5_000i64..500_000), 0..700),
    ) {
        let (mut tracer, mut rows, mut now) = (Tracer::new(KEPT), Rows::new(), 1_700_000_000_000_000u64);
        // Steps that are over, since the last commit and in all commits.
        let (mut fresh, mut done) = (0u64, 0u64);
        for (act, passed) in acts {
            // A clock that is set back between two lines makes no time negative.
            now = now.saturating_add_signed(passed);
            match act {
                Act::Begin(kind, number, label) => {
                    let (number, call) = call(number);
                    tracer.begin(StepKind::ALL[kind], number, call, &label, now);
                }
                Act::End(number, given_up) => {
                    let before = tracer.totals().count();
                    let (number, call) = call(number);
                    tracer.end(number, call, given_up, now);
                    fresh += tracer.totals().count() - before;
                }
                Act::Mark(kind) => tracer.mark(&mark(MarkKind::ALL[kind], now)),
                Act::Commit => {
                    commit(&mut tracer, &mut rows);
                    (fresh, done) = (0, done + fresh);
                }
                Act::Restart => {
                    tracer = resumed(&rows);
                    fresh = 0;
                }
            }
            prop_assert!(size(&rows) <= BOUND, "{} bytes", size(&rows));
        }
        commit(&mut tracer, &mut rows);
        let (folded, lines) = read(&rows);
        // A task that only began leaves no row, and counts no step.
        prop_assert_eq!(folded.count() + over(&lines).len() as u64, done + fresh);
    }

    #[test]
    fn a_line_reads_back_as_it_was_written(
        lines in prop::collection::vec(
            (0..StepKind::ALL.len(), "[a-é]{0,40}", any::<u64>(), any::<u64>(), 0..u64::MAX / 2, 0..6u8),
            0..100,
        ),
    ) {
        let (mut bytes, mut context) = (Vec::new(), Context::at(5));
        let lines: Vec<Line> = lines
            .into_iter()
            .map(|(kind, label, at, other, number, class)| {
                let (kind, label) = (StepKind::ALL[kind], label.into());
                let (number, progress) = match class {
                    0 => (Number::Record(number), Progress::Done { took: other }),
                    1 => (Number::Operation(number), Progress::GivenUp { took: other }),
                    2 => (Number::Record(number), Progress::Begun { call: Some((9, other)) }),
                    3 => (Number::Operation(number), Progress::Begun { call: None }),
                    class => {
                        let kind = MarkKind::ALL[usize::from(class)];
                        return Line::Mark(Mark { kind, label, at, a: number, b: other });
                    }
                };
                Line::Step(Step { kind, label, at, number, progress })
            })
            .collect();
        for line in &lines {
            let before = bytes.len();
            match line {
                Line::Step(step) => context.put_step(&mut bytes, step),
                Line::Mark(mark) => context.put_mark(&mut bytes, mark),
            }
            prop_assert!(bytes.len() - before <= MAX_LINE_BYTES);
        }
        let (mut rest, mut context, mut read) = (&bytes[..], Context::at(5), Vec::new());
        while !rest.is_empty() {
            read.push(context.take(&mut rest).expect("a line"));
        }
        prop_assert_eq!(read, lines);
    }

    #[test]
    fn bytes_that_are_no_trace_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = BlockReader::default();
        let _ = reader.read(0, &bytes, |_| {});
        // What a damaged block counted is lost; the next one can be written and read.
        let mut tracer = Tracer::resume(KEPT, 3, 3, &[(0, bytes)]);
        let mut rows = Rows::new();
        tracer.mark(&mark(MarkKind::Evicted, 9));
        commit(&mut tracer, &mut rows);
        read(&rows.into_iter().filter(|((block, _), _)| *block == 4).collect());
    }
}

#[test]
fn thousands_of_steps_stay_within_the_bound_and_the_folded_are_counted() {
    const STEPS: u64 = 20_000;
    let (mut tracer, mut rows, mut largest) = (Tracer::new(KEPT), Rows::new(), 0);
    tracer.mark(&mark(MarkKind::Attempt, 1));
    for number in 0..STEPS {
        let kind = [StepKind::Http, StepKind::Call, StepKind::State][number as usize % 3];
        let at = 1_000_000 + number * 1_000;
        tracer.begin(kind, Number::Operation(number), None, &format!("GET /{}", number % 90), at);
        tracer.end(Number::Operation(number), None, false, at + 400);
        if number % 3 != 0 {
            commit(&mut tracer, &mut rows);
        }
        largest = largest.max(size(&rows));
    }
    commit(&mut tracer, &mut rows);
    assert!(largest <= BOUND, "{largest} bytes");
    assert!(largest > BOUND * 3 / 4, "{largest} bytes: folded too early");
    let (folded, lines) = read(&rows);
    let kept = over(&lines);
    assert_eq!(folded.count() + kept.len() as u64, STEPS);
    assert!(kept.len() > 1_000, "{} steps are kept", kept.len());
    let numbers: Vec<u64> = kept
        .iter()
        .map(|step| if let Number::Operation(number) = step.number { number } else { 0 })
        .collect();
    assert!(numbers.windows(2).all(|two| two[0] + 1 == two[1]), "the kept ones follow each other");
    assert_eq!(numbers.last(), Some(&(STEPS - 1)));
    assert_eq!((folded.first, folded.last), (1, 1_000_000 + (numbers[0] - 1) * 1_000 + 400));
    assert_eq!(folded.marks, 1);
    assert_eq!(resumed(&rows).totals().count(), STEPS, "a restart counts on");
}

#[test]
fn a_step_under_way_survives_folding_and_restarts() {
    let (mut tracer, mut rows) = (Tracer::new(KEPT), Rows::new());
    let sleep = Some((5, 60_000));
    tracer.mark(&mark(MarkKind::Attempt, 1));
    tracer.begin(StepKind::Sleep, Number::Record(3), sleep, "timers.sleep", 1_000);
    for number in 0..20_000u64 {
        tracer.begin(StepKind::Http, Number::Operation(number), None, "GET", 2_000 + number);
        tracer.end(Number::Operation(number), None, false, 2_000 + number);
        commit(&mut tracer, &mut rows);
    }
    let mut tracer = resumed(&rows);
    // Replay comes to the same call again.
    tracer.begin(StepKind::Sleep, Number::Record(3), sleep, "timers.sleep", 900_000);
    tracer.end(Number::Record(3), sleep, false, 901_000);
    // A clock that went back.
    tracer.begin(StepKind::Sleep, Number::Record(4), sleep, "timers.sleep", 500);
    tracer.end(Number::Record(4), sleep, true, 400);
    commit(&mut tracer, &mut rows);
    let (_, lines) = read(&rows);
    let sleeps: Vec<_> = over(&lines).into_iter().filter(|step| step.kind == StepKind::Sleep).collect();
    let times: Vec<_> = sleeps.iter().map(|step| (step.at, step.progress)).collect();
    assert_eq!(times, [(1_000, Progress::Done { took: 900_000 }), (500, Progress::GivenUp { took: 0 })]);
}

#[test]
fn a_task_that_only_begins_leaves_no_row() {
    let (mut tracer, mut rows) = (Tracer::new(KEPT), Rows::new());
    tracer.mark(&mark(MarkKind::Attempt, 1));
    commit(&mut tracer, &mut rows);
    assert_eq!(rows, Rows::new());
    tracer.mark(&mark(MarkKind::Evicted, 2));
    commit(&mut tracer, &mut rows);
    assert_eq!(read(&rows).1.len(), 2, "what came first is there once there is more");
}

#[test]
fn a_short_wait_is_no_step() {
    let (mut tracer, call) = (Tracer::new(KEPT), Some((1, 1)));
    for took in [0, limits::MIN_TRACED_WAIT_MICROS - 1, limits::MIN_TRACED_WAIT_MICROS] {
        tracer.begin(StepKind::Wait, Number::Record(0), call, "poll.poll", 10);
        tracer.end(Number::Record(0), call, false, 10 + took);
    }
    assert_eq!(tracer.totals().count(), 1);
}

/// So many steps of their own commits, each with a label of its own.
fn take_steps(tracer: &mut Tracer, rows: &mut Rows, steps: std::ops::Range<u64>) {
    for number in steps {
        tracer.begin(StepKind::Http, Number::Operation(number), None, &format!("GET {number}"), number);
        tracer.end(Number::Operation(number), None, false, number + 1);
        commit(tracer, rows);
    }
}

#[test]
fn steps_share_rows_until_a_row_is_long() {
    let (mut tracer, mut rows) = (Tracer::new(KEPT), Rows::new());
    take_steps(&mut tracer, &mut rows, 0..5);
    assert_eq!(rows.len(), 1, "{rows:?}");
    take_steps(&mut tracer, &mut rows, 5..100);
    let mut all: Vec<usize> = rows.values().map(Vec::len).collect();
    all.pop();
    let last_step = 2 * MAX_LINE_BYTES;
    assert!(
        all.iter()
            .all(|bytes| (limits::TRACE_ROW_BYTES..limits::TRACE_ROW_BYTES + last_step).contains(bytes)),
        "{all:?}"
    );
}

#[test]
fn a_lower_bound_folds_what_a_higher_one_kept() {
    let (mut tracer, mut rows) = (Tracer::new(blocks_of(limits::MAX_TRACE_KIB)), Rows::new());
    take_steps(&mut tracer, &mut rows, 0..10_000);
    assert!(size(&rows) > 2 * BOUND, "{} bytes", size(&rows));
    let mut tracer = resumed_with(blocks_of(limits::MIN_TRACE_KIB), &rows);
    take_steps(&mut tracer, &mut rows, 10_000..11_000);
    assert!(size(&rows) <= limits::MIN_TRACE_KIB as usize * 1024, "{} bytes", size(&rows));
    let (folded, lines) = read(&rows);
    assert_eq!(folded.count() + over(&lines).len() as u64, 11_000);
}

#[test]
fn with_a_bound_of_nothing_nothing_is_written() {
    assert_eq!(blocks_of(0), 0);
    let (mut tracer, mut rows) = (Tracer::new(0), Rows::new());
    tracer.mark(&mark(MarkKind::Attempt, 1));
    take_steps(&mut tracer, &mut rows, 0..3);
    tracer.mark(&mark(MarkKind::Evicted, 9));
    commit(&mut tracer, &mut rows);
    assert_eq!(rows, Rows::new());
}

#[test]
fn what_could_not_be_committed_is_forgotten_and_what_was_before_it_is_not() {
    // With so little before it that it stays in the block, and with so much that it begins the next one.
    for before in [1, 150] {
        let (mut tracer, mut rows) = (Tracer::new(KEPT), Rows::new());
        take_steps(&mut tracer, &mut rows, 0..before);
        tracer.begin(StepKind::Call, Number::Operation(before), None, "kept", 500);
        tracer.end(Number::Operation(before), None, false, 501);
        let place = tracer.place();
        for number in 0..200 {
            tracer.begin(StepKind::State, Number::Record(number), Some((1, number)), &"x".repeat(90), 600);
            tracer.end(Number::Record(number), Some((1, number)), false, 601);
        }
        tracer.mark(&mark(MarkKind::Evicted, 700));
        // Drafted, and refused.
        let mut drafted = 0;
        tracer.draft(|_| drafted += 1);
        assert!(drafted > 0);
        tracer.return_to(place);
        assert_eq!((tracer.totals().count(), tracer.totals().last_mark), (before + 1, None));
        take_steps(&mut tracer, &mut rows, before + 1..before + 3);
        let (_, lines) = read(&rows);
        let labels: Vec<String> = over(&lines).iter().map(|step| step.label.to_string()).collect();
        let numbered = |number| if number == before { "kept".to_owned() } else { format!("GET {number}") };
        assert_eq!(labels, (0..before + 3).map(numbered).collect::<Vec<_>>());
        assert_eq!(resumed(&rows).totals(), tracer.totals());
    }
}
