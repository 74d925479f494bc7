//! An ordinary program: a map with random keys for its hashes, both clocks, short sleeps, and a line each round. All
//! that it sees goes into one hash chain, so a single difference after a restart changes every line that follows.

use std::collections::HashMap;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use programs::{Chain, rounds_or};

fn main() {
    let rounds = rounds_or(36);
    let start = Instant::now();
    let mut chain = Chain::default();
    let mut seen = HashMap::new();
    for round in 0..rounds {
        seen.insert(round, chain.value());
        // The order is random: it differs from task to task, yet must not differ within one.
        for (key, value) in &seen {
            chain.add(*key);
            chain.add(*value);
        }
        let elapsed = start.elapsed();
        chain.add(nanos(elapsed));
        chain.add(nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()));
        println!("round {round} at {} ms: {:016x}", elapsed.as_millis(), chain.value());
        sleep(Duration::from_millis(1 + round % 5));
    }
    println!("result {:016x} of {} entries after {rounds} rounds", chain.value(), seen.len());
}

fn nanos(time: Duration) -> u64 {
    // 584 years fit.
    time.as_nanos() as u64
}
