//! What does a question cost, from the answer's arrival to the guest that goes on with it?
//!
//! A closure asks ten questions one after the other (as many as one task may), and each is answered as soon as it is on disk. Against it
//! stands the same closure with durable steps instead, one commit each: a question has three, the asking, the answer,
//! and the guest's taking it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longhaul::authority::Principal;
use longhaul::catalog::ToolDefinition;
use longhaul::engine::closures::{Closures, StepError, Steps};
use longhaul::engine::questions::{AnsweredVia, Ask, Given};
use longhaul::engine::{EngineOptions, TaskEngine};
use longhaul::task::{By, ToolResult};
use serde_json::{Value, json};

use crate::filler::submit_to;
use crate::measure::{Row, Sample, micros, shown};

const QUESTIONS: usize = 10;
const ROUNDS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(folder: &Path) -> Vec<Row> {
    let scratch = tempfile::tempdir_in(folder).expect("a folder");
    let (answers, steps) = crate::runtime().block_on(both(scratch.path()));
    let ratio = answers.p50() / steps.p50();
    vec![Row::new(
        "a question: from its answer to the next question",
        format!("p50 {}, p99 {}", shown(answers.p50()), shown(answers.p99())),
        format!("{ratio:.1} times a durable step, p50 {}", shown(steps.p50())),
    )]
}

/// Each answered question, and each step of the control.
async fn both(folder: &Path) -> (Sample, Sample) {
    let closures = tools();
    let catalog = closures.catalog().expect("a catalog");
    let engine = TaskEngine::open(folder, Arc::new(closures), EngineOptions::default()).await;
    let engine = engine.expect("an engine");
    engine.set_catalog(Arc::new(catalog));
    engine.start().await.expect("a start");
    let (mut answers, mut steps) = (Vec::new(), Vec::new());
    let start = Instant::now();
    for _ in 0..ROUNDS {
        answers.extend(asked(&engine).await);
        let begun = Instant::now();
        let id = submit_to(&engine, "steps", json!({})).await;
        engine.wait(&Principal::local(), id, PATIENCE).await.expect("a task");
        steps.extend(vec![micros(begun.elapsed()) / QUESTIONS as f64; QUESTIONS]);
    }
    engine.shutdown().await;
    (Sample::new(answers, start.elapsed()), Sample::new(steps, start.elapsed()))
}

/// From each answer to when the next question, or the end, is seen.
async fn asked(engine: &TaskEngine) -> Vec<f64> {
    let local = Principal::local();
    let id = submit_to(engine, "asker", json!({})).await;
    let follower = engine.feed().follow(id).expect("a follower");
    let (mut taken, mut answered): (Vec<f64>, Option<(String, Instant)>) = (Vec::new(), None);
    loop {
        let document = engine.task(&local, id).await.expect("a task");
        let open = document.questions.first().map(|question| question.key.clone());
        let is_next = answered.as_ref().is_none_or(|(key, _)| open.as_ref() != Some(key));
        if let (Some((_, at)), true) =
            (&answered, is_next && (open.is_some() || document.state.is_terminal()))
        {
            taken.push(micros(at.elapsed()));
            answered = None;
        }
        if document.state.is_terminal() {
            assert_eq!(taken.len(), QUESTIONS, "{}", document.state);
            return taken;
        }
        match open {
            Some(key) if answered.is_none() => {
                let begun = Instant::now();
                let hand = AnsweredVia { channel: "bench", is_person: true };
                let given = Given::Accept(json!({"yes": true}));
                engine.answer(&local, id, Some(&key), given, hand).await.expect("answered");
                answered = Some((key, begun));
            }
            _ => {
                tokio::time::timeout(PATIENCE, follower.next()).await.expect("it goes on");
            }
        }
    }
}

fn tools() -> Closures {
    let definition = |name: &str| ToolDefinition::new(name, "A bench.", json!({"type": "object"}));
    let asker = |steps: Steps, _: Value| async move {
        let schema = json!({"type": "object", "properties": {"yes": {"type": "boolean"}}}).to_string();
        for number in 0..QUESTIONS {
            let ask = Ask::Form { message: "Yes?".to_owned(), schema: schema.clone() };
            let asking = steps.ask(Some(&format!("question-{number}")), By::Person, ask, PATIENCE)?;
            steps.answer(asking).await?;
        }
        Ok(ToolResult::text("done"))
    };
    let control = |steps: Steps, _: Value| async move {
        for number in 0..QUESTIONS {
            steps.step(&format!("step-{number}"), || async { Ok::<_, StepError>(true) }).await?;
        }
        Ok(ToolResult::text("done"))
    };
    Closures::new().tool(definition("asker"), "1", asker).tool(definition("steps"), "1", control)
}
