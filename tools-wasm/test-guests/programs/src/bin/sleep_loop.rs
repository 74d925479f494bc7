//! A loop of sleeps. Prints how long each took and how much time has gone by in all, in milliseconds.

use std::thread::sleep;
use std::time::{Duration, Instant};

use programs::{Chain, rounds_or};

fn main() {
    let rounds = rounds_or(40);
    let start = Instant::now();
    let mut chain = Chain::default();
    for round in 0..rounds {
        let wanted = Duration::from_millis(2 + round % 7);
        let before = Instant::now();
        sleep(wanted);
        let slept = before.elapsed();
        assert!(slept >= wanted, "slept {slept:?} instead of {wanted:?}");
        chain.add(slept.as_millis() as u64);
        println!(
            "sleep {round}: {} of {} ms, {} in all",
            slept.as_millis(),
            wanted.as_millis(),
            start.elapsed().as_millis()
        );
    }
    println!("result {:016x} after {rounds} sleeps", chain.value());
}
