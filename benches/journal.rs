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
const ROUNDS: usize = 3;
const SUBMITTERS: [usize; 3] = [1, 32, 1_000];

fn main() {
    let seconds = std::env::args().skip(1).find_map(|word| word.parse::<f64>().ok()).unwrap_or(1.5);
    let span = Duration::from_secs_f64(seconds);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir_in(std::env::current_dir().expect("a folder")).expect("a folder");

    println!("{RECORD_BYTES}-byte records, each acknowledged after its fsync; median of {ROUNDS} rounds");
    println!(
        "{:>10}  {:>10} {:>9} {:>9}   {:>10} {:>9} {:>9}   {:>6}",
        "submitters", "log /s", "p50 us", "p99 us", "store /s", "p50 us", "p99 us", "ratio"
    );
    for submitters in SUBMITTERS {
        let (mut logs, mut stores, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let name = format!("{submitters}-{round}");
            let log = runtime.block_on(run_log(&folder.path().join(format!("log-{name}")), submitters, span));
            let store =
                runtime.block_on(run_store(&folder.path().join(format!("store-{name}")), submitters, span));
            ratios.push(store.per_second / log.per_second);
            logs.push(log);
            stores.push(store);
        }
        let (log, store) = (median(logs), median(stores));
        ratios.sort_by(f64::total_cmp);
        println!(
            "{submitters:>10}  {:>10.0} {:>9.0} {:>9.0}   {:>10.0} {:>9.0} {:>9.0}   {:>5.0}%",
            log.per_second,
            log.p50,
            log.p99,
            store.per_second,
            store.p50,
            store.p99,
            ratios[ROUNDS / 2] * 100.0
        );
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

async fn run_store(folder: &Path, submitters: usize, span: Duration) -> Measured {
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
