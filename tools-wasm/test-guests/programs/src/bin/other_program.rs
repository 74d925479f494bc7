//! Looks like `std_program` from outside and does other things in another order: on the journal of `std_program` it
//! must be found out.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use programs::{Chain, rounds_or};

fn main() {
    let rounds = rounds_or(24);
    let mut chain = Chain::default();
    let mut seen = BTreeMap::new();
    for round in 0..rounds {
        sleep(Duration::from_millis(2 + round % 3));
        let before = Instant::now();
        sleep(Duration::from_millis(1));
        chain.add(before.elapsed().as_micros() as u64);
        seen.insert(chain.value(), round);
        println!("lap {round}: {:016x}", chain.value());
    }
    println!("result {:016x} of {} entries after {rounds} laps", chain.value(), seen.len());
}
