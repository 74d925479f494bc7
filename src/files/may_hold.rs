//! Which folders a process may hold. This is asked outside of the server's walls, by the process itself: a server that
//! something has taken over gets no more by asking.

use std::path::{Component, Path, PathBuf};

use super::call::Root;
use crate::limits;

/// What the kernel shows, which is no file.
const OF_THE_KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// What who states the program has said, and no message changes. By itself nothing may be held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MayHold {
    /// The data folder of the server.
    pub data: PathBuf,
    /// What is in none of the folders that are held, and holds none of them: the data folder, and what is believed besides.
    pub apart: Vec<PathBuf>,
    /// Folders that may be held to be read alone, each by its own path.
    pub read: Vec<PathBuf>,
    /// Folders that may be held to be changed.
    pub write: Vec<PathBuf>,
    /// Folders of which all that are in them may be held.
    pub within: Vec<PathBuf>,
}

impl MayHold {
    /// For who holds folders in its own process, where nothing else could keep it from them.
    pub fn anything() -> Self {
        Self { within: vec!["/".into()], ..Self::default() }
    }

    /// Or why not. Whether it is there is not asked.
    pub fn check(&self, root: &Root) -> Result<(), String> {
        self.check_apart(&root.path)?;
        let path = &root.path;
        let is_stated = self.write.contains(path)
            || (!root.may_write && self.read.contains(path))
            || self.within.iter().any(|within| path.starts_with(within));
        if is_stated { Ok(()) } else { Err(unbound(root)) }
    }

    /// Whether the server could write it, so that it says nothing of what the server may have.
    pub fn is_in_data(&self, file: &Path) -> bool {
        steps(file).iter().any(|step| step.starts_with(real(&self.data)))
    }

    /// What is refused however it is bound, by its path alone: that has no link on it once it is opened.
    pub fn check_apart(&self, path: &Path) -> Result<(), String> {
        let refused = |why: &str| Err(why.to_owned());
        let mut parts = path.components();
        if parts.next() != Some(Component::RootDir) {
            return refused("it is no absolute path; bind it by one");
        }
        if !parts.clone().all(|part| matches!(part, Component::Normal(_))) {
            return refused("it has '..' in it; bind it without");
        }
        if parts.next().is_none() {
            return refused("it is the whole machine; bind a folder in it");
        }
        if OF_THE_KERNEL.iter().any(|kernels| path.starts_with(kernels)) {
            return refused("it is the kernel's; bind a folder with files");
        }
        for own in &self.apart {
            let in_it = path.starts_with(real(own));
            // Who can write a folder on the way to it can put something else in its place.
            if in_it || steps(own).iter().any(|step| step.starts_with(path)) {
                return refused(
                    "the server's data folder, its configuration or its lock file is in it, or it is in one of these; bind \
                     another folder",
                );
            }
        }
        Ok(())
    }
}

fn unbound(root: &Root) -> String {
    let (path, access) = (root.path.display().to_string(), if root.may_write { "write" } else { "read" });
    format!(
        "nothing outside of the server says that it may be held to {access}; bind it by `longhaul tool approve NAME --bind \
         SLOT={path}` on this machine, or by files in [grants.NAME] of longhaul.toml, or let what is in a folder be held by \
         [folders] within = [{path:?}] there, and start the server again"
    )
}

/// Where it really is.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The places on the way to a file: each link that leads there, and the file itself.
fn steps(path: &Path) -> Vec<PathBuf> {
    let mut steps = Vec::new();
    let mut place = PathBuf::from("/");
    let mut to_go = names(path);
    while let Some(name) = to_go.pop() {
        if name == ".." {
            place.pop();
            continue;
        }
        let next = place.join(&name);
        match std::fs::read_link(&next) {
            Ok(target) if steps.len() < limits::MAX_LINKS_TO_DATA => {
                steps.push(next);
                if target.is_absolute() {
                    place = PathBuf::from("/");
                }
                to_go.extend(names(&target));
            }
            _ => place = next,
        }
    }
    steps.push(place);
    steps
}

/// Last one first.
fn names(path: &Path) -> Vec<std::ffi::OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().rev().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root(path: impl Into<PathBuf>, may_write: bool) -> Root {
        Root { path: path.into(), may_write }
    }

    #[test]
    fn nothing_is_held_that_is_not_stated() {
        let nothing = MayHold { data: "/var/data".into(), ..MayHold::default() };
        let refused = nothing.check(&root("/srv/docs", false)).expect_err("refused");
        assert!(refused.contains("[folders] within"), "{refused}");
        let may = MayHold {
            read: vec!["/srv/read".into()],
            write: vec!["/srv/write".into()],
            within: vec!["/srv/all".into()],
            ..nothing
        };
        for (path, reads, writes) in [
            ("/srv/read", true, false),
            ("/srv/write", true, true),
            ("/srv/all", true, true),
            ("/srv/all/a/b", true, true),
            ("/srv/allowed", false, false),
            ("/srv/read/inner", false, false),
            ("/srv/write/inner", false, false),
            ("/srv", false, false),
        ] {
            let check = |may_write| may.check(&root(path, may_write)).is_ok();
            assert_eq!((check(false), check(true)), (reads, writes), "{path}");
        }
    }

    #[test]
    fn what_the_server_can_write_is_in_its_data_folder_over_links_too() {
        let base = tempfile::tempdir().expect("a folder");
        let base = base.path().canonicalize().expect("a path");
        let may = MayHold { data: base.join("data"), ..MayHold::default() };
        std::fs::create_dir(base.join("data")).expect("made");
        symlink(base.join("data"), base.join("config")).expect("linked");
        for (file, is_in_data) in [("data/file", true), ("config/file", true), ("other/file", false)] {
            assert_eq!(may.is_in_data(&base.join(file)), is_in_data, "{file}");
        }
    }

    #[test]
    fn what_is_apart_is_not_held_however_it_is_bound() {
        let base = tempfile::tempdir().expect("a folder");
        let base = base.path().canonicalize().expect("a path");
        let path = |name: &str| base.join(name);
        for name in ["far/data/inner", "on-the-way", "docs", "config"] {
            std::fs::create_dir_all(path(name)).expect("made");
        }
        symlink(path("on-the-way/link"), path("data")).expect("linked");
        symlink(path("far/data"), path("on-the-way/link")).expect("linked");
        let may = MayHold { apart: vec![path("data"), path("config/longhaul.toml")], ..MayHold::anything() };
        assert_eq!(may.check(&root(path("docs"), true)), Ok(()));
        assert_eq!(may.check(&root(path("config/docs"), true)), Ok(()));
        for folder in ["far", "far/data", "far/data/inner", "on-the-way", "config", ""] {
            let refused = may.check(&root(path(folder), false)).expect_err(folder);
            assert!(refused.contains("bind another folder"), "{folder}: {refused}");
        }
        for (folder, why) in [
            ("/", "whole machine"),
            ("/proc/self", "kernel's"),
            ("/dev/shm", "kernel's"),
            ("docs", "absolute"),
            ("/srv/../proc", "'..'"),
        ] {
            let refused = may.check(&root(folder, false)).expect_err(folder);
            assert!(refused.contains(why), "{folder}: {refused}");
        }
    }
}
