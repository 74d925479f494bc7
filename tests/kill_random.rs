//! `kill -9` at random moments, again and again, of a server under load from several clients. An oracle
//! outside the process knows what each program must come to and which submissions were acknowledged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Dice, Oracle, RpcError, Server, command, guest, scale};

/// One submission as its client knows it.
pub struct Job {
    pub key: String,
    pub program: Vec<Value>,
    pub acknowledged: Option<String>,
}

pub fn program(dice: &mut Dice) -> Vec<Value> {
    let ops = 2 + dice.roll(6);
    let mut program: Vec<Value> = (0..ops).map(|number| op(dice, number)).collect();
    let body = vec![op(dice, 0), op(dice, 1), json!({"op": "step", "name": "in the loop"})];
    program.push(json!({"op": "loop", "times": 1 + dice.roll(3), "body": body}));
    program.push(json!({"op": "step", "name": "last"}));
    program
}

fn op(dice: &mut Dice, number: u64) -> Value {
    match dice.roll(12) {
        0 | 1 => json!({"op": "step", "name": format!("s{number}")}),
        2 => json!({"op": "clock"}),
        3 => json!({"op": "clock2"}),
        4 => json!({"op": "random", "bytes": 1 + dice.roll(64)}),
        5 => json!({"op": "sleep", "ms": dice.roll(40)}),
        6 => json!({"op": "nap", "ms": dice.roll(20)}),
        7 => json!({"op": "wait_many", "ms": [dice.roll(20), dice.roll(20), dice.roll(20)]}),
        8 => json!({"op": "compute", "rounds": dice.roll(200_000)}),
        9 => json!({"op": "checkpoint"}),
        10 => json!({"op": "progress", "done": number, "total": 10}),
        _ => json!({"op": "log", "text": format!("line {number}")}),
    }
}

/// Submits until it is asked to stop, repeating under the same key what was not acknowledged.
async fn submit(client: Client, jobs: Arc<Mutex<Vec<Job>>>, worker: u64, round: u64) {
    let mut dice = Dice::new(0x9e37_79b9 ^ (round << 8) ^ worker.wrapping_mul(0x1_0001));
    // What an earlier life of the server left unanswered comes first.
    let pending: Vec<usize> = {
        let jobs = jobs.lock().expect("jobs");
        (0..jobs.len()).filter(|i| jobs[*i].acknowledged.is_none() && *i as u64 % 4 == worker).collect()
    };
    for index in pending {
        if !submit_one(&client, &jobs, index).await {
            return;
        }
    }
    for number in 0.. {
        let index = {
            let mut jobs = jobs.lock().expect("jobs");
            // A bounded load: a few jobs a life.
            if number >= 3 {
                return;
            }
            let key = format!("{round}-{worker}-{number}");
            jobs.push(Job { key, program: program(&mut dice), acknowledged: None });
            jobs.len() - 1
        };
        if !submit_one(&client, &jobs, index).await {
            return;
        }
    }
}

/// False when the server is gone.
pub async fn submit_one(client: &Client, jobs: &Mutex<Vec<Job>>, index: usize) -> bool {
    let (key, program) = {
        let jobs = jobs.lock().expect("jobs");
        (jobs[index].key.clone(), jobs[index].program.clone())
    };
    match client.start("run_program", json!({"program": program}), Some(&key)).await {
        Ok(id) => {
            jobs.lock().expect("jobs")[index].acknowledged = Some(id);
            true
        }
        Err(RpcError::Lost(_)) => false,
        Err(error) => panic!("refused: {error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_done_twice() {
    let kills = scale("LONGHAUL_KILLS", 200);
    let root = tempfile::tempdir().expect("a folder");
    let (data, tools) = (root.path().join("data"), vec![guest("interpreter")]);
    let jobs: Arc<Mutex<Vec<Job>>> = Arc::default();
    let mut dice = Dice::new(0x5eed);
    for round in 0..kills {
        let server = Server::start(&data, &tools);
        let client = server.client();
        check_links(&client, &jobs, round).await;
        let load: Vec<_> =
            (0..4).map(|worker| tokio::spawn(submit(client.clone(), jobs.clone(), worker, round))).collect();
        // The moment of death is what is random here.
        tokio::time::sleep(Duration::from_millis(dice.roll(120))).await;
        server.kill();
        for worker in load {
            worker.await.expect("a worker");
        }
        if round % 25 == 24 {
            check_counts(&data);
        }
    }
    let server = Server::start(&data, &tools);
    let client = server.client();
    for worker in 0..4 {
        submit(client.clone(), jobs.clone(), worker, kills).await;
    }
    let jobs = std::mem::take(&mut *jobs.lock().expect("jobs"));
    let mut interrupted = 0;
    let mut ids = BTreeMap::new();
    for job in &jobs {
        let id = job.acknowledged.as_deref().expect("acknowledged in the end");
        assert_eq!(ids.insert(id.to_owned(), &job.key), None, "two keys, one task");
        let document = client.ended(id).await.expect("an end");
        assert_eq!(document["state"], "completed", "{} {document} {}", job.key, server.said());
        interrupted += u64::from(document["attempt"].as_u64() > Some(1));
        check_result(&client, id, job).await;
    }
    let metrics = tasks_in_all(&client).await;
    assert_eq!(metrics, ids.len(), "a key that was repeated made no second task");
    println!("{kills} kills, {} tasks, {interrupted} of them interrupted", jobs.len());
    assert!(interrupted > kills / 10, "the kills must have hit running tasks: {interrupted}");
}

/// What was counted in the commits that the server was killed at is what their rows come to.
fn check_counts(data: &Path) {
    // It may find something else to say of this machine.
    let output = command(data, &["doctor", "--check"]).output().expect("longhaul runs");
    let checked: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let checks = checked["checks"].as_array().expect("checks");
    let counts = checks.iter().find(|check| check["what"] == "counts").expect("counts are looked at");
    assert_eq!(counts["ok"], true, "{counts}");
}

/// Every link that was ever given resolves, right after the start.
async fn check_links(client: &Client, jobs: &Mutex<Vec<Job>>, round: u64) {
    let ids: Vec<String> = {
        let jobs = jobs.lock().expect("jobs");
        let newest = jobs.iter().rev().take(12);
        let old = jobs.iter().skip(round as usize % 7).step_by(41);
        newest.chain(old).filter_map(|job| job.acknowledged.clone()).collect()
    };
    for id in ids {
        let document = client.task(&id).await.expect("an old link resolves");
        assert_eq!(document["id"], id.as_str());
    }
}

pub async fn check_result(client: &Client, id: &str, job: &Job) {
    let oracle = Oracle::of(&job.program);
    let result = client.result(id).await.expect("a result");
    let seen = (result["acc"].as_str(), result["ops"].as_u64(), result["steps"].as_u64());
    let acc = format!("{:016x}", oracle.acc);
    assert_eq!(
        seen,
        (Some(acc.as_str()), Some(oracle.ops), Some(oracle.steps)),
        "{} {:?}",
        job.key,
        job.program
    );
    assert_eq!(client.read(&format!("task://{id}/output/trace")).await.expect("a trace"), oracle.trace);
    let log = match client.read(&format!("task://{id}/log")).await {
        Ok(log) => log,
        Err(error) => panic!("{error:?}"),
    };
    let printed: String = log.split_inclusive('\n').filter(|line| line.starts_with("> ")).collect();
    let observed = format!("{:016x}", Oracle::hash(printed.as_bytes()));
    assert_eq!(result["observed"], observed.as_str(), "{} printed:\n{printed}", job.key);
}

async fn tasks_in_all(client: &Client) -> usize {
    let (mut count, mut cursor) = (0, None);
    loop {
        let mut arguments = json!({"limit": 100});
        if let Some(cursor) = &cursor {
            arguments["cursor"] = json!(cursor);
        }
        let page = client.call("task_list", arguments, json!({})).await.expect("a page");
        let page = &page["structuredContent"];
        count += page["tasks"].as_array().expect("tasks").len();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return count,
        }
    }
}
