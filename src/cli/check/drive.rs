//! Brings the task of a scratch engine to its end: answers its questions, and lets time pass where it waits for nothing
//! else.

use std::time::Duration;

use super::answers::Answers;
use super::folders::Left;
use super::play::{Play, SentRequest, toml_key};
use crate::authority::Principal;
use crate::cli::exit::{CliError, Result};
use crate::clock::{Clock, ManualClock, UnixNanos};
use crate::engine::questions::AnsweredVia;
use crate::engine::{Follower, Idle, Probe, StepKind, Taken, TaskEnd, TaskEngine, TaskView, TraceView};
use crate::limits;
use crate::task::{OutputMeta, QuestionKind, State, TaskId, ToolResult, WaitingReason};

/// What a run came to.
pub struct Run {
    pub view: TaskView,
    /// Of one that completed.
    pub result: Option<ToolResult>,
    pub log: Vec<u8>,
    pub outputs: Vec<(OutputMeta, blake3::Hash)>,
    /// Kinds and hashes of its records but those of time.
    pub calls: Vec<(u8, u64)>,
    pub requests: Vec<SentRequest>,
    pub taken: Taken,
    pub used: Used,
    /// What is in its folders.
    pub left: Left,
    /// Its attempt was interrupted.
    pub was_cut: bool,
}

/// The capabilities that a run used.
#[derive(Clone, Debug, Default)]
pub struct Used {
    pub tools: Vec<String>,
    /// Namespaces of shared state.
    pub state: Vec<String>,
    pub questions: u64,
    pub samples: u64,
    /// Of these, some of a client's model.
    pub has_sampled: bool,
    /// Models of the operator's, by name.
    pub models: Vec<String>,
    /// It called for something in its folders.
    pub has_files: bool,
    /// What it was refused, as lines that would request it.
    pub refused: Vec<String>,
}

type Helpers<'a> = (&'a Play, &'a Probe, &'a ManualClock);

/// What a task waits for.
struct Wait {
    reason: WaitingReason,
    until: Option<UnixNanos>,
    messages: Vec<String>,
}

pub async fn drive(
    engine: &TaskEngine,
    id: TaskId,
    answers: &Answers,
    (play, probe, clock): Helpers<'_>,
) -> Result<Run> {
    let owner = Principal::local();
    let too_many = || CliError::failed("the scratch engine has no room for one that follows its task");
    let follower = engine.feed().follow(id).ok_or_else(too_many)?;
    let mut idle = probe.idle();
    let (mut questions, mut sleeps) = (0, 0);
    loop {
        let view = engine.task(&owner, id).await?;
        let missing = play.missing();
        if !missing.is_empty() {
            return Err(lacking(&missing));
        }
        if view.state.is_terminal() || view.unknown_step.is_some() {
            return of_ended(engine, view, questions, (play, probe, clock)).await;
        }
        if answer(engine, &view, answers, play).await? {
            questions += 1;
            continue;
        }
        let present = idle.borrow_and_update().clone();
        let wait = present.map(|idle| of_idle(&view, idle)).or_else(|| of_view(&view));
        if let Some(wait) = &wait
            && passes(wait, clock)
        {
            sleeps += 1;
            if sleeps > limits::MAX_CHECK_SLEEPS {
                return Err(CliError::failed(format_args!(
                    "the tool has slept {} times and has not come to an end",
                    limits::MAX_CHECK_SLEEPS
                )));
            }
            continue;
        }
        let is_patient = wait.as_ref().is_some_and(|wait| is_for_others(wait.reason));
        let patience = Duration::from_millis(limits::CHECK_PATIENCE_MS);
        tokio::select! {
            _ = next(&follower) => {}
            _ = idle.changed() => {}
            () = play.news.notified() => {}
            () = play.cut.notified() => engine.interrupt(id),
            () = tokio::time::sleep(patience), if is_patient => {
                if let Some(wait) = &wait {
                    end_wait(wait, play, clock);
                }
            }
        }
    }
}

async fn next(follower: &Follower) {
    follower.next().await;
    // What came along needs no look of its own.
    while follower.try_next().is_some() {}
}

/// Whether another could end it, who is played by the file alone here.
fn is_for_others(reason: WaitingReason) -> bool {
    matches!(reason, WaitingReason::Message | WaitingReason::State)
}

/// Lets time pass up to the end of a wait for nothing but time. Whether it did.
fn passes(wait: &Wait, clock: &ManualClock) -> bool {
    wait.reason == WaitingReason::Timer && wait.until.is_some_and(|until| pass(until, clock))
}

fn pass(until: UnixNanos, clock: &ManualClock) -> bool {
    let left = until.saturating_sub(clock.wall());
    if left > 0 {
        clock.advance(Duration::from_nanos(left));
    }
    left > 0
}

/// It waits for what nothing brings: its time passes, or it has none, and the file lacks something.
fn end_wait(wait: &Wait, play: &Play, clock: &ManualClock) {
    match wait.until {
        Some(until) => drop(pass(until, clock)),
        None if wait.reason == WaitingReason::Message => {
            let name = wait.messages.first().map_or("…", String::as_str);
            play.lacks(format!("[[messages]]\nname = \"{name}\"\npayload = {{ … }}"));
        }
        None => play.lacks(
            "# it waits, without an end, for an entry of shared state that another tool writes: no file plays that".into(),
        ),
    }
}

fn of_idle(view: &TaskView, idle: Idle) -> Wait {
    let until = idle.until.map(|until| view.created_at.saturating_add(until));
    Wait { reason: idle.reason, until, messages: idle.messages.unwrap_or_default() }
}

fn of_view(view: &TaskView) -> Option<Wait> {
    let reason = match view.state {
        State::Waiting(reason) => reason,
        // A try again, after its backoff.
        State::Queued(_) => WaitingReason::Timer,
        _ => return None,
    };
    Some(Wait { reason, until: view.wake_at, messages: Vec::new() })
}

/// Answers one question that is open, if there is any that a person answers.
async fn answer(engine: &TaskEngine, view: &TaskView, answers: &Answers, play: &Play) -> Result<bool> {
    let by_person = view.questions.iter().find(|question| question.kind != QuestionKind::Sample);
    let Some(question) = by_person else { return Ok(false) };
    let Some(given) = answers.question(&question.key) else {
        let key = toml_key(&question.key);
        let key = if key.starts_with('"') { key } else { format!("\"{key}\"") };
        play.lacks(format!("[[questions]]\nkey = {key}\naccept = {{ … }}"));
        return Ok(false);
    };
    let via = AnsweredVia { channel: "check", is_person: true };
    let answered = engine.answer(&Principal::local(), view.id, Some(&question.key), given, via).await;
    answered.map_err(|error| {
        let error = CliError::from(error);
        CliError::usage(format_args!("[[questions]] '{}': {}", question.key, error.message))
    })?;
    Ok(true)
}

/// The entries to write.
fn lacking(missing: &[String]) -> CliError {
    CliError::usage(format_args!(
        "nothing leaves this machine, and the file of answers does not have what the tool asks for; write:\n\n{}\n",
        missing.join("\n\n")
    ))
    .next("longhaul tool check PATH --args JSON --answers FILE")
}

async fn of_ended(
    engine: &TaskEngine,
    view: TaskView,
    questions: u64,
    (play, probe, _): Helpers<'_>,
) -> Result<Run> {
    let (owner, id) = (Principal::local(), view.id);
    let result = match engine.result(&owner, id).await? {
        TaskEnd::Completed(result) => Some(result),
        TaskEnd::NotYet(_) | TaskEnd::Failed(..) | TaskEnd::Cancelled(_) => None,
    };
    let whole = usize::try_from(limits::MAX_OUTPUT_BYTES).unwrap_or(usize::MAX);
    let mut outputs = Vec::new();
    for meta in &view.outputs {
        let slice = engine.output(&owner, id, &meta.name, 0, whole).await?;
        outputs.push((meta.clone(), blake3::hash(&slice.bytes)));
    }
    let log = engine.log(&owner, id, 0, whole).await?.bytes;
    let mut state: Vec<String> = Vec::new();
    for entry in engine.steps(&owner, id).await?.entries {
        // `VERB NAMESPACE/KEY`
        if let TraceView::Step(step) = entry
            && step.kind == StepKind::State
            && let Some((_, place)) = step.label.split_once(' ')
        {
            state.push(place.split('/').next().unwrap_or_default().to_owned());
        }
    }
    state.sort_unstable();
    state.dedup();
    Ok(Run {
        result,
        log: log.to_vec(),
        outputs,
        calls: probe.calls().into_values().collect(),
        requests: play.requests(),
        taken: probe.taken(),
        used: Used {
            tools: play.tools(),
            state,
            questions,
            samples: play.samples(),
            has_sampled: play.has_sampled(),
            models: play.models(),
            has_files: false,
            refused: probe.refused(),
        },
        left: Left::new(),
        was_cut: probe.is_over(),
        view,
    })
}
