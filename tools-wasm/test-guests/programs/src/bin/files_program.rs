//! Reads, writes, appends, renames, links and removes files, by std alone. What is there in the end says whether anything was
//! done twice.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};

const LONG: usize = 150_000;

fn main() -> io::Result<()> {
    let input = fs::read_to_string("/in/input")?;
    println!("input: {input}");
    let mut big = Vec::new();
    File::open("/in/big")?.read_to_end(&mut big)?;
    let sum = big.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    println!("big: {} bytes, {sum}", big.len());

    fs::create_dir("/out/made")?;
    let mut log = OpenOptions::new().append(true).create(true).open("/out/log")?;
    for number in 0..3 {
        writeln!(log, "line {number}")?;
    }
    let mut part = File::create("/out/made/.part")?;
    part.write_all(input.to_uppercase().as_bytes())?;
    part.seek(SeekFrom::Start(1))?;
    part.write_all(b"*")?;
    part.sync_all()?;
    drop(part);
    fs::rename("/out/made/.part", "/out/made/whole")?;
    fs::hard_link("/out/made/whole", "/out/made/linked")?;
    OpenOptions::new().write(true).create_new(true).open("/out/once")?.write_all(b"1")?;
    fs::remove_file("/out/made/linked")?;
    fs::create_dir("/out/empty")?;
    fs::remove_dir("/out/empty")?;
    let cut = OpenOptions::new().write(true).open("/out/log")?;
    cut.set_len(14)?;
    writeln!(log, "end")?;

    // A number that is read and written one higher in its place.
    fs::write("/out/count", "0")?;
    for _ in 0..3 {
        let mut count = OpenOptions::new().read(true).write(true).open("/out/count")?;
        let mut text = String::new();
        count.read_to_string(&mut text)?;
        let next = text.parse::<u64>().map_err(io::Error::other)? + 1;
        count.seek(SeekFrom::Start(0))?;
        count.write_all(next.to_string().as_bytes())?;
    }

    // More than a journal keeps of one read elsewhere, read and put in its own place.
    fs::write("/out/long", &big[..LONG])?;
    let mut long = vec![0; LONG];
    File::open("/out/long")?.read_exact(&mut long)?;
    long.reverse();
    fs::write("/out/long", &long)?;

    if let Ok(mut huge) = File::open("/in/huge") {
        let mut piece = vec![0; 1024 * 1024];
        while huge.read(&mut piece)? > 0 {}
        println!("huge: read");
    }

    let mut names = Vec::new();
    for entry in fs::read_dir("/out")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    println!("out: {names:?}");
    println!("log: {:?}", fs::read_to_string("/out/log")?);
    println!(
        "whole: {:?} {}",
        fs::read_to_string("/out/made/whole")?,
        fs::metadata("/out/made/whole")?.len()
    );
    println!("read-only: {:?}", fs::write("/in/new", "x").map_err(|error| error.kind()));
    println!("out of it: {:?}", fs::read("/in/link").map_err(|error| error.kind()).is_err());
    println!("again: {:?}", fs::create_dir("/out/made").map_err(|error| error.kind()));
    Ok(())
}
