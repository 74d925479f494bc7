//! Each pool: one principal takes all of it that it can, and another works within its share and is served. The rows are
//! made of [`Pool::ALL`]: a pool without one does not compile.

mod row;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use longhaul::shares::{Bound, Pool};
use serde_json::{Value, json};

use crate::cores::Cores;
use crate::generator::Generator;
use crate::honest::{Phase, Seen, work};
use crate::is_long;
use crate::place::Place;
use crate::support::scale;
use crate::wire::{Caller, Outcome};
use row::{Refused, Row};

/// Below this, times say more of what else a machine does.
const FLOOR: Duration = Duration::from_millis(25);
const TIMES: u32 = 2;
const KEPT_CONNECTIONS: u64 = 8;
/// What is given back is free by then.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(cores: &Cores) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // Servers by what they are set to.
    let mut servers: BTreeMap<&str, Vec<Pool>> = BTreeMap::new();
    for pool in Pool::ALL {
        servers.entry(Row::of(pool).config).or_default().push(pool);
    }
    // An endpoint that takes requests and never answers.
    let model = TcpListener::bind("127.0.0.1:0").expect("a port");
    let sampling =
        format!("[sampling]\nurl = \"http://{}/v1\"\nmodel = \"m\"\n", model.local_addr().unwrap());
    let mut wrong = Vec::new();
    for (config, pools) in servers {
        let place = Place::new(cores, &format!("{sampling}{config}"));
        for (number, pool) in pools.into_iter().enumerate() {
            let cell = Cell { cores, place: &place, pool, number: 2 * number as u8 };
            if let Err(words) = runtime.block_on(cell.check()) {
                println!("WRONG: {}: {words}", pool.name());
                wrong.push(format!("{}: {words}", pool.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

struct Cell<'a> {
    cores: &'a Cores,
    place: &'a Place,
    pool: Pool,
    number: u8,
}

impl Cell<'_> {
    async fn check(&self) -> Result<(), String> {
        let row = Row::of(self.pool);
        let name = self.pool.name().replace('_', "-");
        let taker = self.place.caller(&format!("taker-{name}"), 40 + self.number);
        let other = self.place.caller(&format!("other-{name}"), 41 + self.number);
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (before, refused_before) = (self.used().await, self.refused().await);
        let within = match is_long() {
            true => Some(self.beside(&row, &taker, &other, &seen, false).await?.0),
            false => None,
        };
        let (phase, report) = self.beside(&row, &taker, &other, &seen, true).await?;
        let not_served = std::mem::take(&mut seen.lock().expect("what was seen").not_served);
        if !not_served.is_empty() {
            return Err(format!("the other was not served: {not_served:#?}"));
        }
        self.is_refused_well(&row, &report, refused_before).await?;
        self.until_given_back(before).await?;
        in_time("the taker, once it has stopped", async || row.take_one(&taker).await).await?;
        self.until_given_back(before).await?;
        self.judge(within.as_ref(), &phase)
    }

    /// The other's work while the taker takes what it can, or as much as its share has.
    async fn beside(
        &self,
        row: &Row,
        taker: &Caller,
        other: &Caller,
        seen: &Arc<Mutex<Seen>>,
        all: bool,
    ) -> Result<(Phase, Value), String> {
        let mut orders = taker.orders();
        orders["pool"] = json!(self.pool.name());
        orders["at_once"] = json!(if all { row.at_once } else { row.within });
        let generator = Generator::start(self.cores, "pool", &orders);
        if all {
            let refused = self.refused().await;
            self.until("it was never refused", async || Ok(self.refused().await > refused)).await?;
        }
        let usual = if is_long() { 20 } else { 2 };
        let phase = work(other, seen, Duration::from_secs(scale("LONGHAUL_MATRIX_SECONDS", usual))).await;
        row.take_one(other).await.map_err(|words| format!("the other, within its share: {words}"))?;
        let report = generator.end();
        if self.pool == Pool::Sessions {
            for id in report["acknowledged"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                in_time("to end its own sessions", async || taker.end_session(id).await).await?;
            }
        }
        cancel_all(taker).await?;
        match self.pool {
            Pool::StoredBytes => {
                in_time("to delete its own", async || row::delete_tasks(taker).await).await?
            }
            Pool::StateEntries => {
                in_time("to delete its own", async || row::delete_entries(taker, "taken").await).await?;
            }
            _ => {}
        }
        Ok((phase, report))
    }

    /// In words that say whose bound it is, with a time to come again.
    async fn is_refused_well(&self, row: &Row, report: &Value, before: u64) -> Result<(), String> {
        if !self.is_counted_by_use() && self.refused().await <= before {
            return Err(format!("nothing was refused: {report}"));
        }
        let (name, counts) = (self.pool.name(), report["counts"].as_object().expect("counts"));
        let words = |kind: &str| report["words"][kind].as_str().unwrap_or_default().to_owned();
        let kinds: Vec<&String> = counts.keys().filter(|kind| kind.ends_with(&format!(" {name}"))).collect();
        if let Some(never) = counts.keys().find(|kind| kind.contains("without a time")) {
            return Err(format!("refused {never}: {}", words(never)));
        }
        let (status, said) = match row.refused {
            // It waits, or its guest hears of it: what the client sees is no refusal.
            Refused::Inside => return Ok(()),
            Refused::Http => ("429", "the share of taker-"),
            Refused::Connection => ("503", "the share of 127.0.0."),
            Refused::Answer => ("200", "the share of taker-"),
        };
        match kinds.iter().find(|kind| kind.contains(status) && words(kind).contains(said)) {
            Some(_) => Ok(()),
            None => Err(format!("no refusal {status} whose words have '{said}': {report}")),
        }
    }

    async fn until_given_back(&self, before: u64) -> Result<(), String> {
        // What the other has called is kept as well.
        if self.pool == Pool::StoredBytes {
            return Ok(());
        }
        // Those who were served keep some for their next requests.
        let before = before + if self.pool == Pool::Connections { KEPT_CONNECTIONS } else { 0 };
        self.until("what was taken is not given back", async || Ok(self.used().await <= before)).await
    }

    async fn until(&self, words: &str, holds: impl AsyncFn() -> Result<bool, String>) -> Result<(), String> {
        let began = Instant::now();
        while !holds().await? {
            if began.elapsed() > PATIENCE {
                return Err(format!("{words}: {} used", self.used().await));
            }
            // Nothing tells of a metric.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn used(&self) -> u64 {
        self.metric("longhaul_share_used").await
    }

    fn is_counted_by_use(&self) -> bool {
        matches!(self.pool, Pool::Instances | Pool::Sampling)
    }

    /// How often it was refused. What waits for an instance, or for its turn at the endpoint, is not counted: there, whether
    /// all of a share is held.
    async fn refused(&self) -> u64 {
        if self.is_counted_by_use() {
            let bound = self.metric("longhaul_share_bound").await;
            let share = if self.pool == Pool::Sampling { bound / 2 } else { Bound::divided(bound).share };
            return self.used().await / share;
        }
        self.metric("longhaul_share_refused_total").await
    }

    /// Of this pool; 0 where there is none, as of what a rate uses.
    async fn metric(&self, name: &str) -> u64 {
        let page = self.place.server.page("metrics").await;
        let begin = format!("{name}{{pool=\"{}\"}} ", self.pool.name());
        let value = page.lines().find_map(|line| line.strip_prefix(&begin)?.parse().ok());
        value.unwrap_or_default()
    }

    fn judge(&self, within: Option<&Phase>, all: &Phase) -> Result<(), String> {
        let name = self.pool.name();
        let Some(within) = within else {
            println!("{name:<14} {} calls beside it were served, p99 {:.1?}", all.calls(), all.p99());
            return Ok(());
        };
        println!(
            "{name:<14} p99 {:.1?} beside one within its share, {:.1?} beside a taker",
            within.p99(),
            all.p99()
        );
        let bound = (within.p99() * TIMES).min(FLOOR);
        // Twice a time that is itself far below the bound is what the machine does besides.
        let bound = bound.max(FLOOR / 2);
        if !cfg!(debug_assertions) && all.p99() > bound {
            return Err(format!("p99 {:.1?}, {bound:.1?} may be", all.p99()));
        }
        Ok(())
    }
}

/// Until it is served.
async fn in_time(whose: &str, act: impl AsyncFn() -> Result<(), String>) -> Result<(), String> {
    let began = Instant::now();
    loop {
        match act().await {
            Ok(()) => return Ok(()),
            Err(words) if began.elapsed() > PATIENCE => return Err(format!("{whose}: {words}")),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// All open tasks of this caller, however often it is refused meanwhile.
async fn cancel_all(caller: &Caller) -> Result<(), String> {
    for state in ["waiting", "queued", "running"] {
        in_time("to cancel its own", async || {
            loop {
                let page = caller.call("task_list", json!({"state": state, "limit": 100}), "inline").await;
                let Outcome::Served(page) = page else { return Err(page.words()) };
                let tasks = page["structuredContent"]["tasks"].as_array().cloned().unwrap_or_default();
                if tasks.is_empty() {
                    return Ok(());
                }
                for task in tasks {
                    let outcome = caller.call("task_cancel", json!({"task_id": task["id"]}), "inline").await;
                    if let Outcome::Refused { words, .. } | Outcome::Lost(words) = outcome {
                        return Err(words);
                    }
                }
            }
        })
        .await?;
    }
    Ok(())
}
