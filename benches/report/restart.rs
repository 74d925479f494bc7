//! How long after its start does a store take its first submission, next to redb alone on the same file?
//!
//! A child process fills a store and is stopped, killed while idle, or killed under load. What it left is copied
//! once for the engine and once for redb, and after a crash again for each try: what was stopped is stopped again.
//! The copies are in the page cache and synced. The two take turns in who is first.
//!
//! redb opens on a thread of its own, as the engine does: the main thread's heap would keep the memory of earlier
//! tries for it, and a repair spends as much time on getting pages of memory as on reading.
//!
//! A submission is durable when it is answered, so the control commits a row too: redb opens the file, repairs it
//! where it has to, and commits one row. How long the opening alone took stands next to it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use longhaul::limits;

use crate::filler;
use crate::measure::{Row, median, micros, shown};

/// First argument of the child process.
pub const CHILD: &str = "fill-a-store";
pub const FILE_NAME: &str = "longhaul.redb";
const STORE_MIB: u64 = 200;
/// Results stay with their task below 16 KiB; this is a long answer of a model.
const RESULT_BYTES: u64 = 8 * 1024;
const TRIES: usize = 15;
/// More, as a clean start takes half a millisecond, what it takes varies, and none of these needs a copy.
const CLEAN_TRIES: usize = 51;

#[derive(Clone, Copy, PartialEq)]
enum Left {
    CleanStop,
    IdleCrash,
    LoadedCrash,
}

pub fn run(folder: &Path) -> Vec<Row> {
    let mib = crate::number("LONGHAUL_BENCH_STORE_MIB").unwrap_or(STORE_MIB);
    let scratch = tempfile::tempdir_in(folder).expect("a folder");
    let filled = scratch.path().join("store");
    let states = [
        (Left::CleanStop, "clean stop", "fill"),
        (Left::IdleCrash, "idle crash", "touch"),
        (Left::LoadedCrash, "crash under load", "load"),
    ];
    let runtime = crate::runtime();
    let mut rows = Vec::new();
    for (left, name, task) in states {
        leave(&filled, left, task, mib);
        let (mut ours, mut opened, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        let (engine, redb) = (scratch.path().join("engine"), scratch.path().join("redb"));
        let tries = if left == Left::CleanStop { CLEAN_TRIES } else { TRIES };
        for attempt in 0..tries {
            if attempt == 0 || left != Left::CleanStop {
                copy(&filled, &engine);
                copy(&filled, &redb);
                keep_redb_alone(&redb.join(FILE_NAME));
            }
            for of_engine in [attempt % 2 == 0, attempt % 2 != 0] {
                if of_engine {
                    ours.push(runtime.block_on(open_engine(&engine)));
                } else {
                    let (opening, with_row) = open_redb(&redb.join(FILE_NAME));
                    opened.push(opening);
                    bare.push(with_row);
                }
            }
        }
        let bytes = fs::metadata(filled.join(FILE_NAME)).map_or(0, |file| file.len());
        let (ours, opened, bare) = (median(ours), median(opened), median(bare));
        rows.push(
            Row::new(
                format!("start to first submission, {name}, file of {} MiB", bytes >> 20),
                shown(ours),
                format!(
                    "{:.2} times redb's opening and first row, {} ({:.2} its opening, {})",
                    ours / bare,
                    shown(bare),
                    ours / opened,
                    shown(opened)
                ),
            )
            .at_most((ours / bare * 100.0).round() / 100.0, if left == Left::IdleCrash { 1.2 } else { 1.5 }),
        );
    }
    rows
}

/// Brings the store into the state that is asked for, by a process of its own.
fn leave(folder: &Path, left: Left, task: &str, mib: u64) {
    let mut filler = Filler::start(folder, task, mib);
    match left {
        Left::CleanStop => {
            // Its stdin ends, and it shuts down.
            drop(filler.stdin);
            assert!(filler.child.wait().expect("a child").success());
        }
        Left::IdleCrash => {
            std::thread::sleep(Duration::from_secs(2));
            filler.kill();
        }
        Left::LoadedCrash => {
            std::thread::sleep(Duration::from_secs(1));
            filler.kill();
        }
    }
}

struct Filler {
    child: Child,
    stdin: ChildStdin,
}

impl Filler {
    /// Returns when the child has done what comes before its end.
    fn start(folder: &Path, task: &str, mib: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(CHILD).arg(folder).arg(task).arg(mib.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child");
        let stdin = child.stdin.take().expect("piped");
        let stdout: ChildStdout = child.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n", "the child failed: its words are above");
        Self { child, stdin }
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("a child");
    }
}

/// The child: `FOLDER fill|touch|load MIB`.
pub fn child(arguments: &[String]) {
    let [folder, task, mib] = arguments else { panic!("FOLDER fill|touch|load MIB") };
    let (folder, mib) = (PathBuf::from(folder), mib.parse::<u64>().expect("a number"));
    crate::runtime().block_on(async {
        let engine = filler::open(&folder).await;
        engine.start().await.expect("started");
        match task.as_str() {
            "fill" => filler::fill(&engine, (mib << 20) / RESULT_BYTES, RESULT_BYTES).await,
            "touch" => filler::fill(&engine, 100, RESULT_BYTES).await,
            // Until it is killed.
            _ => drop(tokio::spawn({
                let engine = engine.clone();
                async move { filler::fill(&engine, u64::MAX, RESULT_BYTES).await }
            })),
        }
        println!("ready");
        std::io::stdout().flush().expect("told");
        tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()))
            .await
            .expect("a thread")
            .expect("a line");
        engine.shutdown().await;
    });
}

pub fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).expect("removed");
    }
    fs::create_dir(to).expect("a folder");
    for file in fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        if file.file_type().expect("a type").is_file() {
            let target = to.join(file.file_name());
            fs::copy(file.path(), &target).expect("copied");
            // Or the first sync that is measured would write the whole copy.
            File::open(target).and_then(|file| file.sync_all()).expect("synced");
        }
    }
}

/// Leaves of a store's file what is redb's: behind the header's page and the ring, whose size stands in the header.
fn keep_redb_alone(path: &Path) {
    const PAGE_BYTES: u64 = 4096;
    const RING_BYTES_AT: u64 = 24;
    let mut size = [0; 8];
    let mut file = File::open(path).expect("the store");
    file.seek(SeekFrom::Start(RING_BYTES_AT)).expect("its header");
    file.read_exact(&mut size).expect("its header");
    file.seek(SeekFrom::Start(PAGE_BYTES + u64::from_le_bytes(size))).expect("redb's part");
    let part = path.with_extension("part");
    let mut alone = File::create(&part).expect("a file");
    io::copy(&mut file, &mut alone).expect("copied");
    alone.sync_all().expect("synced");
    fs::rename(part, path).expect("named");
}

/// How long redb takes to open the file, and until one row more is durable in it.
fn open_redb(path: &Path) -> (f64, f64) {
    const TABLE: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("bench");
    let open = || {
        let began = Instant::now();
        let database =
            redb::Builder::new().set_cache_size(limits::STORE_CACHE_BYTES).open(path).expect("redb");
        let opened = micros(began.elapsed());
        let transaction = database.begin_write().expect("a transaction");
        transaction.open_table(TABLE).expect("a table").insert(0, [0; 1_000].as_slice()).expect("inserted");
        transaction.commit().expect("committed");
        (opened, micros(began.elapsed()))
    };
    std::thread::scope(|scope| scope.spawn(open).join().expect("a thread"))
}

async fn open_engine(folder: &Path) -> f64 {
    let began = Instant::now();
    let engine = filler::open(folder).await;
    engine.start().await.expect("started");
    filler::submit(&engine, RESULT_BYTES).await;
    let taken = micros(began.elapsed());
    engine.shutdown().await;
    taken
}
