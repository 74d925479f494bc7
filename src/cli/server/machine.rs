//! What the machine has for the server: of memory its cgroup's part, where that is less.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::config::Settings;
use crate::limits;
use crate::shares::Bounds;
use crate::store::{DiskBounds, Store};

/// What there is of each thing, as the settings, the machine and so many connections have it, and the disk of this data
/// folder, which may not be there yet.
pub fn bounds(settings: &Settings, connections: usize, folder: &Path) -> Bounds {
    let disk = folder.ancestors().find_map(|there| Store::disk(there, DiskBounds::default()).ok());
    let total = disk.map(|disk| disk.total_bytes).filter(|bytes| *bytes > 0);
    settings.shares.bounds(memory().shared(), settings.engine.live_instances, connections as u64, total)
}

/// The memory that this process may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Memory {
    OfMachine(u64),
    /// The file says so.
    OfGroup(u64, PathBuf),
    /// The system does not say.
    Unknown,
}

impl Memory {
    /// What callers have of it, unless the settings say otherwise: half.
    pub fn shared(&self) -> u64 {
        match self {
            Self::OfMachine(bytes) | Self::OfGroup(bytes, _) => bytes / 2,
            Self::Unknown => limits::DEFAULT_SHARED_MEMORY_BYTES,
        }
    }
}

pub fn memory() -> Memory {
    memory_below(Path::new("/"))
}

/// `root` is where the system's own files are.
fn memory_below(root: &Path) -> Memory {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let of_machine = read("proc/meminfo").as_deref().and_then(total);
    let groups = read("proc/self/cgroup").unwrap_or_default();
    let files = groups.lines().flat_map(limit_files).map(|file| root.join(file));
    let of_group = files.filter_map(|file| Some((limit(&file)?, file))).min();
    match (of_machine, of_group) {
        (Some(bytes), Some((limit, _))) if bytes <= limit => Memory::OfMachine(bytes),
        (_, Some((limit, file))) => Memory::OfGroup(limit, file),
        (Some(bytes), None) => Memory::OfMachine(bytes),
        (None, None) => Memory::Unknown,
    }
}

/// Of `MemTotal:       16316412 kB`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The files that bound a group's memory: its own, and those of the groups around it. A line is
/// `0::/system.slice/longhaul.service`, or `4:memory:/docker/…` of the older kind.
fn limit_files(line: &str) -> Vec<PathBuf> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(kinds), Some(group)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (base, file) = match kinds {
        "" => ("sys/fs/cgroup", "memory.max"),
        kinds if kinds.split(',').any(|kind| kind == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let group = Path::new(group.trim_start_matches('/'));
    // Within a container the group's path may be the host's, and the container's root is the group.
    group.ancestors().map(|group| Path::new(base).join(group).join(file)).collect()
}

/// `max` is no bound, and neither is a number that no machine has.
fn limit(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_the_machine_and_its_groups_holds() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("to make it");
            fs::write(path, text).expect("to write it");
        };
        let of_group = |bytes, path: &str| Memory::OfGroup(bytes, root.path().join(path));
        assert_eq!(memory_below(root.path()), Memory::Unknown);
        write("proc/meminfo", "MemFree: 1 kB\nMemTotal:       16316412 kB\nBuffers: 2 kB\n");
        assert_eq!(memory_below(root.path()), Memory::OfMachine(16_316_412 * 1024));
        write("proc/self/cgroup", "0::/a.slice/b.service\n");
        write("sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
        assert_eq!(memory_below(root.path()), Memory::OfMachine(16_316_412 * 1024));
        write("sys/fs/cgroup/a.slice/memory.max", "1073741824\n");
        assert_eq!(memory_below(root.path()), of_group(1_073_741_824, "sys/fs/cgroup/a.slice/memory.max"));
        write("proc/self/cgroup", "5:cpu,memory:/docker/x\n0::/\n");
        write("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "536870912\n");
        assert_eq!(
            memory_below(root.path()),
            of_group(536_870_912, "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes")
        );
    }
}
