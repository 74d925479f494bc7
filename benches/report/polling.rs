//! What do tasks that wait cost while their clients poll them as often as each says, and while they wait for a model?
//!
//! 10,000 tasks wait, half for a time and half for a person, and eight connections poll each of them when it is due. Each is
//! polled at more and more distance, so it is measured for a minute once the questions have been open for five. Then 1,000
//! tasks wait for a call of 2 s each of a model. Server and model are processes of their own: what they use is what the
//! kernel says of them. `LONGHAUL_BENCH_POLLED_TASKS` and `LONGHAUL_BENCH_ASKED_SECONDS` set how many tasks, and how long
//! before.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Call, Client};
use crate::measure::Row;
use crate::model::Model;
use crate::program::Program;
use crate::server::component;
use crate::usage::Usage;

const TASKS: u64 = 10_000;
const CONNECTIONS: usize = 8;
const ASKED_SECONDS: u64 = 300;
const SPAN: Duration = Duration::from_secs(60);
const ON_MODEL: usize = 1_000;
/// Each; the server asks for so few at once that more would take long.
const MODEL_CALLS: usize = 1;
const DAY_MS: u64 = 86_400_000;
const SHARE_PERCENT: f64 = 5.0;

pub fn run(folder: &Path) -> Vec<Row> {
    let runtime = crate::runtime();
    let mut rows = runtime.block_on(polled(folder));
    rows.push(runtime.block_on(on_model(folder)));
    rows
}

async fn polled(folder: &Path) -> Vec<Row> {
    let tools = tools(folder, "elicit = true");
    let program = Program::start(folder, tools.path(), "", &["--trust"]);
    let ops = [json!({"op": "sleep", "ms": DAY_MS}), json!({"op": "ask", "key": "q"})];
    let tasks =
        usize::try_from(crate::number("LONGHAUL_BENCH_POLLED_TASKS").unwrap_or(TASKS)).expect("a count");
    let ids = start(program.address(), tasks, |number| json!([ops[number % 2]])).await;
    let mut pollers = Pollers::of(program.address(), &ids).await;
    let asked = Duration::from_secs(crate::number("LONGHAUL_BENCH_ASKED_SECONDS").unwrap_or(ASKED_SECONDS));
    pollers.poll_for(asked).await;
    let (before, reads) = (Usage::of(program.pid()), metric(program.address(), "store_reads_total").await);
    let began = Instant::now();
    let polls = pollers.poll_for(SPAN).await;
    let seconds = began.elapsed().as_secs_f64();
    let used = Usage::of(program.pid()).since(&before);
    let reads = metric(program.address(), "store_reads_total").await - reads;
    let share = 100.0 * used.processor.as_secs_f64() / seconds;
    let each = 1e6 * used.processor.as_secs_f64() / polls.max(1) as f64;
    vec![
        Row::new(
            format!("{tasks} waiting tasks, polled as each says"),
            format!("{share:.1} % of a processor"),
            format!("{polls} polls in {seconds:.0} s, {each:.0} us each"),
        )
        .at_most(share, SHARE_PERCENT),
        Row::new(
            "what the server read in that time",
            format!("{reads} reads of its store"),
            format!("{} calls of read, {} KiB of the disk", used.read_calls, used.disk_bytes / 1024),
        ),
    ]
}

async fn on_model(folder: &Path) -> Row {
    let model = Model::start();
    let tools = tools(folder, "models = [\"fast\"]");
    let configuration = format!(
        "[models.fast]\napi = \"openai-chat\"\nurl = \"http://{}/v1\"\nmodel = \"m\"\n",
        model.address
    );
    let program = Program::start(folder, tools.path(), &configuration, &["--trust"]);
    let ask = json!({"op": "model", "model": "fast", "prompt": "How is it?", "max_tokens": 50});
    let asks = json!(vec![ask; MODEL_CALLS]);
    let [before, of_model] = [Usage::of(program.pid()), Usage::of(model.pid())];
    let began = Instant::now();
    start(program.address(), ON_MODEL, |_| asks.clone()).await;
    let mut most = before.anonymous_bytes;
    while open(program.address()).await > 0 {
        most = most.max(Usage::of(program.pid()).anonymous_bytes);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let ours = Usage::of(program.pid()).since(&before).processor.as_secs_f64();
    let theirs = Usage::of(model.pid()).since(&of_model).processor.as_secs_f64();
    let kib = most.saturating_sub(before.anonymous_bytes) as f64 / 1024.0 / ON_MODEL as f64;
    let calls = (ON_MODEL * MODEL_CALLS) as f64;
    Row::new(
        format!("{ON_MODEL} tasks, each with {MODEL_CALLS} call of 2 s of a model"),
        format!("{kib:.0} KiB a task, {:.2} ms of a processor a call", 1e3 * ours / calls),
        format!(
            "all in {seconds:.1} s; {:.0} % of what server and model use, the model {:.2} ms",
            100.0 * ours / (ours + theirs),
            1e3 * theirs / calls
        ),
    )
}

/// The interpreter, with these capabilities.
fn tools(folder: &Path, capabilities: &str) -> TempDir {
    let tools = tempfile::tempdir_in(folder).expect("a folder");
    std::fs::write(tools.path().join("interpreter.wasm"), component("interpreter")).expect("written");
    let manifest = format!("name = \"interpreter\"\n[capabilities]\n{capabilities}\n");
    std::fs::write(tools.path().join("interpreter.toml"), manifest).expect("written");
    tools
}

/// Starts so many tasks, each with its program; their ids.
async fn start(address: SocketAddr, tasks: usize, program: impl Fn(usize) -> Value) -> Vec<String> {
    let mut starting = Vec::new();
    for connection in 0..CONNECTIONS {
        let numbers = (connection..tasks).step_by(CONNECTIONS);
        let call = |number| Call::new(address, "run_program", json!({"program": program(number)}), "link");
        let calls: Vec<Call> = numbers.map(call).collect();
        starting.push(tokio::spawn(async move {
            let (mut client, mut ids) = (Client::connect(address).await, Vec::new());
            for call in calls {
                let link = answered(&client.call(&call).await);
                ids.push(link["structuredContent"]["task_id"].as_str().expect("a link").to_owned());
            }
            ids
        }));
    }
    let mut ids = Vec::new();
    for starting in starting {
        ids.extend(starting.await.expect("started"));
    }
    ids
}

/// The result of a request, on a stream or by itself.
fn answered(body: &str) -> Value {
    let lines = body.lines().map(|line| line.strip_prefix("data:").unwrap_or(line));
    let messages = lines.filter_map(|line| serde_json::from_str::<Value>(line.trim()).ok());
    let answer = messages.into_iter().find(|message| message.get("result").is_some());
    answer.unwrap_or_else(|| panic!("no answer: {body}"))["result"].take()
}

/// Connections that share the tasks.
struct Pollers {
    address: SocketAddr,
    connections: Vec<(Client, Due)>,
}

/// When each task is due, the first one in front.
type Due = BinaryHeap<Reverse<(Instant, String)>>;

impl Pollers {
    async fn of(address: SocketAddr, ids: &[String]) -> Self {
        let (now, mut connections) = (Instant::now(), Vec::new());
        for connection in 0..CONNECTIONS {
            let ids = ids.iter().skip(connection).step_by(CONNECTIONS);
            let due = ids.map(|id| Reverse((now, id.clone()))).collect();
            connections.push((Client::connect(address).await, due));
        }
        Self { address, connections }
    }

    /// How many polls were due, and made.
    async fn poll_for(&mut self, span: Duration) -> usize {
        let (address, end) = (self.address, Instant::now() + span);
        let polling = self.connections.drain(..).map(|(mut client, mut due)| {
            tokio::spawn(async move {
                let mut polls = 0;
                while let Some(Reverse((at, _))) = due.peek().filter(|next| next.0.0 < end) {
                    tokio::time::sleep_until((*at).into()).await;
                    let Some(Reverse((_, id))) = due.pop() else { break };
                    let task = answered(&client.call(&Call::get_task(address, &id)).await);
                    polls += 1;
                    let interval = task["pollIntervalMs"].as_u64().expect("it goes on");
                    due.push(Reverse((Instant::now() + Duration::from_millis(interval), id)));
                }
                tokio::time::sleep_until(end.into()).await;
                (client, due, polls)
            })
        });
        let mut polls = 0;
        for polling in polling.collect::<Vec<_>>() {
            let (client, due, made) = polling.await.expect("a client");
            self.connections.push((client, due));
            polls += made;
        }
        polls
    }
}

async fn metrics(address: SocketAddr) -> String {
    Client::connect(address).await.call(&Call::page(address, "/metrics")).await
}

async fn metric(address: SocketAddr, name: &str) -> u64 {
    let page = metrics(address).await;
    let value = page.lines().find_map(|line| line.strip_prefix(&format!("longhaul_{name} ")));
    value.expect("a metric").parse().expect("a number")
}

/// Tasks that have not ended.
async fn open(address: SocketAddr) -> u64 {
    let page = metrics(address).await;
    let open = page.lines().filter_map(|line| line.strip_prefix("longhaul_tasks_open{")?.rsplit(' ').next());
    open.map(|count| count.parse::<u64>().expect("a number")).sum()
}
