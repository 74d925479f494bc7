//! `nap {ms}`: sleeps by `std::thread::sleep` and says for how long, in milliseconds by its own clock.

use std::time::{Duration, Instant};

wit_bindgen::generate!({
    inline: "
        package test:sleeper;

        world sleeper {
            export nap: func(ms: u64) -> u64;
        }
    "
});

struct Sleeper;

impl Guest for Sleeper {
    fn nap(ms: u64) -> u64 {
        let start = Instant::now();
        println!("sleeping {ms} ms");
        std::thread::sleep(Duration::from_millis(ms));
        println!("awake");
        u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

export!(Sleeper);
