//! Processor time of processes, from /proc.

use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::time::Duration;

/// Of this process.
pub fn of_this() -> Result<Duration> {
    Ok(read("self")?.spent)
}

/// Of these processes and of all below them.
pub fn of_trees(roots: &[u32]) -> Result<Duration> {
    if roots.is_empty() {
        return Ok(Duration::ZERO);
    }
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut spent: BTreeMap<u32, Duration> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended meanwhile is counted with its parent.
        let Ok(process) = read(&format!("{pid}")) else { continue };
        children.entry(process.parent).or_default().push(pid);
        spent.insert(pid, process.spent);
    }
    let mut left = roots.to_vec();
    let mut sum = Duration::ZERO;
    while let Some(pid) = left.pop() {
        sum += *spent.get(&pid).ok_or_else(|| Error::other(format!("process {pid} has ended")))?;
        left.extend(children.get(&pid).into_iter().flatten());
    }
    Ok(sum)
}

struct Process {
    parent: u32,
    spent: Duration,
}

/// Of the process with all its threads, and of its children that were waited for.
fn read(pid: &str) -> Result<Process> {
    /// What Linux counts in, on every architecture that Rust has a std for.
    const TICK: Duration = Duration::from_millis(10);
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold anything.
    let rest = line.rsplit_once(')').map_or("", |(_, rest)| rest);
    let words: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| -> Result<u32> {
        words.get(at).ok_or_else(|| Error::other(line.clone()))?.parse().map_err(Error::other)
    };
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    Ok(Process { parent: number(1)?, spent: TICK * ticks })
}
