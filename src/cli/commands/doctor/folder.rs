//! The data folder, and the disk that it is on.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use super::check::Check;
use crate::cli::show::render::bytes;
use crate::private::{self, NotPrivate, Purpose};
use crate::store::{DiskBounds, Store};

/// Less free disk than this deserves a warning.
const LOW_DISK_BYTES: u64 = 1024 * 1024 * 1024;

pub fn data_folder(folder: &Path) -> Check {
    const WHAT: &str = "data folder";
    let shown = folder.display().to_string();
    let checked = private::check_folder(folder, Purpose::Read);
    if let Some(why) = checked.as_ref().err().and_then(NotPrivate::of) {
        return Check::warn(WHAT, why.what.clone(), why.next.clone());
    }
    match fs::metadata(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Check::ok(WHAT, format!("{shown}: not there yet, the first start makes it"))
        }
        Err(e) => Check::warn(WHAT, format!("{shown}: {e}"), "name another with --data"),
        Ok(kind) if !kind.is_dir() => {
            Check::warn(WHAT, format!("{shown}: no folder"), "name another with --data")
        }
        Ok(_) if is_read_only(folder) => {
            Check::ok(WHAT, format!("{shown}: read-only, good for looking at it"))
        }
        Ok(_) if rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err() => Check::warn(
            WHAT,
            format!("{shown}: cannot be written"),
            "give yourself the right to, or name another with --data",
        ),
        Ok(_) => Check::ok(WHAT, shown),
    }
}

fn is_read_only(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_flag.contains(StatVfsMountFlags::RDONLY))
}

pub fn disk(folder: &Path, bounds: DiskBounds) -> Check {
    const WHAT: &str = "disk";
    // The folder may not be there yet: its nearest parent is on the same disk.
    let there =
        folder.ancestors().find(|place| place.exists()).map_or_else(|| PathBuf::from("/"), Path::to_owned);
    if is_read_only(&there) {
        return Check::ok(WHAT, "read-only: nothing is written");
    }
    let disk = match Store::disk(&there, bounds) {
        Ok(disk) => disk,
        Err(e) => return Check::warn(WHAT, format!("{}: {e}", there.display()), "see whether it is mounted"),
    };
    let found = format!(
        "{} free of {}; the store keeps {} in reserve ({} are there) and takes new work while {} more are free",
        bytes(disk.free_bytes),
        bytes(disk.total_bytes),
        bytes(disk.wanted_reserve_bytes),
        bytes(disk.reserve_bytes),
        bytes(disk.watermark_bytes),
    );
    if disk.is_full {
        Check::warn(WHAT, found, "make room: new work is refused, unless the store's own file has free pages")
    } else if disk.free_bytes < LOW_DISK_BYTES {
        Check::warn(WHAT, found, "make room: with less, new work is refused ([shares.disk] says how much)")
    } else {
        Check::ok(WHAT, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_told_with_what_the_store_keeps_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = |watermark| {
            let check =
                disk(folder.path(), DiskBounds { reserve: Some(32 << 20), watermark: Some(watermark) });
            format!("{} {} {}", check.ok, check.found, check.advice.unwrap_or_default())
        };
        let words = kept(64 << 20);
        assert!(words.contains("32.0 MiB in reserve (0 B are there)"), "{words}");
        assert!(words.contains("while 64.0 MiB more are free"), "{words}");
        let words = kept(u64::MAX >> 1);
        assert!(
            words.starts_with("false") && words.contains("make room: new work is refused, unless"),
            "{words}"
        );
    }
}
