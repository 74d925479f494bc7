//! Guests that take memory and compute, outputs and state that fill the disk.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::{FutureExt, again, all, breathe, note};
use crate::generator::Counts;
use crate::wire::Caller;

const MIB: usize = 1 << 20;

pub async fn act(caller: &Caller, orders: &Value, counts: &Counts) {
    let outputs = orders["outputs"].as_u64().unwrap_or(u64::MAX);
    let number = AtomicU64::new(0);
    all(vec![
        again(4, async |_| call(caller, counts, "memory_hog").await).boxed(),
        again(4, async |_| call(caller, counts, "spin").await).boxed(),
        fill(caller, counts, outputs).boxed(),
        again(2, async |_| {
            let key = format!("k{}", number.fetch_add(1, Ordering::Relaxed) % 5_000);
            let value = json!({"namespace": "hoard", "key": key, "value": "x".repeat(60_000)});
            note(counts, "state", &caller.call("state_put", value, "inline").await);
        })
        .boxed(),
    ])
    .await;
}

async fn call(caller: &Caller, counts: &Counts, tool: &str) {
    let outcome = caller.call(tool, json!({}), "link").await;
    note(counts, tool, &outcome);
    if outcome.task().is_none() {
        breathe().await;
    }
}

/// Outputs of 3 MiB, so many at most.
async fn fill(caller: &Caller, counts: &Counts, most: u64) {
    let output = |name: &str| json!({"op": "output", "name": name, "text": "y".repeat(MIB)});
    let program = json!({"program": [output("a"), output("b"), output("c")]});
    for _ in 0..most {
        let outcome = caller.call("run_program", program.clone(), "link").await;
        note(counts, "outputs", &outcome);
        if outcome.task().is_none() {
            breathe().await;
        }
    }
    std::future::pending::<()>().await;
}
