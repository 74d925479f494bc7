//! Samples of the endpoint, of several principals at once.

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::*;
use crate::engine::ports::{BoxFuture, Sampled, Sampler};
use crate::engine::questions::asked::Ask;
use crate::shares::{Account, Bound, Bounds, Pool};
use crate::task::By;

/// Answers each once there is a permit for it, and keeps whose it was.
struct Endpoint {
    asked: Mutex<Vec<String>>,
    gate: Arc<Semaphore>,
}

impl Sampler for Endpoint {
    fn sample(&self, request: Value, _: String) -> BoxFuture<Result<Sampled, String>> {
        self.asked.lock().push(request["whose"].as_str().unwrap_or_default().to_owned());
        let gate = self.gate.clone();
        Box::pin(async move {
            gate.acquire().await.expect("open").forget();
            Ok(Sampled { message: json!({"model": "stand-in", "content": "well"}), tokens: Some(1) })
        })
    }
}

#[tokio::test]
async fn the_endpoint_is_asked_next_for_the_principal_that_it_works_least_for() {
    let world = World::new();
    let gate = Arc::new(Semaphore::new(0));
    let endpoint = Arc::new(Endpoint { asked: Mutex::default(), gate: gate.clone() });
    let closures =
        Closures::new().tool(definition("ask"), "1", |steps: Steps, arguments: Value| async move {
            let request = json!({"messages": [], "whose": arguments["whose"]}).to_string();
            let asking = steps.ask(None, By::Any, Ask::Sample { request, max_tokens: 1 }, DAY)?;
            steps.answer(asking).await?;
            Ok(ToolResult::text("answered"))
        });
    let catalog = Arc::new(closures.catalog().expect("a catalog"));
    let mut bounds = Bounds::default();
    bounds[Pool::Sampling] = Bound { process: 3, share: 2, reserve: 0 };
    let options = EngineOptions {
        sampler: Some(endpoint.clone()),
        shares: Some(Account::new(bounds)),
        ..world.options()
    };
    let engine = TaskEngine::open(world.path(), Arc::new(closures), options).await.expect("an engine");
    engine.set_catalog(catalog);
    engine.start().await.expect("a start");

    let asked = || endpoint.asked.lock().len();
    let mut tasks = Vec::new();
    for who in ["eve", "eve", "eve", "eve", "ann", "ann", "bob"] {
        let principal = Principal::new(who, vec!["*".to_owned()]);
        let submission = Submission {
            tool: "ask".to_owned(),
            arguments: json!({"whose": who}),
            principal: principal.clone(),
            idempotency_key: None,
            trace: None,
        };
        let id = engine.submit(submission).await.expect("a task").id;
        // One behind the other, so that all of eve's stand before those of others.
        tasks.push((principal, id));
        until_true(|| asked() + engine.shared.sampling.waiting() == tasks.len()).await;
    }
    for answered in 0..=tasks.len() {
        let expected = (answered + 3).min(tasks.len());
        until_true(|| asked() == expected).await;
        at_once::others_run().await;
        assert_eq!(asked(), expected, "never more than three at once");
        gate.add_permits(1);
    }
    // The oldest is answered each time: ann's first goes before eve's third, bob's before eve's fourth.
    assert_eq!(*endpoint.asked.lock(), ["eve", "eve", "ann", "bob", "eve", "ann", "eve"]);
    for (principal, id) in tasks {
        let view = engine.wait(&principal, id, Duration::from_secs(20)).await.expect("a task");
        assert_eq!(view.state.name(), "completed");
    }
    engine.shutdown().await;
}
