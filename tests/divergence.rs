//! Guests that do otherwise in their second life than in their first: found out, reported as a divergence, and nothing
//! of it leaves.

use std::sync::Arc;
use std::time::Duration;

use longhaul::api::TaskDocument;
use longhaul::authority::Principal;
use longhaul::catalog::Inspection;
use longhaul::engine::{
    Attempt, BoxFuture, ComponentSource, EngineOptions, InspectError, Outcome, Runner, TaskEngine,
};
use longhaul::sandbox::{Sandbox, SandboxOptions};
use longhaul::task::{ComponentId, FailedReason, State, Task};
use serde_json::json;

use crate::http::Place;
use crate::support::{Server, Web, copy_folder, guest};

/// A foreign component under an old digest: its replay must be found out, and reported as a divergence.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_component_on_an_old_journal_is_found_out() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, tools) = (root.path().join("data"), vec![guest("sleep_loop")]);
    let server = Server::start_with(&data, &tools, &[("LONGHAUL_CRASH", "record:40")]);
    let mut server = server.expect("a server");
    let id = server.client().start("sleep_loop", json!({}), None).await.expect("a task");
    assert!(server.died().is_some());
    let foreign: Arc<[u8]> = std::fs::read(guest("other_program")).expect("a file").into();
    let engine = open(
        &data,
        Swapped::new(move |attempt, task| {
            let foreign = foreign.clone();
            task.component = ComponentId::of_bytes(&foreign);
            attempt.component = ComponentSource::new(move || Ok(foreign.clone()));
        }),
    )
    .await;
    let message = divergence(&engine, &id).await;
    assert!(message.contains("record"), "{message}");
    let journal = engine.journal(&Principal::local(), id.parse().expect("an id")).await.expect("kept");
    assert!(!journal.records.is_empty());
    engine.shutdown().await;
}

/// A request is known by its method, its URL, its headers and its body: one that is another than the recorded one is
/// not sent, and gets no recorded answer.
#[tokio::test(flavor = "multi_thread")]
async fn another_request_than_the_recorded_one_is_found_out() {
    let web = Web::start();
    let mut place = Place::with_grants(&[web.url("")], "unknown_outcome = \"retry\"");
    let program = |method: &str, path: &str, body: &str| {
        let request = json!({"method": method, "url": web.url(path), "body": body});
        json!([{"op": "http", "request": request}, {"op": "step", "name": "end"}])
    };
    let was = program("POST", "/pay", "100");
    let steps = was.as_array().expect("steps");
    let records = place.undisturbed(steps).await.document["steps"].as_u64().expect("a number");
    // Only its intent is on disk; its answer is.
    for edge in ["op_intent:1".to_owned(), format!("record:{records}")] {
        let (data, id) = place.crashed(steps, &edge).await.expect("it died");
        for (number, (what, is)) in [
            ("POST", program("POST", "/pay", "1000")),
            ("PUT", program("PUT", "/pay", "100")),
            ("/other", program("POST", "/other", "100")),
        ]
        .into_iter()
        .enumerate()
        {
            web.forget();
            let copy = data.with_file_name(format!("{}-{number}", edge.replace(':', "-")));
            copy_folder(&data, &copy);
            let arguments = json!({ "program": is }).to_string();
            let swapped = Swapped::new(move |_, task| task.arguments.clone_from(&arguments));
            let engine = open(&copy, swapped).await;
            let message = divergence(&engine, &id).await;
            assert!(
                message.contains("operation 0: the request") && message.contains(what),
                "{edge}: {message}"
            );
            assert_eq!(web.seen(), [], "{edge}: {what}");
            engine.shutdown().await;
        }
    }
}

async fn open(data: &std::path::Path, runner: Swapped) -> TaskEngine {
    let engine = TaskEngine::open(data, Arc::new(runner), EngineOptions::default()).await;
    let engine = engine.expect("the store opens");
    engine.start().await.expect("a start");
    engine
}

/// The task fails as diverged, and can be begun again; what is said of it.
async fn divergence(engine: &TaskEngine, id: &str) -> String {
    let (local, id) = (Principal::local(), id.parse().expect("an id"));
    let document = engine.wait(&local, id, Duration::from_secs(60)).await.expect("a task");
    assert_eq!(document.state, State::Failed(FailedReason::Diverged), "{document:?}");
    let error = TaskDocument::from(document).error.expect("an error");
    assert_eq!(error.next, Some(format!("longhaul task retry {id}")));
    error.message
}

/// What no user can do, since component and arguments are the task's own: others in their place.
struct Swapped {
    sandbox: Sandbox,
    swap: Box<Swap>,
}

type Swap = dyn Fn(&mut Attempt, &mut Task) + Send + Sync;

impl Swapped {
    fn new(swap: impl Fn(&mut Attempt, &mut Task) + Send + Sync + 'static) -> Self {
        Self { sandbox: Sandbox::new(SandboxOptions::default()).expect("a sandbox"), swap: Box::new(swap) }
    }
}

impl Runner for Swapped {
    fn inspect(&self, component: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>> {
        self.sandbox.inspect(component)
    }

    fn run(&self, mut attempt: Attempt) -> BoxFuture<Outcome> {
        let mut task = (*attempt.task).clone();
        (self.swap)(&mut attempt, &mut task);
        attempt.task = Arc::new(task);
        self.sandbox.run(attempt)
    }
}
