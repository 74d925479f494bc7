//! Closed-loop clients over kept HTTP/1.1 connections, for every server of `benches/peers` alike. Lean, because they run
//! on the same cores as the server that they measure.
//!
//!     longhaul-load WORK           WORK is JSON, see `Work`; one line of JSON comes out
//!     longhaul-load sync FOLDER    p50 of appending 4 KiB and fdatasync, in milliseconds
//!
//! Before the first call nothing is open on the server, after a warm-up again. What is measured begins with the first
//! call after that and ends when the last one is answered and, where the server is asked for it, all that was begun has
//! ended.

mod connection;
mod cpu;
mod sync;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt::Debug;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

use connection::Connection;

/// How long a server may take to end what was begun.
const PATIENCE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(10);
/// Stands in a body for a number that no other call has.
const NUMBER: &str = "$NNNNNNNNNNN";

#[derive(Deserialize)]
struct Work {
    /// `127.0.0.1:PORT`.
    address: String,
    path: String,
    /// Lines of the head besides those of every call.
    #[serde(default)]
    headers: Vec<String>,
    body: String,
    /// What every answer has to hold.
    expect: String,
    clients: usize,
    seconds: f64,
    warm_up_seconds: f64,
    open: Option<Open>,
    /// Processes that serve, whose processor time is counted with that of their children.
    #[serde(default)]
    pids: Vec<u32>,
}

/// A page that says what is open: the sum of the last words of its lines that begin with `prefix`.
#[derive(Clone, Deserialize)]
struct Open {
    address: String,
    path: String,
    prefix: String,
}

#[derive(Serialize)]
struct Measured {
    operations: usize,
    seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Of the servers, an operation.
    server_cpu_us: f64,
    /// Of this program, an operation.
    client_cpu_us: f64,
    /// From the last answer until nothing was open.
    draining_seconds: f64,
}

type Error = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let line = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["sync", folder] => sync::p50_ms(folder.as_ref()).map(|p50| p50.to_string()),
        [work] => measure(work),
        _ => Err("longhaul-load WORK | longhaul-load sync FOLDER".into()),
    };
    match line {
        Ok(line) => println!("{line}"),
        Err(error) => {
            eprintln!("longhaul-load: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn measure(work: &str) -> Result<String, Error> {
    let work: Work = serde_json::from_str(work)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = LocalSet::new().block_on(&runtime, run(work))?;
    Ok(serde_json::to_string(&measured)?)
}

async fn run(work: Work) -> Result<Measured, Error> {
    let mut connections = Vec::new();
    for _ in 0..work.clients {
        connections.push(Connection::open(&work.address).await?);
    }
    let work = Rc::new(work);
    drained(work.open.as_ref()).await?;
    let numbers = Numbers::new();
    let (connections, _) = crowd(&work, &numbers, connections, work.warm_up_seconds).await?;
    drained(work.open.as_ref()).await?;

    let (server, client) = (cpu::of_trees(&work.pids)?, cpu::of_this()?);
    let start = Instant::now();
    let (_, mut taken) = crowd(&work, &numbers, connections, work.seconds).await?;
    let answered = start.elapsed();
    drained(work.open.as_ref()).await?;
    let elapsed = start.elapsed();
    let (server, client) = (cpu::of_trees(&work.pids)? - server, cpu::of_this()? - client);
    if taken.is_empty() {
        return Err("the time was over before the first call".into());
    }
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / taken.len() as f64;
    let (server_cpu_us, client_cpu_us) = (each(server), each(client));
    taken.sort_unstable();
    let at = |share: f64| taken[((taken.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    Ok(Measured {
        operations: taken.len(),
        seconds: elapsed.as_secs_f64(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        server_cpu_us,
        client_cpu_us,
        draining_seconds: (elapsed - answered).as_secs_f64(),
    })
}

/// Each connection has one call under way until the time is over; the last ones are waited for.
async fn crowd(
    work: &Rc<Work>,
    numbers: &Numbers,
    connections: Vec<Connection>,
    seconds: f64,
) -> Result<(Vec<Connection>, Vec<Duration>), Error> {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let clients: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            let (work, numbers) = (work.clone(), numbers.clone());
            tokio::task::spawn_local(async move {
                let mut request = Request::new(&work);
                let mut taken = Vec::new();
                while Instant::now() < end {
                    let bytes = request.numbered(numbers.next());
                    let began = Instant::now();
                    let answer = connection.exchange(bytes).await.map_err(said)?;
                    taken.push(began.elapsed());
                    if !answer.contains(&work.expect) {
                        return Err(format!("no {} in {answer}", work.expect));
                    }
                }
                Ok((connection, taken))
            })
        })
        .collect();
    let (mut connections, mut all) = (Vec::new(), Vec::new());
    for client in clients {
        let (connection, taken) = client.await??;
        connections.push(connection);
        all.extend(taken);
    }
    Ok((connections, all))
}

/// Until nothing is open on the server.
async fn drained(open: Option<&Open>) -> Result<(), Error> {
    let Some(open) = open else { return Ok(()) };
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", open.path, open.address);
    let (start, mut connection) = (Instant::now(), Connection::open(&open.address).await?);
    loop {
        let page = connection.exchange(request.as_bytes()).await?;
        let lines = page.lines().filter(|line| line.starts_with(&open.prefix));
        let counts: Vec<f64> =
            lines.map(|line| line.rsplit(' ').next().unwrap_or(line).parse()).collect::<Result<_, _>>()?;
        if counts.is_empty() {
            return Err(format!("{} has no line {}…: {page}", open.path, open.prefix).into());
        }
        if counts.iter().sum::<f64>() == 0.0 {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("not drained after {} s: {counts:?} open", PATIENCE.as_secs()).into());
        }
        tokio::time::sleep(POLL).await;
    }
}

fn said(error: impl Debug) -> String {
    format!("{error:?}")
}

/// Numbers that no two calls of any run share, near enough: nanoseconds of the start, counted up.
#[derive(Clone)]
struct Numbers(Rc<Cell<u64>>);

impl Numbers {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(Rc::new(Cell::new(now.as_nanos() as u64 % 1_000_000_000_000)))
    }

    fn next(&self) -> u64 {
        self.0.set((self.0.get() + 1) % 1_000_000_000_000);
        self.0.get()
    }
}

/// A request as it goes over the wire, and where its number stands.
struct Request {
    bytes: Vec<u8>,
    number: Option<usize>,
}

impl Request {
    fn new(work: &Work) -> Self {
        let mut text = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            work.path,
            work.address,
            work.body.len()
        );
        for line in &work.headers {
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        text.push_str(&work.body);
        Self { number: text.find(NUMBER), bytes: text.into_bytes() }
    }

    fn numbered(&mut self, number: u64) -> &[u8] {
        if let Some(at) = self.number {
            self.bytes[at..at + NUMBER.len()].copy_from_slice(format!("{number:012}").as_bytes());
        }
        &self.bytes
    }
}
