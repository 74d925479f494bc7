//! How near do acknowledged journal records come to a bare log on the same disk?
//!
//! The control appends the same bytes to a file and calls fdatasync once a group, with the same way of forming
//! groups. Against it stand the store alone, and the engine's own door: a runner that records and waits for the
//! barrier. All take turns: on a shared machine only their ratio means anything.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use longhaul::StoreOptions;
use longhaul::authority::Principal;
use longhaul::catalog::{Catalog, Component, Inspection, Tool, ToolDefinition};
use longhaul::engine::{
    Attempt, BoxFuture, EngineOptions, InspectError, Outcome, Runner, Submission, TaskEngine,
};
use longhaul::rows_on_disk::{Batch, Guard, Space, Store};
use longhaul::task::{ComponentId, ToolResult};
use serde_json::json;
use tokio::sync::{Barrier, oneshot};

use crate::measure::{Row, Sample, median, micros, rate, shown};

pub const RECORD_BYTES: usize = 200;
const ROUNDS: usize = 3;
const SPAN: Duration = Duration::from_millis(1_200);

pub fn run(folder: &Path) -> Vec<Row> {
    let runtime = crate::runtime();
    let mut rows = Vec::new();
    for submitters in [1, 1_000] {
        let (mut logs, mut stores, mut engines) = (Vec::new(), Vec::new(), Vec::new());
        let (mut of_stores, mut of_engines) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let scratch = tempfile::tempdir_in(folder).expect("a folder");
            let at = |name: &str| scratch.path().join(name);
            let log = runtime.block_on(of_log(&at("log"), submitters));
            let store = runtime.block_on(of_store(&at("store"), submitters));
            let engine = runtime.block_on(of_engine(&at("engine"), submitters));
            of_stores.push(100.0 * store.per_second() / log.per_second());
            of_engines.push(100.0 * engine.per_second() / log.per_second());
            logs.push(log);
            stores.push(store);
            engines.push(engine);
        }
        let log = Sample::merged(logs);
        let seen = |sample: &Sample| {
            format!("{}; p50 {}, p99 {}", rate(sample.per_second()), shown(sample.p50()), shown(sample.p99()))
        };
        let who = if submitters == 1 { "1 submitter".to_owned() } else { format!("{submitters} submitters") };
        for (door, sample, shares) in [
            ("engine", Sample::merged(engines), of_engines),
            ("store alone", Sample::merged(stores), of_stores),
        ] {
            let share = median(shares);
            let row = Row::new(
                format!("journal records, {door}, {who}"),
                seen(&sample),
                format!("{share:.0} % of the log's {}", seen(&log)),
            );
            let goal = if submitters == 1 { 35.0 } else { 40.0 };
            rows.push(if door == "engine" { row.at_least(share, goal) } else { row });
        }
    }
    rows
}

pub async fn of_store(folder: &Path, submitters: usize) -> Sample {
    let store = Store::open(folder, StoreOptions::default()).expect("a store");
    let sample = closed_loop(submitters, |submitter| {
        let store = store.clone();
        let task = (submitter as u128).to_be_bytes();
        drop(store.enqueue(Batch::new().lease(task, 1)).expect("room in the queue"));
        let mut sequence = 0u64;
        move || {
            let mut key = Vec::with_capacity(24);
            key.extend_from_slice(&task);
            key.extend_from_slice(&sequence.to_be_bytes());
            sequence += 1;
            let batch = Batch::new().guard(Guard::Lease { task, token: 1 }).put(
                Space::Journal,
                key,
                vec![sequence as u8; RECORD_BYTES],
            );
            let ack = store.enqueue(batch).expect("room in the queue");
            async {
                ack.await.expect("an acknowledgement");
            }
        }
    })
    .await;
    store.close().await.expect("a clean close");
    sample
}

async fn of_log(path: &Path, submitters: usize) -> Sample {
    let log = Arc::new(BareLog::default());
    let file = OpenOptions::new().create_new(true).append(true).open(path).expect("a file");
    let writer = std::thread::spawn({
        let log = log.clone();
        move || log.write(file)
    });
    let sample = closed_loop(submitters, |submitter| {
        let log = log.clone();
        let task = (submitter as u128).to_be_bytes();
        let mut sequence = 0u64;
        move || {
            let mut record = Vec::with_capacity(RECORD_BYTES + 24);
            record.extend_from_slice(&task);
            record.extend_from_slice(&sequence.to_be_bytes());
            record.resize(record.len() + RECORD_BYTES, sequence as u8);
            sequence += 1;
            let ack = log.append(record);
            async { ack.await.expect("an acknowledgement") }
        }
    })
    .await;
    log.close();
    writer.join().expect("the log's writer");
    sample
}

/// Each submitter is a task of the engine that records all the time.
async fn of_engine(folder: &Path, submitters: usize) -> Sample {
    let door = Arc::new(Door { start: Barrier::new(submitters + 1), taken: Mutex::default() });
    let options = EngineOptions { live_instances: submitters, ..EngineOptions::default() };
    let engine =
        TaskEngine::open(folder, Arc::new(Recording(door.clone())), options).await.expect("an engine");
    let definition = ToolDefinition::new("door", "Records.", json!({"type": "object"}));
    let id = ComponentId::of_closures("door", "1");
    let tool = Tool::new(definition, id.clone(), "door");
    let component = Component::of_tools("door", id, vec![tool]).expect("a component");
    engine.set_catalog(Arc::new(Catalog::default().with(component).expect("a catalog")));
    engine.start().await.expect("started");
    let mut tasks = Vec::with_capacity(submitters);
    for _ in 0..submitters {
        let submission = Submission {
            tool: "door".into(),
            arguments: json!({}),
            principal: Principal::local(),
            idempotency_key: None,
            trace: None,
        };
        tasks.push(engine.submit(submission).await.expect("submitted").id);
    }
    // Each records for the span and hands in what it measured when that is over.
    door.start.wait().await;
    let patience = Duration::from_secs(60);
    for task in tasks {
        let task = engine.wait(&Principal::local(), task, patience).await.expect("read");
        assert_eq!(task.state.name(), "completed", "{:?}", task.error);
    }
    engine.shutdown().await;
    let taken = std::mem::take(&mut *door.taken.lock().expect("the list"));
    Sample::new(taken, SPAN)
}

struct Door {
    start: Barrier,
    taken: Mutex<Vec<f64>>,
}

impl Door {
    async fn record(&self, attempt: Attempt) -> Vec<f64> {
        let recorder = attempt.recorder;
        let mut taken = Vec::with_capacity(1024);
        self.start.wait().await;
        let start = Instant::now();
        for number in 0.. {
            let began = Instant::now();
            recorder.record(1, number, &[number as u8; RECORD_BYTES]).expect("recorded");
            recorder.barrier().await.expect("durable");
            // What ends later does not count, here as in the others.
            if start.elapsed() >= SPAN {
                break;
            }
            taken.push(micros(began.elapsed()));
        }
        taken
    }
}

/// The runner of those tasks.
struct Recording(Arc<Door>);

impl Runner for Recording {
    fn inspect(&self, _component: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>> {
        Box::pin(async { Err(InspectError::Unsupported("this runner only records".into())) })
    }

    fn run(&self, attempt: Attempt) -> BoxFuture<Outcome> {
        let door = self.0.clone();
        Box::pin(async move {
            let taken = door.record(attempt).await;
            door.taken.lock().expect("the list").extend(taken);
            Outcome::Completed(ToolResult::default())
        })
    }
}

/// Each submitter has one record under way, always.
pub async fn closed_loop<S, F, A>(submitters: usize, mut submitter: S) -> Sample
where
    S: FnMut(usize) -> F,
    F: FnMut() -> A + Send + 'static,
    A: Future<Output = ()> + Send,
{
    let start = Instant::now();
    let tasks: Vec<_> = (0..submitters)
        .map(|number| {
            let mut submit = submitter(number);
            tokio::spawn(async move {
                let mut taken = Vec::with_capacity(1024);
                loop {
                    let began = Instant::now();
                    submit().await;
                    if start.elapsed() >= SPAN {
                        return taken;
                    }
                    taken.push(micros(began.elapsed()));
                }
            })
        })
        .collect();
    let mut taken = Vec::new();
    for task in tasks {
        taken.extend(task.await.expect("a submitter"));
    }
    Sample::new(taken, SPAN)
}

/// A record and who waits for it.
type Waiting = (Vec<u8>, oneshot::Sender<()>);

/// Append, fdatasync, acknowledge: the least that durable records can cost.
#[derive(Default)]
struct BareLog {
    queue: Mutex<(Vec<Waiting>, bool)>,
    bell: Condvar,
}

impl BareLog {
    fn append(&self, record: Vec<u8>) -> oneshot::Receiver<()> {
        let (sender, ack) = oneshot::channel();
        self.queue.lock().expect("the queue").0.push((record, sender));
        self.bell.notify_one();
        ack
    }

    fn close(&self) {
        self.queue.lock().expect("the queue").1 = true;
        self.bell.notify_one();
    }

    fn write(&self, mut file: File) {
        let mut bytes = Vec::new();
        loop {
            let group = {
                let mut queue = self.queue.lock().expect("the queue");
                while queue.0.is_empty() {
                    if queue.1 {
                        return;
                    }
                    queue = self.bell.wait(queue).expect("the queue");
                }
                std::mem::take(&mut queue.0)
            };
            bytes.clear();
            for (record, _) in &group {
                bytes.extend_from_slice(record);
            }
            file.write_all(&bytes).expect("an append");
            file.sync_data().expect("a sync");
            for (_, sender) in group {
                let _ = sender.send(());
            }
        }
    }
}
