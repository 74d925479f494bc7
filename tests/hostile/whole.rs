//! Some hundred random and mutated components the whole way: added to a running server, compiled in its child, called, and
//! ended within their bounds, next to an honest caller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Added, Ground, good, mutated, random, scaled};
use crate::support::{Client, Dice, RpcError};

const MANIFEST: &str = "[limits]\nmemory_mib = 16\nrun_seconds = 1\njournal_mib = 4\nresult_kib = 64\n";
/// What an end may come later than its bound: many wait for two threads.
const MARGIN: Duration = Duration::from_secs(60);
const AT_ONCE: usize = 8;

/// A component, and the tools that it may turn out to have with arguments for each.
struct Guest {
    name: String,
    bytes: Vec<u8>,
    tools: Vec<(String, Value)>,
}

fn guests() -> Vec<Guest> {
    let mut dice = Dice::new(0x7768_6f6c);
    let mut guests = Vec::new();
    for (seed, bytes) in random::components("module", 100_000, scaled(160)) {
        let tools = vec![
            (format!("m{seed}_a"), json!({ "x": dice.roll(1 << 32), "y": dice.roll(1 << 50) })),
            (format!("m{seed}_b"), json!({ "x": dice.roll(1 << 32) as f64 / 7.0 })),
            (format!("m{seed}_c"), json!({})),
        ];
        guests.push(Guest { name: format!("m{seed}"), bytes, tools });
    }
    for (seed, bytes) in random::components("component", 100_000, scaled(40)) {
        guests.push(Guest { name: format!("c{seed}"), bytes, tools: Vec::new() });
    }
    for number in 0..scaled(120) {
        let name = format!("x{number}");
        let good = good::good(number as usize, &name);
        let other = good::good(dice.roll(good::COUNT as u64) as usize, &name);
        // One that is as it was keeps the measure of the others.
        let bytes = if number % 8 == 0 { good } else { mutated::mutated(&mut dice, &good, &other) };
        guests.push(Guest { bytes, tools: vec![(format!("go_{name}"), json!({}))], name });
    }
    guests
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_random_components_are_served_or_refused_and_end_beside_an_honest_caller() {
    let ground = Ground::trusting();
    let neighbour = ground.neighbour().await;
    let (mut served, mut refused) = (0, 0);
    let (room, mut calls) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    let mut slowest = Duration::ZERO;
    for Guest { name, bytes, tools } in guests() {
        let began = Instant::now();
        let added = ground.add(&name, &bytes, MANIFEST.as_bytes()).await;
        slowest = slowest.max(began.elapsed());
        match added {
            Added::Served => served += 1,
            Added::Refused(_) => {
                refused += 1;
                continue;
            }
            Added::Waits => panic!("{name} waits, and all is trusted"),
        }
        for (tool, arguments) in tools {
            let (client, room) = (ground.server.client(), room.clone());
            calls.spawn(async move {
                let _place = room.acquire_owned().await.expect("it stays open");
                end(&client, &tool, arguments).await
            });
        }
    }
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(end) = calls.join_next().await {
        *ends.entry(end.expect("it ended")).or_default() += 1;
    }
    println!("{served} served, {refused} refused, the slowest after {slowest:?}; calls: {ends:?}");
    assert!(served > 50 && refused > 50, "{served} served, {refused} refused");
    let of = |kind: &str| ends.get(kind).copied().unwrap_or_default();
    assert!(of("completed") > 20 && of("trap") > 20, "{ends:?}");
    neighbour.was_served().await;
    ground.goes_on().await;
}

/// How the call of a tool ended, in a word.
async fn end(client: &Client, tool: &str, arguments: Value) -> String {
    let began = Instant::now();
    let task = match client.call(tool, arguments, json!({ "longhaul/reply": "link" })).await {
        Ok(answer) => match answer["structuredContent"]["task_id"].as_str() {
            Some(id) => id.to_owned(),
            None => return format!("refused: {}", answer["content"][0]["text"]).chars().take(60).collect(),
        },
        // What a mutation made of its name or its parameters.
        Err(RpcError::Refused { message, .. }) => return message.chars().take(30).collect(),
        Err(RpcError::Lost(why)) => panic!("{tool}: {why}"),
    };
    let ended = client.ended(&task).await.expect("an end");
    assert!(began.elapsed() < MARGIN, "{tool} took {:?}", began.elapsed());
    match (ended["state"].as_str(), ended["reason"].as_str()) {
        (Some("completed"), _) => "completed".to_owned(),
        (Some("failed"), Some(reason @ ("trap" | "limit"))) => {
            let words = ended["error"]["message"].as_str().unwrap_or_default();
            assert!(words.len() > 10, "{tool}: {ended}");
            reason.to_owned()
        }
        _ => panic!("{tool}: {ended}"),
    }
}
