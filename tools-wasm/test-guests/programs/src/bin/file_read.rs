//! Reads every file of the folder that it is granted, for the bench of what a read costs.

use std::fs;
use std::io;

fn main() -> io::Result<()> {
    let mut paths = fs::read_dir("/in")?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in &paths {
        fs::read(path)?;
    }
    println!("read {}", paths.len());
    Ok(())
}
