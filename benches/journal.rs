//! How near do acknowledged journal records come to a bare log on the same disk?
//!
//! `cargo bench --no-default-features --bench journal [-- SECONDS]`. The control appends the same bytes to a
//! file and calls fdatasync once a group, with the same way of forming groups. Both take turns within one
//! run: on a shared machine only their ratio means anything.

#![allow(clippy::expect_used)] // It is a bench: whatever goes wrong ends it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use longhaul::store::{Batch, Guard, Space, Store, StoreOptions};
use tokio::sync::oneshot;

const RECORD_BYTES: usize = 200;
const TASK_RECORDS: u64 = 12;
const ROUNDS: usize = 3;
const SUBMITTERS: [usize; 3] = [1, 32, 1_000];

fn main() {
    let seconds = std::env::args().skip(1).find_map(|word| word.parse::<f64>().ok()).unwrap_or(1.5);
    let span = Duration::from_secs_f64(seconds);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir_in(std::env::current_dir().expect("a folder")).expect("a folder");

    println!("{RECORD_BYTES}-byte records, each acknowledged after its fsync; median of {ROUNDS} rounds");
    println!(
        "{:>10} {:>28} {:>9} {:>8} {:>8} {:>6}",
        "submitters", "", "records/s", "p50 us", "p99 us", "of log"
    );
    for submitters in SUBMITTERS {
        let mut rounds: [Vec<Measured>; 3] = Default::default();
        for round in 0..ROUNDS {
            let path = |what: &str| folder.path().join(format!("{what}-{submitters}-{round}"));
            rounds[0].push(runtime.block_on(run_log(&path("log"), submitters, span)));
            let ending = path("ending");
            rounds[1].push(runtime.block_on(run_store(&ending, submitters, span, Some(TASK_RECORDS))));
            rounds[2].push(runtime.block_on(run_store(&path("endless"), submitters, span, None)));
        }
        let names = ["bare log", "store, tasks of 12 records", "store, endless tasks"];
        let mut ratios: [Vec<f64>; 3] = Default::default();
        for (number, ratios) in ratios.iter_mut().enumerate() {
            let ratio = |round: usize| rounds[number][round].per_second / rounds[0][round].per_second;
            ratios.extend((0..ROUNDS).map(ratio));
            ratios.sort_by(f64::total_cmp);
        }
        for ((name, measured), ratios) in names.into_iter().zip(rounds).zip(ratios) {
            let Measured { per_second, p50, p99 } = median(measured);
            let ratio = ratios[ROUNDS / 2] * 100.0;
            println!("{submitters:>10} {name:>28} {per_second:>9.0} {p50:>8.0} {p99:>8.0} {ratio:>5.0}%");
        }
    }
}

struct Measured {
    per_second: f64,
    p50: f64,
    p99: f64,
}

fn median(mut rounds: Vec<Measured>) -> Measured {
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    rounds.swap_remove(ROUNDS / 2)
}

/// `records`: after how many of them a task's journal is deleted, as when its result is recorded.
async fn run_store(folder: &Path, submitters: usize, span: Duration, records: Option<u64>) -> Measured {
    let store = Store::open(folder, StoreOptions::default()).expect("a store");
    let measured = measure(submitters, span, |submitter| {
        let store = store.clone();
        let task = (submitter as u128).to_be_bytes();
        let leased = Batch::new().lease(task, 1);
        let mut sequence = 0u64;
        let began = store.enqueue(leased).expect("room in the queue");
        drop(began);
        move || {
            let mut key = Vec::with_capacity(24);
            key.extend_from_slice(&task);
            key.extend_from_slice(&sequence.to_be_bytes());
            sequence += 1;
            let mut batch = Batch::new().guard(Guard::Lease { task, token: 1 }).put(
                Space::Journal,
                key,
                vec![sequence as u8; RECORD_BYTES],
            );
            if records.is_some_and(|records| sequence.is_multiple_of(records)) {
                batch.add_delete_prefix(Space::Journal, task);
            }
            let ack = store.enqueue(batch).expect("room in the queue");
            async {
                ack.await.expect("an acknowledgement");
            }
        }
    })
    .await;
    store.close().await.expect("a clean close");
    measured
}

async fn run_log(path: &Path, submitters: usize, span: Duration) -> Measured {
    let log = Arc::new(BareLog::default());
    let file = OpenOptions::new().create_new(true).append(true).open(path).expect("a file");
    let writer = std::thread::spawn({
        let log = log.clone();
        move || log.write(file)
    });
    let measured = measure(submitters, span, |submitter| {
        let log = log.clone();
        let task = (submitter as u128).to_be_bytes();
        let mut sequence = 0u64;
        move || {
            let mut record = Vec::with_capacity(RECORD_BYTES + 32);
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
    measured
}

/// Each submitter has one record under way, always.
async fn measure<S, F, A>(submitters: usize, span: Duration, mut submitter: S) -> Measured
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
                let mut micros = Vec::with_capacity(1024);
                while start.elapsed() < span {
                    let began = Instant::now();
                    submit().await;
                    micros.push(began.elapsed().as_secs_f64() * 1e6);
                }
                micros
            })
        })
        .collect();
    let mut micros = Vec::new();
    for task in tasks {
        micros.extend(task.await.expect("a submitter"));
    }
    let per_second = micros.len() as f64 / start.elapsed().as_secs_f64();
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize];
    Measured { per_second, p50: at(0.5), p99: at(0.99) }
}

/// Records with their senders, and whether no more will come.
type LogQueue = (Vec<(Vec<u8>, oneshot::Sender<()>)>, bool);

/// Append, fdatasync, acknowledge: the least that durable records can cost.
#[derive(Default)]
struct BareLog {
    queue: Mutex<LogQueue>,
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
