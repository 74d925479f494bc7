//! What is in memory of tasks that wait: no long arguments, and what there is on their principal's account.

use std::sync::atomic::Ordering;

use tokio::sync::Semaphore;

use super::*;
use crate::limits;
use crate::shares::{Account, Bound, Bounds, Pool, Whose};

/// Longer than what stays in memory, and than what is stored within a row.
const LONG: usize = 200_000;

struct Place {
    world: World,
    gate: Arc<Semaphore>,
    bounds: Bounds,
}

impl Place {
    fn new() -> Self {
        Self { world: World::new(), gate: Arc::new(Semaphore::new(0)), bounds: Bounds::default() }
    }

    /// An engine of one instance, and the tool `measure`: it returns how long its text is, once there is a permit.
    async fn start(&self) -> TaskEngine {
        let gate = self.gate.clone();
        let closures = Closures::new().tool(definition("measure"), "1", move |_: Steps, arguments: Value| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.expect("open").forget();
                Ok(ToolResult::text(arguments["text"].as_str().unwrap_or_default().len().to_string()))
            }
        });
        let catalog = Arc::new(closures.catalog().expect("a catalog"));
        let options = EngineOptions {
            live_instances: 1,
            shares: Some(Account::new(self.bounds.clone())),
            ..self.world.options()
        };
        let engine =
            TaskEngine::open(self.world.path(), Arc::new(closures), options).await.expect("an engine");
        engine.set_catalog(catalog);
        engine.start().await.expect("a start");
        engine
    }
}

fn long(number: usize) -> Value {
    json!({ "text": "x".repeat(LONG + number) })
}

/// Bytes of arguments that are in memory of a task that waits.
fn kept(engine: &TaskEngine, id: TaskId) -> Option<usize> {
    let entry = engine.shared.entry(id).expect("an open task");
    let state = entry.lock();
    state.task.as_ref().map(|task| task.arguments.len())
}

#[tokio::test]
async fn long_arguments_of_tasks_that_wait_are_on_disk_alone() {
    let mut place = Place::new();
    place.bounds[Pool::Instances] = Bound { process: 1, share: 1, reserve: 0 };
    let mut engine = place.start().await;
    let mut tasks = Vec::new();
    for number in 0..4 {
        tasks.push(submit(&engine, "measure", long(number)).await);
    }
    for restarted in [false, true] {
        if restarted {
            engine.shutdown().await;
            engine = place.start().await;
        }
        until_true(|| engine.metrics().running == 1).await;
        let shares = engine.shares();
        assert_eq!(shares.used(Pool::TaskMemory), 4 * limits::OPEN_TASK_BYTES);
        // Of the one that runs they are in memory, once it has read them, and on the account.
        let in_memory = || tasks.iter().filter(|id| kept(&engine, **id).is_some()).count();
        until_true(|| in_memory() > 0).await;
        assert_eq!(in_memory(), 1, "restarted: {restarted}");
        assert!(shares.used(Pool::GuestMemory) >= LONG as u64 + limits::GUEST_MEMORY_STEP_BYTES);
    }
    let short = submit(&engine, "measure", json!({"text": "short"})).await;
    assert!(kept(&engine, short).is_some(), "short ones are not read again");
    place.gate.add_permits(5);
    for (number, id) in tasks.into_iter().enumerate() {
        ended(&engine, id).await;
        let said = text(engine.result(&Principal::local(), id).await.expect("a result"));
        assert_eq!(said, (LONG + number).to_string());
    }
    ended(&engine, short).await;
    let shares = engine.shares();
    until_true(|| shares.used(Pool::Memory) == 0).await;
    engine.shutdown().await;
}

#[tokio::test]
async fn an_attempt_waits_until_there_is_room_for_what_it_reads() {
    let mut place = Place::new();
    let mib = 1 << 20;
    for pool in [Pool::Memory, Pool::GuestMemory] {
        place.bounds[pool] = Bound { process: 4 * mib, share: 4 * mib, reserve: 0 };
    }
    let engine = place.start().await;
    let shares = engine.shares().clone();
    let other = shares.take(Pool::GuestMemory, "local", 3 * mib - LONG as u64).expect("room");
    let id = submit(&engine, "measure", long(0)).await;
    place.gate.add_permits(1);
    // It needs three times its arguments, and the memory that each instance begins with.
    until_true(|| !engine.shared.memory.ready.is_empty()).await;
    at_once::others_run().await;
    let entry = engine.shared.entry(id).expect("an open task");
    assert!(entry.is_queued.load(Ordering::SeqCst) && engine.metrics().attempts == 0);
    drop(other);
    ended(&engine, id).await;
    engine.shutdown().await;
}

#[tokio::test]
async fn memory_of_open_tasks_has_a_share() {
    let mut place = Place::new();
    let one = limits::OPEN_TASK_BYTES;
    place.bounds[Pool::TaskMemory] = Bound { process: 4 * one, share: 2 * one, reserve: one };
    let engine = place.start().await;
    let submit_as = async |who: &str| {
        let principal = match who {
            "local" => Principal::local(),
            who => Principal::new(who, vec!["*".to_owned()]),
        };
        let submission = Submission {
            tool: "measure".to_owned(),
            arguments: json!({"text": "short"}),
            principal,
            idempotency_key: None,
            trace: None,
        };
        match engine.submit(submission).await {
            Ok(_) => None,
            Err(EngineError::Share(refused)) => Some((refused.pool, refused.whose)),
            Err(other) => panic!("{other}"),
        }
    };
    for (who, refused) in [
        ("eve", None),
        ("eve", None),
        ("eve", Some(Whose::Principal("eve".into()))),
        ("ann", None),
        ("bob", Some(Whose::Process)),
        ("local", None),
    ] {
        let refused = refused.map(|whose| (Pool::TaskMemory, whose));
        assert_eq!(submit_as(who).await, refused, "{who}");
    }
    assert_eq!(engine.shares().used(Pool::OpenTasks), 4, "what is refused takes no place");
    engine.shutdown().await;
}
