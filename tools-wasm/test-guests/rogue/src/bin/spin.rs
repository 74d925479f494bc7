//! Computes for ever and asks the host for nothing.

fn main() {
    println!("spinning");
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
