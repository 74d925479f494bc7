//! What the figures were measured on. Without it they mean little.

use std::fs::read_to_string;
use std::path::Path;

/// One fact a line.
pub fn facts(folder: &Path) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, it)| it);
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    });
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    let mut facts = vec![format!(
        "{cores} cores ({}), {} GiB, Linux {}, {}",
        model.unwrap_or("model unknown"),
        kib.map_or(0, |kib| kib >> 20),
        kernel.trim(),
        file_system(folder),
    )];
    facts.push(format!(
        "load average before: {}; server, clients and guests share the cores, all over loopback",
        load.split(' ').take(3).collect::<Vec<_>>().join(" "),
    ));
    facts
}

/// The kind of file system that holds `folder`, and its device.
fn file_system(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = read_to_string("/proc/mounts").unwrap_or_default();
    let mount = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        Some((words.next()?, words.next()?, words.next()?))
    };
    let holding = mounts.lines().filter_map(mount).filter(|(_, at, _)| folder.starts_with(at));
    match holding.max_by_key(|(_, at, _)| at.len()) {
        Some((device, _, kind)) => format!("{kind} on {device}"),
        None => "file system unknown".to_owned(),
    }
}
