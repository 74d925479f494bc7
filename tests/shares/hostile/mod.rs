//! What hostile callers do, each kind a program of its own: as much as they can, again at once where it is refused.

mod calls;
mod connections;
mod crowd;
mod hogs;
mod holders;
mod pool;

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use serde_json::Value;

use crate::generator::Counts;
use crate::wire::{Caller, Outcome};

/// The four of the soak.
pub const KINDS: [&str; 4] = ["calls", "connections", "holders", "hogs"];

/// Calls nothing and computes.
pub const BYSTANDER: &str = "bystander";

async fn compute() {
    for number in 0_u64.. {
        std::hint::black_box(number.wrapping_mul(number));
        if number % 1_000_000 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Never ends by itself.
pub async fn act(kind: &str, orders: &Value, counts: &Counts) {
    if kind == BYSTANDER {
        return compute().await;
    }
    let caller = Caller::of_orders(orders);
    match kind {
        "calls" => calls::act(&caller, orders, counts).await,
        "connections" => connections::act(&caller, orders, counts).await,
        "holders" => holders::act(&caller, counts).await,
        "crowd" => crowd::act(orders, counts).await,
        "pool" => pool::act(&caller, orders, counts).await,
        "hogs" => hogs::act(&caller, orders, counts).await,
        _ => panic!("there is no hostile caller '{kind}'"),
    }
}

/// Counts what became of a request, and remembers its task.
fn note(counts: &Counts, what: &str, outcome: &Outcome) {
    counts.add(&format!("{what}: {}", outcome.kind()), &outcome.words());
    if let Some(task) = outcome.task() {
        counts.acknowledge(task);
    }
}

/// The same act again and again, so many times side by side.
async fn again<'a, F: Future<Output = ()> + Send + 'a>(
    at_once: usize,
    act: impl Fn(usize) -> F + Send + Sync + 'a,
) {
    join_all((0..at_once).map(async |number| {
        loop {
            act(number).await;
            // What ends at once would leave no other act its turn.
            tokio::task::yield_now().await;
        }
    }))
    .await;
}

/// All of these side by side.
async fn all(acts: Vec<BoxFuture<'_, ()>>) {
    join_all(acts).await;
}

/// Where there is nothing to hold any more, the next try is soon.
async fn breathe() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
