//! The life of a task as a table: in each state, what each event makes of it. A row reads: state, event → state, the
//! rows that are written, what follows.

use std::time::Duration;

use super::plan::{About, Event, Facts, Keep, Kept, Left, plan, plan_new};
use super::value::{Change, Instance, RowWrite};
use crate::engine::effect::Effect;
use crate::engine::feed::{ResourceKey, TaskChange};
use crate::engine::journal::ops::{OpRow, OpState};
use crate::engine::link::Link;
use crate::task::{
    AskedModel, CancelRequest, FailedReason, OpenQuestion, OutputMeta, QuestionKind, QueuedReason,
    STATE_EXAMPLES as STATES, Spend, State, Status, TaskError, TaskEvent, TaskId, WaitingReason, Wake,
    WakeOn,
};

const CREATED: u64 = 1_000;
const WALL: u64 = 5_000;
const LOGICAL: u64 = 3_000;

fn id(number: u8) -> TaskId {
    TaskId::from_bytes([number; 16])
}

fn about(link: Option<Link>) -> About<'static> {
    About { id: id(1), principal: "me", created_at: CREATED, link }
}

fn status(state: State) -> Status {
    let ended_at = state.is_terminal().then_some(4_000);
    Status { state, ended_at, ..Status::new(CREATED, [0; 32]) }
}

fn facts() -> Facts<'static> {
    Facts { wall: WALL, logical: LOGICAL, ..Facts::default() }
}

fn left() -> Option<Left> {
    Some(Left { steps: 7, awake_nanos: 70, log_bytes: 700, has_journal_alone: false })
}

fn error(reason: FailedReason) -> TaskError {
    TaskError { reason, message: "why".to_owned(), detail: None, op: None, protocol: None }
}

fn request() -> CancelRequest {
    CancelRequest { at: WALL, reason: None }
}

fn op() -> OpRow {
    OpRow { at: 3, hash: 9, sends: 1, state: OpState::Resend }
}

/// All events, each as its row in the tables names it.
fn events<'a>(failed: &'a TaskError) -> Vec<(&'static str, Event<'a>)> {
    let seed = [1; 32];
    let settled = || Some((3, op()));
    let all = || Keep::All { questions: Vec::new() };
    vec![
        ("started", Event::Started),
        ("suspended", Event::Suspended { reason: WaitingReason::Timer, until: Some(4_000), on: &[] }),
        ("unknown", Event::OutcomeUnknown { op: 3, message: "lost" }),
        ("interrupted", Event::Interrupted),
        ("fault", Event::RetryScheduled { delay: Duration::from_nanos(10), afresh: None }),
        ("trap", Event::RetryScheduled { delay: Duration::from_nanos(10), afresh: Some(seed) }),
        ("completed", Event::Completed(b"result")),
        ("failed", Event::Failed(failed)),
        ("cancelled", Event::Cancelled(Some(request()))),
        ("asked to end", Event::CancelRequested(request())),
        ("retried", Event::Reopened { keep: Keep::Nothing { seed }, settled: None }),
        ("from a step", Event::Reopened { keep: Keep::Before(Kept::default()), settled: None }),
        ("settled", Event::Reopened { keep: all(), settled: settled() }),
        ("messaged", Event::Messaged),
        ("answered", Event::Answered { number: 1, spent: Spend { tokens: 5, cost: 50 } }),
        ("reported", Event::ReportsWanted),
        ("blocked", Event::Blocked { since: 2_000 }),
        ("unblocked", Event::Unblocked { at: 4_500 }),
    ]
}

/// A row, for people: `Status`, `-Open`, `-journal*` for all of a kind.
fn row(row: &RowWrite) -> String {
    match row {
        RowWrite::Status => "Status".to_owned(),
        RowWrite::Open => "Open".to_owned(),
        RowWrite::NotOpen => "-Open".to_owned(),
        RowWrite::Ended(at) => format!("Ended@{at}"),
        RowWrite::NotEnded(at) => format!("-Ended@{at}"),
        RowWrite::Result(bytes) => format!("Result:{}", String::from_utf8_lossy(bytes)),
        RowWrite::Op(number, _) => format!("Op{number}"),
        RowWrite::Put(space, ..) => format!("{space}"),
        RowWrite::Delete(space, _) => format!("-{space}"),
        RowWrite::DeleteAll(space) | RowWrite::DeletePrefix(space, _) => format!("-{space}*"),
    }
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Changed(ResourceKey::Task(task)) if *task != id(1) => "parent".to_owned(),
        Effect::Changed(ResourceKey::Task(_)) => "task".to_owned(),
        Effect::Changed(ResourceKey::Result(_)) => "result".to_owned(),
        Effect::Changed(ResourceKey::Output(_, name)) => format!("output {name}"),
        Effect::Changed(ResourceKey::Log(_)) => "log".to_owned(),
        Effect::Changed(ResourceKey::Tasks(_)) => "tasks".to_owned(),
        Effect::Happened(_, changes) => match &changes[..] {
            [TaskChange::State(state)] => format!("={state}"),
            other => format!("{other:?}"),
        },
        Effect::Counted(counter) => format!("#{counter:?}"),
        Effect::Opened { after, .. } => format!("opened+{}", after.as_nanos()),
        Effect::Ended(_) => "ended".to_owned(),
        Effect::Wake(task) if *task == id(1) => "wake".to_owned(),
        Effect::Wake(_) => "wake parent".to_owned(),
        Effect::CancelRequested(_) => "cancel".to_owned(),
        Effect::Orphaned(children) => format!("orphaned {}", children.len()),
        Effect::RootEnded(_) => "root".to_owned(),
        Effect::AskedBelow { .. } => "asked below".to_owned(),
        Effect::Rewritten(_) => "rewritten".to_owned(),
        other => format!("{other:?}"),
    }
}

fn draw(change: &Change) -> String {
    let rows: Vec<String> = change.rows.iter().map(row).collect();
    let effects: Vec<String> = change.effects.iter().map(effect).collect();
    let instance = match change.instance {
        Instance::Stays => "",
        Instance::Begins => " begins",
        Instance::Goes => " goes",
        Instance::GoesUnrecorded => " goes unrecorded",
    };
    format!("{}{instance} [{}] [{}]", change.status.state, rows.join(" "), effects.join(", "))
}

/// Which state each event leads to, a row a state; `.` where it cannot happen.
#[test]
fn each_event_leads_where_this_table_says() {
    let failed = error(FailedReason::Trap);
    let table: Vec<String> = STATES
        .iter()
        .map(|state| {
            let facts = Facts { left: left().filter(|_| *state == State::Running), ..facts() };
            let next = events(&failed).into_iter().map(|(_, event)| {
                plan(about(None), &status(*state), event, facts)
                    .map_or(".", |change| &change.status.state.name()[..1])
            });
            next.collect()
        })
        .collect();
    // started suspended unknown interrupted fault trap completed failed cancelled asked-to-end retried from-a-step settled
    // messaged answered reported blocked unblocked
    let expected = [
        "r......fcq...qqqw.",
        ".wwqqqcfcr...rrrw.",
        "r......fcw...wwww.",
        "r......fcw..qwwww.",
        ".......fcw...www.w",
        "..................",
        "..........qq......",
        "..........qqq.....",
        "..........qq......",
    ];
    assert_eq!(table, expected);
}

/// What is written for each event of the state in which it usually happens, and what follows from it.
#[test]
fn each_event_writes_and_leads_to_what_this_table_says() {
    let running = State::Running;
    let waiting = State::Waiting(WaitingReason::Input);
    let blocked = State::Waiting(WaitingReason::Timer).after(TaskEvent::Blocked(2_000)).expect("blocked");
    let unknown = State::Failed(FailedReason::UnknownOutcome);
    let trapped = State::Failed(FailedReason::Trap);
    let over = "-op* -journal* -log* -output* -checkpoint* -child*";
    let table = [
        (State::Queued(QueuedReason::New), "started", "running begins [Status] [task, =running]".to_owned()),
        (running, "suspended", "waiting (timer) goes [Status] [task, =waiting (timer)]".to_owned()),
        (running, "unknown", "waiting (input) goes [Status] [task, =waiting (input)]".to_owned()),
        (
            running,
            "interrupted",
            "queued (interrupted) goes [Status] [task, =queued (interrupted)]".to_owned(),
        ),
        (running, "fault", "queued (retry) goes [Status] [task, =queued (retry)]".to_owned()),
        (
            running,
            "trap",
            format!("queued (retry) goes unrecorded [{over} Status] [orphaned 2, task, =queued (retry)]"),
        ),
        (
            running,
            "completed",
            "completed goes unrecorded [Status -Open Ended@5000 Result:result -journal* -op* -checkpoint*] \
             [orphaned 2, root, ended, #Completed, task, result, tasks, =completed]"
                .to_owned(),
        ),
        (
            running,
            "failed",
            "failed (trap) goes [Status -Open Ended@5000] \
             [orphaned 2, root, ended, #Failed, task, result, tasks, =failed (trap)]"
                .to_owned(),
        ),
        (running, "blocked", "waiting (blocked) goes [Status] [task, =waiting (blocked)]".to_owned()),
        (
            State::Queued(QueuedReason::New),
            "blocked",
            "waiting (blocked) [Status] [task, =waiting (blocked)]".to_owned(),
        ),
        (waiting, "blocked", "waiting (blocked) [Status] [task, =waiting (blocked)]".to_owned()),
        (blocked, "unblocked", "waiting (timer) [Status] [task, =waiting (timer), wake]".to_owned()),
        (
            blocked,
            "cancelled",
            "cancelled [Status -Open Ended@5000] \
             [orphaned 2, root, ended, #Cancelled, task, result, tasks, =cancelled]"
                .to_owned(),
        ),
        (running, "messaged", "running [Status] [rewritten, wake]".to_owned()),
        (
            waiting,
            "answered",
            "waiting (input) [Status] [task, [Questions], =waiting (input), wake]".to_owned(),
        ),
        (running, "reported", "running [Status] [rewritten]".to_owned()),
        (
            waiting,
            "cancelled",
            "cancelled [Status -Open Ended@5000] \
             [orphaned 2, root, ended, #Cancelled, task, result, tasks, =cancelled]"
                .to_owned(),
        ),
        (running, "asked to end", "running [Status] [task, cancel]".to_owned()),
        (
            trapped,
            "retried",
            format!(
                "queued (retry) [{over} -Ended@4000 Open Status] [task, tasks, log, =queued (retry), opened+0]"
            ),
        ),
        (
            State::Cancelled,
            "from a step",
            "queued (retry) [-Ended@4000 Open Status] [task, tasks, log, =queued (retry), opened+0]"
                .to_owned(),
        ),
        (
            unknown,
            "settled",
            "queued (retry) [Op3 -Ended@4000 Open Status] [task, tasks, log, =queued (retry), opened+0]"
                .to_owned(),
        ),
        (
            waiting,
            "settled",
            "queued (retry) [Op3 Status] [task, tasks, log, =queued (retry), wake]".to_owned(),
        ),
    ];
    let children = [id(8), id(9)];
    for (state, name, expected) in table {
        let failed = error(FailedReason::Trap);
        let left = left().filter(|_| state == State::Running);
        let facts = Facts { left, wanted_children: &children, is_counted_root: true, ..facts() };
        let (_, event) = events(&failed).into_iter().find(|(event, _)| *event == name).expect("an event");
        let change = plan(about(None), &status(state), event, facts).expect("it can happen");
        assert_eq!(draw(&change), expected, "{state}, {name}");
        assert_eq!(change.status.updated_at, WALL, "{name}");
    }
}

/// Each delete is looked for, row by row, when the log is folded.
#[test]
fn a_first_attempt_without_operations_has_its_journal_alone_deleted() {
    let left = left().map(|left| Left { has_journal_alone: true, ..left });
    let facts = Facts { left, ..facts() };
    let change =
        plan(about(None), &status(State::Running), Event::Completed(b"result"), facts).expect("an end");
    let rows: Vec<String> = change.rows.iter().map(row).collect();
    assert_eq!(rows.join(" "), "Status -Open Ended@5000 Result:result -journal*");
    assert!(change.rewrites_past());
}

fn elicited() -> OpenQuestion {
    let (key, kind) = ("k".to_owned(), QuestionKind::Elicit);
    OpenQuestion { number: 1, key, kind, reserved_tokens: 0, reserved_cost: 0, model: None }
}

/// Of a model, with what two requests may cost; none of them may have left.
fn modelled(is_unsent: bool) -> OpenQuestion {
    let (key, kind) = ("model:2".to_owned(), QuestionKind::Model);
    let model = Some(AskedModel { name: "fast".to_owned(), is_unsent });
    OpenQuestion { number: 2, key, kind, reserved_tokens: 100, reserved_cost: 1_000, model }
}

/// What a change says of models to those who count.
fn paid(change: &Change) -> Vec<&Effect> {
    change.effects.iter().filter(|effect| matches!(effect, Effect::ModelPaid { .. })).collect()
}

#[test]
fn what_a_model_may_have_cost_counts_as_spent_where_its_answer_is_not_waited_for() {
    let mut running = status(State::Running);
    running.questions.open = vec![elicited(), modelled(true)];
    let end = |from: &Status| plan(about(None), from, Event::Cancelled(None), facts()).expect("an end");
    let ended = end(&running);
    assert_eq!((ended.status.questions.spent(), paid(&ended)), (Spend::NOTHING, Vec::new()), "it never left");

    let asked = || Event::ModelAsked { number: 2, spend: Spend { tokens: 50, cost: 500 } };
    let sent = plan(about(None), &running, asked(), facts()).expect("asked").status;
    let both = Spend { tokens: 100, cost: 1_000 };
    assert_eq!(sent.questions.reserved(), both, "held back already");
    let says = |spend| Effect::ModelPaid { model: "fast".to_owned(), spend };
    for ended in [
        end(&sent),
        plan(
            about(None),
            &sent,
            Event::RetryScheduled { delay: Duration::ZERO, afresh: Some([3; 32]) },
            facts(),
        )
        .expect("a retry"),
    ] {
        assert_eq!((ended.status.questions.spent(), paid(&ended)), (both, vec![&says(both)]));
    }

    let again = plan(about(None), &sent, asked(), facts()).expect("asked").status;
    assert_eq!(again.questions.reserved(), Spend { tokens: 150, cost: 1_500 });
    let spent = Spend { tokens: 110, cost: 1_100 };
    let answered = Event::Answered { number: 2, spent };
    let answered = plan(about(None), &again, answered, facts()).expect("answered");
    assert_eq!(paid(&answered), [&says(spent)]);
    let questions = answered.status.questions;
    assert_eq!((questions.reserved(), questions.spent()), (Spend::NOTHING, spent));
}

#[test]
fn a_child_ends_for_its_parent_unless_another_takes_its_place() {
    let link = Link { root: id(2), parent: id(2), epoch: 0, op: 4, detached: false };
    let of = |link, has_successor| {
        let mut running = status(State::Running);
        let question = elicited();
        running.questions.open.push(question);
        let meta = OutputMeta { name: "o".to_owned(), mime_type: String::new(), bytes: 1, done: false };
        running.outputs.push(meta);
        let failed = error(FailedReason::Trap);
        let facts = Facts { left: left(), has_successor, ..facts() };
        let change = plan(about(Some(link)), &running, Event::Failed(&failed), facts).expect("an end");
        assert!(change.status.questions.open.is_empty());
        change.effects.iter().map(effect).collect::<Vec<_>>().join(", ")
    };
    let shown = "ended, #Failed, task, result, tasks, output o, =failed (trap)";
    assert_eq!(of(link, false), format!("wake parent, {shown}, asked below"));
    assert_eq!(of(link, true), format!("{shown}, asked below"));
    assert_eq!(of(Link { detached: true, ..link }, false), format!("wake parent, {shown}"));
}

#[test]
fn what_an_instance_leaves_stands_in_the_status() {
    let facts = Facts { left: left(), ..facts() };
    let on = [WakeOn::Cancellation];
    let event = Event::Suspended { reason: WaitingReason::Timer, until: Some(LOGICAL + 500), on: &on };
    let change = plan(about(None), &status(State::Running), event, facts).expect("suspended");
    let status_of = change.status;
    assert_eq!((status_of.steps, status_of.awake_nanos, status_of.log_bytes), (7, 70, 700));
    let wake = Wake { due: Some(CREATED + LOGICAL + 500), remaining_nanos: 500, on: on.to_vec() };
    assert_eq!(status_of.wake, Some(wake));

    let event = Event::RetryScheduled { delay: Duration::from_nanos(10), afresh: Some([3; 32]) };
    let again = plan(about(None), &status(State::Running), event, facts).expect("a retry").status;
    assert_eq!((again.steps, again.awake_nanos, again.log_bytes), (0, 0, 0), "a fresh journal");
    assert_eq!((again.epoch, again.retry, again.seed), (1, 1, [3; 32]));
    assert_eq!((again.attempt, again.failures), (2, 1));
    let wake = Wake { due: Some(CREATED + LOGICAL + 10), remaining_nanos: 10, on: Vec::new() };
    assert_eq!(again.wake, Some(wake));
}

#[test]
fn a_reopened_task_has_its_budgets_and_its_time_back() {
    let mut ended = status(State::Failed(FailedReason::UnknownOutcome));
    ended.error = Some(error(FailedReason::UnknownOutcome));
    (ended.failures, ended.questions.questions, ended.questions.sample_tokens) = (3, 4, 500);
    ended.questions.model_cost = 5_000;
    let question = elicited();
    for settled in [None, Some((3, op()))] {
        let keep = Keep::All { questions: vec![question.clone()] };
        let change = plan(about(None), &ended, Event::Reopened { keep, settled }, facts()).expect("reopened");
        let again = change.status;
        assert_eq!(
            (again.failures, again.questions.questions, again.questions.spent()),
            (0, 0, Spend::NOTHING)
        );
        assert_eq!((again.attempt, again.since, again.ended_at), (2, WALL, None));
        assert_eq!((again.error, again.wake), (None, None));
        assert_eq!(again.questions.open, std::slice::from_ref(&question), "what it asked is asked again");
    }
}

#[test]
fn a_blocked_tasks_total_time_stands_still_and_its_wait_is_kept() {
    let wake = Wake { due: Some(9_000), remaining_nanos: 10, on: vec![WakeOn::Cancellation] };
    for (state, left) in [(State::Running, left()), (State::Waiting(WaitingReason::Timer), None)] {
        let before = Status { wake: left.is_none().then(|| wake.clone()), ..status(state) };
        let facts = Facts { left, ..facts() };
        let change = plan(about(None), &before, Event::Blocked { since: 2_000 }, facts).expect("blocked");
        let stands = change.status;
        assert_eq!((stands.attempt, &stands.wake), (before.attempt, &before.wake), "{state}");
        let change = plan(about(None), &stands, Event::Unblocked { at: 4_500 }, facts).expect("unblocked");
        assert_eq!(change.status.since, before.since + 2_500, "{state}");
        assert_eq!((change.status.attempt, change.status.wake), (before.attempt, before.wake), "{state}");
    }
    // A clock that was set back meanwhile takes no time away.
    let stands = plan(about(None), &status(State::Running), Event::Blocked { since: 2_000 }, facts());
    let stands = stands.expect("blocked").status;
    let change = plan(about(None), &stands, Event::Unblocked { at: 1_500 }, facts()).expect("unblocked");
    assert_eq!(change.status.since, CREATED);
}

#[test]
fn a_task_begins_queued_and_a_delayed_one_has_its_time() {
    let link = Link { root: id(2), parent: id(2), epoch: 0, op: 4, detached: false };
    let now = plan_new(about(None), [5; 32], Duration::ZERO);
    assert_eq!(draw(&now), "queued (new) [Status Open] [#Submitted, opened+0, tasks]");
    assert_eq!((now.status.wake, now.status.seed), (None, [5; 32]));
    let later = plan_new(about(Some(link)), [5; 32], Duration::from_nanos(9));
    assert_eq!(draw(&later), "queued (new) [Status Open] [#Submitted, opened+9, tasks, parent]");
    let wake = Wake { due: Some(CREATED + 9), remaining_nanos: 9, on: Vec::new() };
    assert_eq!(later.status.wake, Some(wake));
}
