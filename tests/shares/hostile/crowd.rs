//! Many callers, none of them hostile: first at a steady rate, then each as fast as it is answered.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::generator::Counts;
use crate::wire::Caller;

/// Between two calls of one that is in no haste; without optimisation a server serves fewer.
const PERIOD: Duration = Duration::from_millis(if cfg!(debug_assertions) { 10_000 } else { 1_000 });

pub async fn act(orders: &Value, counts: &Counts) {
    let one = Caller::of_orders(orders);
    let tokens = orders["tokens"].as_array().expect("tokens");
    let tokens = tokens.iter().map(|token| token.as_str().expect("a token"));
    let callers: Vec<Caller> = tokens.map(|token| Caller::new(&one.url, token, one.from)).collect();
    let tools = orders["tools"].as_u64().expect("tools") as usize;
    let phase = Duration::from_secs(orders["phase_seconds"].as_u64().expect("seconds"));
    let begin = Instant::now();
    let of_one = async |number: usize, caller: &Caller| {
        // Not all at the same moment.
        let mut due = begin + PERIOD.mul_f64(number as f64 / callers.len() as f64);
        for round in 0.. {
            tokio::time::sleep_until(due).await;
            if begin.elapsed() >= phase {
                break;
            }
            call(caller, counts, "steady", (number, round, tools), due).await;
            due += PERIOD;
        }
        for round in 0.. {
            let due = Instant::now();
            if begin.elapsed() >= 2 * phase {
                break;
            }
            call(caller, counts, "hasty", (number, round, tools), due).await;
        }
    };
    join_all(callers.iter().enumerate().map(|(number, caller)| of_one(number, caller))).await;
    // It is asked for what it has seen.
    std::future::pending::<()>().await;
}

async fn call(
    caller: &Caller,
    counts: &Counts,
    phase: &str,
    (number, round, tools): (usize, usize, usize),
    due: Instant,
) {
    let tool = format!("quick{}", (number * 7 + round) % tools);
    let reply = if round % 2 == 0 { "inline" } else { "link" };
    let outcome = caller.call(&tool, json!({}), reply).await;
    counts.time(phase, due.elapsed());
    counts.add(&format!("{phase} {} {number}", outcome.kind()), &outcome.words());
}
