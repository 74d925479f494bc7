//! Where a program is that was named without a folder.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The program of that name in the folders that `path` lists. A relative folder is passed over: it would mean the
/// working folder, which is whatever a host has open, such as a cloned repository.
pub fn find_program(name: impl AsRef<OsStr>, path: Option<&OsStr>) -> Option<PathBuf> {
    let name = name.as_ref();
    if name.as_bytes().contains(&b'/') {
        return Some(name.into());
    }
    std::env::split_paths(path?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|there| there.is_file() && there.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_program_is_found_in_absolute_folders_alone() {
        let root = tempfile::tempdir().expect("a folder");
        let place = |name: &str, mode| {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            fs::write(&file, "").expect("written");
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("set");
            file
        };
        let _ = place("plain/tool", 0o644);
        let there = place("bin/tool", 0o755);
        let path = |folders: &[PathBuf]| std::env::join_paths(folders).expect("a path");
        let both = path(&[root.path().join("plain"), root.path().join("bin")]);
        assert_eq!(find_program("tool", Some(&both)), Some(there));
        assert_eq!(find_program("other", Some(&both)), None);
        // Of what is certainly in the working folder of a test.
        for relative in ["src/..", ".", "", "./"] {
            assert_eq!(find_program("Cargo.toml", Some(OsStr::new(relative))), None, "'{relative}'");
        }
        assert_eq!(find_program("./x", None), Some("./x".into()));
        assert_eq!(find_program("x", None), None);
    }
}
