//! A folder is opened that may be held.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::call::Root;
use super::may_hold::MayHold;

/// Or why it may not be held, or cannot.
pub fn open_root(root: &Root, may: &MayHold) -> Result<OwnedFd, String> {
    may.check(root)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // A link on the way may have been laid by a guest that has another folder, so there is to be none.
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(CWD, &root.path, flags, Mode::empty(), resolve).map_err(|errno| match errno {
        Errno::LOOP => "a link is on its way; bind it by the path that realpath says".to_owned(),
        Errno::NOENT => "it is not there; make it, or bind another".to_owned(),
        Errno::NOTDIR => "it is no folder; bind the folder that has it".to_owned(),
        Errno::NOSYS => "this kernel has no openat2, which came with Linux 5.6".to_owned(),
        errno => errno.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_where_it_is_and_by_its_own_path() {
        let base = tempfile::tempdir().expect("a folder");
        let base = base.path().canonicalize().expect("a path");
        let path = |name: &str| base.join(name);
        for name in ["data/inner", "docs"] {
            std::fs::create_dir_all(path(name)).expect("made");
        }
        std::fs::write(path("file"), "").expect("written");
        std::os::unix::fs::symlink(path("data"), path("link")).expect("linked");
        // Named by a link, it is the same.
        let may = MayHold { apart: vec![path("link")], ..MayHold::anything() };
        let opened = |name: &str| open_root(&Root { path: path(name), may_write: false }, &may).map(drop);
        assert_eq!(opened("docs"), Ok(()));
        for (name, why) in [
            ("data", "bind another folder"),
            ("link/inner", "a link"),
            ("nothing", "not there"),
            ("file", "no folder"),
        ] {
            let refused = opened(name).expect_err("refused");
            assert!(refused.contains(why), "{name}: {refused}");
        }
        let other = MayHold::default();
        assert!(open_root(&Root { path: path("docs"), may_write: false }, &other).is_err());
    }
}
