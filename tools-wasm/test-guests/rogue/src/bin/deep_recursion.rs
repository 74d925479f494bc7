//! Calls itself without end.

use std::hint::black_box;

fn main() {
    println!("descending");
    println!("came back from {}", descend(0));
}

#[allow(unconditional_recursion)]
fn descend(depth: u64) -> u64 {
    // What comes after the call keeps it from becoming a loop.
    black_box(descend(black_box(depth) + 1)) ^ depth
}
