//! Takes memory and writes to it until it gets no more, which ends it with a trap.

const MIB: usize = 1024 * 1024;

fn main() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![0xa5_u8; MIB]);
        if hoard.len() % 16 == 0 {
            println!("holding {} MiB", hoard.len());
        }
    }
}
