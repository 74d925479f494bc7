//! Prints 16 MiB in lines of 64 bytes, on both streams, and ends well: the host must keep its memory and drop the
//! rest of the log.

const LINES: u32 = 16 * 1024 * 1024 / 64;

fn main() {
    for line in 0..LINES {
        let text = format!("flood {line:>8} {}", ".".repeat(48));
        if line % 2 == 0 {
            println!("{text}");
        } else {
            eprintln!("{text}");
        }
    }
    println!("result {LINES} lines");
}
