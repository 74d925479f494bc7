//! Files of the folders that are granted, which `std::fs` reads and writes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Puts a whole file in place, over one that is there: no reader sees a part of it, and no crash leaves one. It is written
/// under another name in the same folder, `.NAME.part`, and renamed once it is on disk.
pub fn write_once(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let path = path.as_ref();
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let part = path.with_file_name(format!(".{}.part", name.to_string_lossy()));
    let mut file = File::create(&part)?;
    file.write_all(bytes.as_ref())?;
    file.sync_all()?;
    drop(file);
    fs::rename(part, path)
}
