//! Floods of calls, calls with arguments of 4 MiB, and JSON of many values.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::{FutureExt, again, all, note};
use crate::generator::Counts;
use crate::wire::{Caller, call_params, message};

pub async fn act(caller: &Caller, orders: &Value, counts: &Counts) {
    let large = orders["large_calls"].as_u64().unwrap_or(u64::MAX);
    all(vec![
        flood(caller, counts, "inline").boxed(),
        flood(caller, counts, "link").boxed(),
        large_arguments(caller, counts, large).boxed(),
        many_values(caller, counts).boxed(),
    ])
    .await;
}

async fn flood(caller: &Caller, counts: &Counts, reply: &str) {
    again(4, async |_| {
        let outcome = caller.call("quick", json!({}), reply).await;
        note(counts, &format!("flood {reply}"), &outcome);
    })
    .await;
}

/// So many are taken at most, for the sake of the disk.
async fn large_arguments(caller: &Caller, counts: &Counts, most: u64) {
    let text = "x".repeat(3_900_000);
    let params = call_params("run_program", json!({"program": [{"op": "status", "text": text}]}), "link");
    let body = bytes::Bytes::from(message("tools/call", params));
    let taken = AtomicU64::new(0);
    again(8, async |_| {
        if taken.load(Ordering::Relaxed) >= most {
            return std::future::pending().await;
        }
        let outcome = caller.send("tools/call", Some("run_program"), body.clone()).await;
        taken.fetch_add(u64::from(outcome.task().is_some()), Ordering::Relaxed);
        note(counts, "4 MiB", &outcome);
    })
    .await;
}

async fn many_values(caller: &Caller, counts: &Counts) {
    let params = call_params("quick", json!({"a": "X"}), "link");
    let list = format!("[{}{{}}]", "{},".repeat(2_700_000));
    let body = bytes::Bytes::from(message("tools/call", params).replace("\"X\"", &list));
    again(2, async |_| {
        let outcome = caller.send("tools/call", Some("quick"), body.clone()).await;
        note(counts, "8 MiB of values", &outcome);
    })
    .await;
}
