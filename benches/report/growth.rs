//! How cost grows: a link, ten steps, a start and memory by tasks in the store, and rates by clients.
//!
//! Each store is filled once and copied for each round, so that what is measured in one round is not in the next. Ended tasks
//! are the engine's own closures', those that wait sleep in a guest.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Call;
use crate::crowds::so_many;
use crate::measure::{Row, median, micros, rate, shown};
use crate::plot::{Line, Panel};
use crate::processor::{Asked, Spent, link, measure, ten_steps, tools};
use crate::program::Program;
use crate::usage::Usage;
use crate::{filler, machine, plot, restart};

/// Up to LONGHAUL_BENCH_TASKS.
const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
const MOST: u64 = 100_000;
/// One task in so many waits.
const WAITING_PART: u64 = 50;
const CLIENTS: [usize; 5] = [1, 4, 16, 64, 256];
const RESULT_BYTES: u64 = 100;
const ROUNDS: usize = 3;
const STARTS: usize = 3;
const SPAN: Duration = Duration::from_secs(1);
/// After which a store has nothing to repair.
const IDLE: Duration = Duration::from_millis(500);
/// Larger stores are measured in place: a copy would take longer than what is measured, and adds little to them.
const COPIED: u64 = 100_000;
/// Tasks leave memory as soon as they wait.
const CONFIGURATION: &str = "[engine]\nsuspend_grace_ms = 10\n";

/// A store of so many tasks, as medians: milliseconds and MiB.
struct OfTasks {
    tasks: u64,
    waiting: u64,
    link: f64,
    ten: f64,
    start: f64,
    memory: f64,
    file: f64,
}

/// So many clients, as medians.
struct OfClients {
    clients: usize,
    link: Figures,
    ten: Figures,
    memory: f64,
}

struct Figures {
    per_second: f64,
    p50: f64,
    processor: f64,
}

pub fn run(folder: &Path) -> Vec<Row> {
    let scratch = tempfile::tempdir_in(folder).expect("a folder");
    let guests = scratch.path().join("tools");
    std::fs::create_dir(&guests).expect("a folder");
    tools(&guests);
    let tasks = by_tasks(scratch.path(), &guests);
    let clients = by_clients(scratch.path(), &guests);
    if crate::number("LONGHAUL_BENCH_WRITE") == Some(1) {
        write(&tasks, &clients, folder);
    }
    let mut rows: Vec<Row> = tasks.iter().map(|of| row_of_tasks(of, &tasks[0])).collect();
    rows.extend(clients.iter().map(row_of_clients));
    rows
}

fn row_of_tasks(of: &OfTasks, least: &OfTasks) -> Row {
    let shown = |ms: f64| shown(ms * 1e3);
    Row::new(
        format!("{} tasks, {} of them waiting", of.tasks, of.waiting),
        format!("link {}, ten steps {}", shown(of.link), shown(of.ten)),
        format!(
            "start {}, {:.0} MiB of memory, {:.0} of file; link {:.2}, ten {:.2} times",
            shown(of.start),
            of.memory,
            of.file,
            of.link / least.link,
            of.ten / least.ten
        ),
    )
    .at_most(((of.ten / least.ten).max(of.link / least.link) * 100.0).round() / 100.0, 1.5)
}

fn row_of_clients(of: &OfClients) -> Row {
    let seen = |figures: &Figures| {
        let Figures { per_second, p50, processor } = figures;
        format!("{}; p50 {}; processor {}", rate(*per_second), shown(p50 * 1e3), shown(*processor))
    };
    Row::new(
        format!("{} clients", of.clients),
        format!("links {}", seen(&of.link)),
        format!("ten {}", seen(&of.ten)),
    )
}

/// In turns, so that what else the machine does falls on all.
fn by_tasks(scratch: &Path, guests: &Path) -> Vec<OfTasks> {
    let most = crate::number("LONGHAUL_BENCH_TASKS").unwrap_or(MOST).max(SIZES[0]);
    let sizes: Vec<u64> = SIZES.into_iter().filter(|tasks| *tasks <= most).collect();
    let stores: Vec<PathBuf> = sizes.iter().map(|tasks| scratch.join(format!("{tasks}"))).collect();
    for (tasks, store) in sizes.iter().zip(&stores) {
        fill(store, scratch, guests, *tasks);
    }
    let copy = scratch.join("copy");
    let mut found: Vec<Vec<OfTasks>> = sizes.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for ((tasks, store), found) in sizes.iter().zip(&stores).zip(&mut found) {
            let store = if *tasks > COPIED {
                store
            } else {
                restart::copy(store, &copy);
                &copy
            };
            found.push(of_store(store, scratch, guests, *tasks));
        }
    }
    let median_of = |rounds: Vec<OfTasks>| {
        let of = |figure: fn(&OfTasks) -> f64| median(rounds.iter().map(figure));
        OfTasks {
            tasks: rounds[0].tasks,
            waiting: rounds[0].waiting,
            link: of(|found| found.link),
            ten: of(|found| found.ten),
            start: of(|found| found.start),
            memory: of(|found| found.memory),
            file: of(|found| found.file),
        }
    };
    found.into_iter().map(median_of).collect()
}

/// Most have ended; the others sleep for a day.
fn fill(store: &Path, scratch: &Path, guests: &Path, tasks: u64) {
    let waiting = tasks / WAITING_PART;
    std::fs::create_dir(store).expect("a folder");
    crate::runtime().block_on(async {
        let engine = filler::open(store).await;
        engine.start().await.expect("started");
        filler::fill(&engine, tasks - waiting, RESULT_BYTES).await;
        engine.shutdown().await;
    });
    let server = Program::start_on(store, scratch, guests, CONFIGURATION);
    let program = json!({ "program": [{ "op": "sleep", "ms": 86_400_000 }] });
    let call = Call::new(server.address(), "run_program", program, "link");
    so_many(server.address(), 32, &call, "resource_link", waiting);
    server.settle();
    assert_eq!(server.waiting(), waiting);
    std::thread::sleep(IDLE);
}

/// Started over and over after a crash while idle, then measured.
fn of_store(store: &Path, scratch: &Path, guests: &Path, tasks: u64) -> OfTasks {
    let (mut starts, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let began = Instant::now();
        let server = Program::start_on(store, scratch, guests, CONFIGURATION);
        starts.push(micros(began.elapsed()) / 1e3);
        std::thread::sleep(IDLE);
        memory.push(memory_mib(&server));
    }
    let server = Program::start_on(store, scratch, guests, CONFIGURATION);
    let p50 = |asked: Asked| measure(&server, 1, &asked, SPAN).answers.p50() / 1e3;
    let (link, ten) = (p50(link(&server)), p50(ten_steps(&server)));
    let bytes = std::fs::metadata(store.join(restart::FILE_NAME)).expect("a store").len();
    OfTasks {
        tasks,
        waiting: server.waiting(),
        link,
        ten,
        start: median(starts),
        memory: median(memory),
        file: bytes as f64 / f64::from(1 << 20),
    }
}

fn memory_mib(server: &Program) -> f64 {
    Usage::of(server.pid()).anonymous_bytes as f64 / f64::from(1 << 20)
}

/// What each round found for so many clients.
#[derive(Default)]
struct Rounds {
    links: Vec<Spent>,
    tens: Vec<Spent>,
    memory: Vec<f64>,
}

fn by_clients(scratch: &Path, guests: &Path) -> Vec<OfClients> {
    let server = Program::start_on(&scratch.join("crowd"), scratch, guests, "");
    let mut found: Vec<Rounds> = CLIENTS.iter().map(|_| Rounds::default()).collect();
    for _ in 0..ROUNDS {
        for (clients, found) in CLIENTS.iter().zip(&mut found) {
            found.links.push(measure(&server, *clients, &link(&server), SPAN));
            found.tens.push(measure(&server, *clients, &ten_steps(&server), SPAN));
            found.memory.push(memory_mib(&server));
        }
    }
    let figures = |spent: &[Spent]| {
        let of = |figure: fn(&Spent) -> f64| median(spent.iter().map(figure));
        Figures {
            per_second: of(|spent| spent.ended_per_second),
            p50: of(|spent| spent.answers.p50()) / 1e3,
            processor: of(|spent| spent.processor_micros),
        }
    };
    let row = |(clients, found): (&usize, Rounds)| OfClients {
        clients: *clients,
        link: figures(&found.links),
        ten: figures(&found.tens),
        memory: median(found.memory),
    };
    CLIENTS.iter().zip(found).map(row).collect()
}

/// Into docs/speed.md between its marks, and the plot next to it.
fn write(tasks: &[OfTasks], clients: &[OfClients], folder: &Path) {
    const BEGIN: &str = "<!-- growth: begin -->\n";
    const END: &str = "<!-- growth: end -->";
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let file = docs.join("speed.md");
    let text = std::fs::read_to_string(&file).expect("docs/speed.md");
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the tables begin");
    let (_, after) = rest.split_once(END).expect("the mark where the tables end");
    let tables = tables(tasks, clients, folder);
    std::fs::write(file, format!("{before}{BEGIN}{tables}{END}{after}")).expect("written");
    std::fs::write(docs.join("speed.svg"), plot::svg(&panels(tasks, clients))).expect("written");
}

fn tables(tasks: &[OfTasks], clients: &[OfClients], folder: &Path) -> String {
    let mut text = String::from(
        "| Tasks in the store | waiting | link, p50 ms | ten steps, p50 ms | start, ms | memory, MiB | file, MiB |\n\
         |---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for OfTasks { tasks, waiting, link, ten, start, memory, file } in tasks {
        writeln!(
            text,
            "| {tasks} | {waiting} | {link:.2} | {ten:.2} | {start:.0} | {memory:.1} | {file:.1} |"
        )
        .expect("a line");
    }
    text.push_str(
        "\n| Clients | links drained, per s | p50 ms | processor us | ten steps, per s | p50 ms | processor us | memory, MiB |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for OfClients { clients, link, ten, memory } in clients {
        let of = |Figures { per_second, p50, processor }: &Figures| {
            format!("{per_second:.0} | {p50:.2} | {processor:.0}")
        };
        writeln!(text, "| {clients} | {} | {} | {memory:.1} |", of(link), of(ten)).expect("a line");
    }
    writeln!(text, "\n![The same as lines, over two logarithmic axes](speed.svg)").expect("a line");
    writeln!(text, "\nMeasured on {}.", machine::facts(folder).join("; ")).expect("a line");
    text
}

fn panels(tasks: &[OfTasks], clients: &[OfClients]) -> Vec<Panel> {
    let by_tasks = |name, figure: fn(&OfTasks) -> f64| Line {
        name,
        points: tasks.iter().map(|of| (of.tasks as f64, figure(of))).collect(),
    };
    let by_clients = |name, figure: fn(&OfClients) -> f64| Line {
        name,
        points: clients.iter().map(|of| (of.clients as f64, figure(of))).collect(),
    };
    vec![
        Panel {
            title: "milliseconds (p50) by tasks in the store",
            lines: vec![
                by_tasks("link", |of| of.link),
                by_tasks("ten steps", |of| of.ten),
                by_tasks("start", |of| of.start),
            ],
        },
        Panel {
            title: "memory, MiB, by tasks in the store",
            lines: vec![by_tasks("idle server", |of| of.memory)],
        },
        Panel {
            title: "tasks ended a second by clients",
            lines: vec![
                by_clients("links", |of| of.link.per_second),
                by_clients("ten steps", |of| of.ten.per_second),
            ],
        },
        Panel {
            title: "milliseconds (p50) by clients",
            lines: vec![by_clients("link", |of| of.link.p50), by_clients("ten steps", |of| of.ten.p50)],
        },
    ]
}
