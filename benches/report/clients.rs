//! Clients on a thread of their own that call without a pause.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::{Call, Client};
use crate::measure::{Sample, micros};

const WARM_UP: Duration = Duration::from_millis(300);

/// Each client has one call under way, always. Every answer must hold `expected`.
pub fn closed_loop(
    address: SocketAddr,
    clients: usize,
    call: &Call,
    expected: &str,
    span: Duration,
) -> Sample {
    let (call, expected) = (call.clone(), expected.to_owned());
    on_a_thread(until_over(address, clients, call, expected, span))
}

/// Clients have a thread of their own, as they have a process of their own in life.
pub fn on_a_thread<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let working = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(work)
    });
    working.join().expect("the clients")
}

async fn until_over(
    address: SocketAddr,
    clients: usize,
    call: Call,
    expected: String,
    span: Duration,
) -> Sample {
    let start = Instant::now() + WARM_UP;
    let end = start + span;
    let (call, expected) = (Arc::new(call), Arc::new(expected));
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let (call, expected) = (call.clone(), expected.clone());
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                let mut taken = Vec::new();
                loop {
                    let began = Instant::now();
                    let answer = client.call(&call).await;
                    let ended = Instant::now();
                    assert!(answer.contains(&*expected), "no {expected} in {answer}");
                    if ended >= end {
                        return taken;
                    }
                    if ended >= start {
                        taken.push(micros(ended - began));
                    }
                }
            })
        })
        .collect();
    let mut taken = Vec::new();
    for client in clients {
        taken.extend(client.await.expect("a client"));
    }
    Sample::new(taken, span)
}
