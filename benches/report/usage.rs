//! What a process has used by now, as Linux says.

use std::fs::read_to_string;
use std::time::Duration;

/// The kernel counts in ticks, of which a second has this many on Linux, whatever the machine.
const TICKS_EACH_SECOND: u64 = 100;

pub struct Usage {
    /// Of all its threads, in its own code and in the kernel's.
    pub processor: Duration,
    /// Memory that is no file's.
    pub anonymous_bytes: u64,
    /// Calls of `read` and its kind; sockets are read otherwise.
    pub read_calls: u64,
    /// Read from the disk itself.
    pub disk_bytes: u64,
}

impl Usage {
    pub fn of(pid: u32) -> Self {
        let read = |name: &str| read_to_string(format!("/proc/{pid}/{name}")).expect("Linux, and a process");
        let stat = read("stat");
        // Behind the name, which may hold anything.
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks: u64 =
            [11, 12].map(|field: usize| fields[field].parse::<u64>().expect("ticks")).iter().sum();
        let field = |text: &str, name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
            value.expect("a field").parse::<u64>().expect("a number")
        };
        let (status, io) = (read("status"), read("io"));
        Self {
            processor: Duration::from_millis(ticks * 1_000 / TICKS_EACH_SECOND),
            anonymous_bytes: field(&status, "RssAnon:") * 1024,
            read_calls: field(&io, "syscr:"),
            disk_bytes: field(&io, "read_bytes:"),
        }
    }

    pub fn since(&self, before: &Self) -> Self {
        Self {
            processor: self.processor - before.processor,
            anonymous_bytes: self.anonymous_bytes.saturating_sub(before.anonymous_bytes),
            read_calls: self.read_calls - before.read_calls,
            disk_bytes: self.disk_bytes - before.disk_bytes,
        }
    }
}
