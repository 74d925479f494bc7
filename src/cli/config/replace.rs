//! A file of the user's that several processes change, each at one stroke.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The right to change the file, until it is dropped: another process waits for it. It is held by the file's folder, since
/// the file itself is another one after each change.
pub fn hold(path: &Path) -> io::Result<File> {
    let folder = resolved(path)?.parent().filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned);
    let folder = File::open(folder.as_deref().unwrap_or(Path::new(".")))?;
    folder.lock()?;
    Ok(folder)
}

/// Where the file itself stands, or will.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound if !path.is_symlink() => Ok(path.to_owned()),
        _ => Err(error),
    })
}

/// Puts the text in the file's place at one stroke; a link stays one. `mode` is that of a file that was not there.
pub fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let path = resolved(path)?;
    let mode = fs::metadata(&path).map_or(mode, |there| there.permissions().mode() & 0o777);
    let mut fresh = path.clone().into_os_string();
    fresh.push(format!(".{}.new", std::process::id()));
    let fresh = PathBuf::from(fresh);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&fresh, &path)
    };
    let done = write();
    if done.is_err() {
        // What is in the way matters more than what is left behind.
        let _ = fs::remove_file(&fresh);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODE: u32 = 0o644;

    #[test]
    fn the_file_is_replaced_at_one_stroke_and_keeps_its_mode_and_its_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("kept.lock"), folder.path().join("longhaul.lock"));
        replace(&file, "one", MODE).expect("written");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, MODE);
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("set");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        replace(&link, "two", MODE).expect("written");
        assert_eq!(fs::read_to_string(&file).expect("read"), "two");
        assert!(link.is_symlink());
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o640);
        fs::remove_file(&file).expect("removed");
        assert!(replace(&link, "three", MODE).is_err(), "a link to nowhere is none of ours to fill");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left behind");
    }
}
