//! `kill -9` of the worker, and not of the server: its tasks go on by replay in another one, and what they did is done once.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{House, begun, signal, worker_of};
use crate::support::{Dice, Oracle, scale};

fn effects(web: &crate::support::Web, method: &str, name: &str) -> Vec<Value> {
    let mut program = vec![json!({"op": "progress", "done": 1})];
    for number in 0..6 {
        let path = format!("/{name}/{number}");
        program.push(json!({"op": "step", "name": format!("s{number}")}));
        program
            .push(json!({"op": "http", "request": {"method": method, "url": web.url(&path), "body": "b"}}));
        program.push(json!({"op": "sleep", "ms": 3}));
        program.push(json!({"op": "clock"}));
    }
    program
}

/// The keys under which each request of this name came in, one set a path.
fn keys(web: &crate::support::Web, name: &str) -> Vec<(usize, BTreeSet<Option<String>>)> {
    let seen = web.seen();
    (0..6)
        .map(|number| {
            let path = format!("/{name}/{number}");
            let of: Vec<_> = seen.iter().filter(|seen| seen.path == path).collect();
            (of.len(), of.iter().map(|seen| seen.key.clone()).collect())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_go_on_by_replay_wherever_their_worker_is_killed() {
    let house = House::new();
    let server = house.start("process");
    let client = server.client();
    let undisturbed = effects(&house.web, "PUT", "undisturbed");
    let id = begun(&client, json!(undisturbed)).await;
    let records = client.ended(&id).await.expect("an end")["steps"].as_u64().expect("a number");
    let mut interrupted = 0;
    for record in 1..records {
        let name = format!("at-{record}");
        let program = effects(&house.web, "PUT", &name);
        let id = begun(&client, json!(program)).await;
        let is_there =
            |document: &Value| document["steps"].as_u64() >= Some(record) || document["state"] == "completed";
        client.until(&id, is_there).await;
        if let Some(worker) = worker_of(&server) {
            signal(worker, Signal::KILL);
        }
        let document = client.ended(&id).await.expect("an end");
        assert_eq!(document["state"], "completed", "{record}: {document} {}", server.said());
        interrupted += u64::from(document["attempt"].as_u64() > Some(1));
        let result = client.result(&id).await.expect("a result");
        let oracle = Oracle::of(&program);
        assert_eq!(result["acc"], format!("{:016x}", oracle.acc), "{record}");
        let trace = client.read(&format!("task://{id}/output/trace")).await.expect("a trace");
        assert_eq!(trace, oracle.trace, "{record}");
        for (count, keys) in keys(&house.web, &name) {
            // One that was under way comes again, under the same key: it is one effect.
            assert!(count >= 1 && keys.len() == 1, "{record}: {count} requests under {keys:?}");
        }
    }
    println!("{records} records, {interrupted} tasks interrupted");
    assert!(interrupted * 3 >= records, "the kills must have hit running tasks: {interrupted} of {records}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_is_done_once_or_its_outcome_is_unknown_at_random_kills() {
    let house = House::new();
    let server = house.start("process");
    let client = server.client();
    let mut dice = Dice::new(0xd1ce);
    let (mut unknown, mut interrupted) = (0, 0);
    for round in 0..scale("LONGHAUL_WORKER_KILLS", 12) {
        let name = format!("random-{round}");
        let id = begun(&client, json!(effects(&house.web, "POST", &name))).await;
        client.until(&id, |document| document["progress"]["done"] == 1).await;
        // The moment itself is under test here.
        tokio::time::sleep(Duration::from_millis(dice.roll(80))).await;
        if let Some(worker) = worker_of(&server) {
            signal(worker, Signal::KILL);
        }
        let document = client.ended(&id).await.expect("an end");
        interrupted += u64::from(document["attempt"].as_u64() > Some(1));
        let counts: Vec<usize> = keys(&house.web, &name).into_iter().map(|(count, _)| count).collect();
        match document["state"].as_str() {
            Some("completed") => assert_eq!(counts, [1; 6], "{round}: {document}"),
            _ => {
                assert_eq!(document["error"]["reason"], "unknown_outcome", "{round}: {document}");
                assert!(counts.iter().all(|count| *count <= 1), "{round}: {counts:?}");
                unknown += 1;
            }
        }
    }
    println!("{interrupted} tasks interrupted, {unknown} of them with an effect under way");
    assert!(interrupted > 0, "the kills must have hit running tasks");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_while_its_task_sleeps_out_of_memory_is_not_missed() {
    let house = House::new();
    let server = house.start("process");
    let client = server.client();
    let id = begun(&client, json!([{"op": "progress", "done": 1}, {"op": "receive", "names": ["go"]}])).await;
    client.until(&id, |document| document["reason"] == "message").await;
    signal(worker_of(&server).expect("it is idle"), Signal::KILL);
    client
        .call("task_send", json!({"task_id": id, "name": "go", "payload": 1}), json!({}))
        .await
        .expect("sent");
    let document = client.ended(&id).await.expect("an end");
    assert_eq!((&document["state"], &document["attempt"]), (&json!("completed"), &json!(1)), "{document}");
}
