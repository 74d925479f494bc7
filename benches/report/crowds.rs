//! Clients that call so long or so often, and whether a server has ended what they began.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::client::{Call, Client};
use crate::clients::on_a_thread;
use crate::measure::{Sample, micros};

/// Each client has one call under way, without a warm-up, and the last calls are waited for: a sample of every call that the
/// server had.
pub fn every_call(
    address: SocketAddr,
    clients: usize,
    call: &Call,
    expected: &str,
    span: Duration,
) -> Sample {
    let start = OnceLock::new();
    crowd(address, clients, call, expected, move || start.get_or_init(Instant::now).elapsed() < span)
}

/// So many calls by so many clients.
pub fn so_many(address: SocketAddr, clients: usize, call: &Call, expected: &str, calls: u64) {
    let left = AtomicU64::new(calls);
    let take = |left: u64| left.checked_sub(1);
    let go_on = move || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
    crowd(address, clients, call, expected, go_on);
}

/// Each client calls while `go_on` says so.
fn crowd(
    address: SocketAddr,
    clients: usize,
    call: &Call,
    expected: &str,
    go_on: impl Fn() -> bool + Send + Sync + 'static,
) -> Sample {
    let (call, expected, go_on) = (Arc::new(call.clone()), Arc::new(expected.to_owned()), Arc::new(go_on));
    on_a_thread(async move {
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(Client::connect(address).await);
        }
        let start = Instant::now();
        let calling = |mut client: Client| {
            let (call, expected, go_on) = (call.clone(), expected.clone(), go_on.clone());
            tokio::spawn(async move {
                let mut taken = Vec::new();
                while go_on() {
                    let began = Instant::now();
                    let answer = client.call(&call).await;
                    taken.push(micros(began.elapsed()));
                    assert!(answer.contains(&*expected), "no {expected} in {answer}");
                }
                taken
            })
        };
        let clients: Vec<_> = connections.into_iter().map(calling).collect();
        let mut taken = Vec::new();
        for client in clients {
            taken.extend(client.await.expect("a client"));
        }
        Sample::new(taken, start.elapsed())
    })
}

/// How many tasks are open in these states, together, by the page of metrics.
pub fn sum_of_metrics(address: SocketAddr, states: &[&str]) -> u64 {
    let page = Call::page(address, "/metrics");
    let page = on_a_thread(async move { Client::connect(address).await.call(&page).await });
    let of = |state: &&str| {
        let begin = format!("longhaul_tasks_open{{state=\"{state}\"}} ");
        let count = page.lines().find_map(|line| line.strip_prefix(&begin)).expect("a metric");
        count.parse::<u64>().expect("a number")
    };
    states.iter().map(of).sum()
}
