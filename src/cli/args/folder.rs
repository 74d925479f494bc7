//! What `longhaul hold-folder` takes: which folders it may hold, as the server stated it before it put up its walls.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::files::MayHold;
use crate::walls::Wanted;

/// The hidden command of a process that holds a folder.
pub const HOLD_FOLDER: &str = "hold-folder";

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct HoldFolderArgs {
    /// What stands around the process
    #[arg(long)]
    pub walls: Wanted,
    /// The data folder of the server
    #[arg(long)]
    data_folder: PathBuf,
    /// Held by no folder, and holding none
    #[arg(long)]
    apart: Vec<PathBuf>,
    /// May be held to be read
    #[arg(long)]
    read: Vec<PathBuf>,
    /// May be held to be changed
    #[arg(long)]
    write: Vec<PathBuf>,
    /// All in it may be held
    #[arg(long)]
    within: Vec<PathBuf>,
    /// What a person has bound after the start
    #[arg(long)]
    pub bindings: Option<PathBuf>,
}

impl HoldFolderArgs {
    pub fn may_hold(&self) -> MayHold {
        let Self { walls: _, data_folder: data, apart, read, write, within, bindings: _ } = self.clone();
        MayHold { data, apart, read, write, within }
    }
}

/// The words that say so, behind the command's name.
pub fn words(walls: Wanted, may: &MayHold, bindings: Option<&Path>) -> Vec<OsString> {
    let one = |name: &str, path: &Path| [OsString::from(name), path.into()];
    let all = |name: &'static str, paths: &[PathBuf]| -> Vec<OsString> {
        paths.iter().flat_map(|path| one(name, path)).collect()
    };
    let mut words = vec![OsString::from("--walls"), walls.as_str().into()];
    words.extend(one("--data-folder", &may.data));
    words.extend(all("--apart", &may.apart));
    words.extend(all("--read", &may.read));
    words.extend(all("--write", &may.write));
    words.extend(all("--within", &may.within));
    words.extend(bindings.into_iter().flat_map(|file| one("--bindings", file)));
    words
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Cli, Command};
    use super::*;

    #[test]
    fn what_is_stated_arrives() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let full = MayHold {
            data: "/var/data".into(),
            apart: paths(&["/var/data", "/home/me/.config/longhaul"]),
            read: paths(&["/srv/docs"]),
            write: paths(&["/srv/out", "/srv/a b"]),
            within: paths(&["/srv/all"]),
        };
        let file = Path::new("/home/me/.config/longhaul/bindings.toml");
        let empty = MayHold { data: "/var/data".into(), ..MayHold::default() };
        for (walls, may) in [(Wanted::On, full), (Wanted::Required, empty.clone()), (Wanted::Off, empty)] {
            let words = words(walls, &may, Some(file));
            let words = [OsString::from("longhaul"), HOLD_FOLDER.into()].into_iter().chain(words);
            let cli = Cli::try_parse_from(words).expect("parses");
            let Command::HoldFolder(args) = cli.command else { panic!("another command") };
            assert_eq!(args.bindings.as_deref(), Some(file));
            assert_eq!((args.walls, args.may_hold()), (walls, may));
        }
    }
}
