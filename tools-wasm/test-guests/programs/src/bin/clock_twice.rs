//! Reads each clock twice in a row and prints both readings, over and over. The second reading mostly comes within
//! the same millisecond as the first: a journal that records only what changed must still give both again.

use std::hint::black_box;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use programs::{Chain, rounds_or};

fn main() {
    let rounds = rounds_or(200);
    let start = Instant::now();
    let mut chain = Chain::default();
    for round in 0..rounds {
        let (first, second) = (start.elapsed(), start.elapsed());
        let (third, fourth) = (wall(), wall());
        assert!(first <= second && third <= fourth, "a clock went backwards in round {round}");
        for time in [first, second, third, fourth] {
            chain.add(time.as_nanos() as u64);
        }
        println!(
            "round {round}: {} {} | {} {} | {:016x}",
            first.as_nanos(),
            second.as_nanos(),
            third.as_nanos(),
            fourth.as_nanos(),
            chain.value()
        );
        // Time passes in both ways: by computing, and now and then by a sleep.
        for spin in 0..20_000_u64 {
            black_box(spin);
        }
        if round % 16 == 15 {
            sleep(Duration::from_millis(1));
        }
    }
    println!("result {:016x} after {rounds} rounds", chain.value());
}

fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
