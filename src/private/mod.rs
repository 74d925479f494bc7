//! Folders and files that are this user's alone. What is kept in the data folder is believed: the store, the key of the
//! running server, machine code. So no other user may be able to write it or put something in its place, and no link is
//! followed inside of it, also where another user made it: a repository that was cloned brings links too.
//!
//! The folder's own path may lead over links, such as one to another disk, if no other user can turn them elsewhere.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{OFlags, StatVfsMountFlags};

use crate::limits;

const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;

/// What is not this user's alone, or not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {next}")]
pub struct NotPrivate {
    pub what: String,
    /// The command that mends it, or what else to do.
    pub next: String,
}

/// What is about to be done with what is in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is changed, or believed.
    Write,
    /// It is shown. On a file system that is mounted read-only, owners and modes are those of another machine,
    /// perhaps: a backup may be read.
    Read,
}

/// Whether there is a folder; one that is there is this user's alone, or an error.
pub fn check_folder(folder: &Path, purpose: Purpose) -> io::Result<bool> {
    let (place, there) = match resolve(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !there.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    if purpose == Purpose::Write || !is_read_only(&place) {
        owned(&place, &there)?;
        unwritable_by_others(&place, &there)?;
    }
    Ok(true)
}

/// Whether there is a file of an installed program, which its user or root put there. One that is there no other user can
/// change or swap, or it is an error. Groups are left to who set them up, as on the way to the data folder.
pub fn check_installed(file: &Path) -> io::Result<bool> {
    let (place, there) = match resolve(file) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !there.is_file() {
        return Err(not_private(format!("{} is no plain file", shown(&place)), "remove it"));
    }
    if is_read_only(&place) {
        return Ok(true);
    }
    if !is_trusted(there.uid()) {
        return Err(not_private(
            format!("{} belongs to {}", shown(&place), user(there.uid())),
            "install the program again as this user or as root",
        ));
    }
    if there.mode() & OTHERS_WRITE != 0 {
        return Err(not_private(
            format!("every user may write {} (mode {:o})", shown(&place), there.mode() & 0o7777),
            format!("chmod o-w {}, if you know what is in it", quoted(&place)),
        ));
    }
    Ok(true)
}

/// Makes a folder that is not there, readable by its owner alone. One that is there, even since a moment ago, is
/// this user's alone or an error.
pub fn make_folder(folder: &Path) -> io::Result<Made> {
    // Before a person is asked to mend what cannot be mended there.
    if folder.is_dir() && is_read_only(folder) {
        return Err(io::ErrorKind::ReadOnlyFilesystem.into());
    }
    if check_folder(folder, Purpose::Write)? {
        return Ok(Made::WasThere);
    }
    DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(folder)?;
    match check_folder(folder, Purpose::Write)? {
        true => Ok(Made::New),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    New,
    WasThere,
}

/// Opens a file of such a folder: a plain one, of this user, and never through a link.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let (file, there) = open_plain(path, options)?;
    owned(path, &there)?;
    unwritable_by_others(path, &there)?;
    Ok(file)
}

/// Opens a file to show what is in it, as [`Purpose::Read`] has it.
pub fn open_to_read(path: &Path) -> io::Result<File> {
    let (file, there) = open_plain(path, OpenOptions::new().read(true))?;
    if !path.parent().is_some_and(is_read_only) {
        owned(path, &there)?;
        unwritable_by_others(path, &there)?;
    }
    Ok(file)
}

fn open_plain(path: &Path, options: &mut OpenOptions) -> io::Result<(File, Metadata)> {
    // A pipe that lies there must not keep its opener.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = options.custom_flags(flags.bits().cast_signed()).mode(PRIVATE_FILE).open(path);
    let file = opened.map_err(|error| no_link(path).err().unwrap_or(error))?;
    let there = file.metadata()?;
    if there.is_file() {
        return Ok((file, there));
    }
    Err(not_private(
        format!("{} is no plain file", shown(path)),
        "remove it, or use another folder with --data",
    ))
}

/// A new file under a name of our own, where an older one of that name is of no use any more.
pub fn create(path: &Path) -> io::Result<File> {
    no_link(path)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    open(path, OpenOptions::new().read(true).write(true).create_new(true))
}

/// An error where a link lies at `path`; a name that is free is fine.
pub fn no_link(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(there) if there.is_symlink() => {
            let to = std::fs::read_link(path).map(|to| format!(" to {}", shown(&to))).unwrap_or_default();
            Err(not_private(
                format!("{} is a link{to}, and links are not followed there", shown(path)),
                format!("put the file itself there, or remove the link: rm {}", quoted(path)),
            ))
        }
        _ => Ok(()),
    }
}

/// For the wing that listens there. An error where something other than a socket of this user lies at `path`; a name that is free is fine.
pub fn only_socket(path: &Path) -> io::Result<()> {
    no_link(path)?;
    match path.symlink_metadata() {
        Ok(there) if !there.file_type().is_socket() => Err(not_private(
            format!("{} is there already and is no socket", shown(path)),
            "move it elsewhere, or use another folder with --data",
        )),
        Ok(there) => owned(path, &there),
        Err(_) => Ok(()),
    }
}

/// Where the path leads, each step of it safe from others.
fn resolve(path: &Path) -> io::Result<(PathBuf, Metadata)> {
    let absolute = std::path::absolute(path)?;
    let mut to_go = components(&absolute);
    let (mut place, mut there) = (PathBuf::from("/"), Path::new("/").symlink_metadata()?);
    let mut links = 0;
    while let Some(name) = to_go.pop() {
        if name == ".." {
            place.pop();
            there = place.symlink_metadata()?;
            continue;
        }
        if !is_read_only(&place) {
            no_one_swaps(&place, &there)?;
        }
        let next = place.join(&name);
        let found = next.symlink_metadata()?;
        if !found.is_symlink() {
            (place, there) = (next, found);
            continue;
        }
        links += 1;
        if links > limits::MAX_LINKS_TO_DATA {
            return Err(io::Error::other(format!("{} leads over too many links", shown(path))));
        }
        if !is_trusted(found.uid()) {
            return Err(not_private(
                format!("{} is a link of {}, who can turn it elsewhere", shown(&next), user(found.uid())),
                "name the folder itself with --data",
            ));
        }
        let target = std::fs::read_link(&next)?;
        if target.is_absolute() {
            place = PathBuf::from("/");
            there = place.symlink_metadata()?;
        }
        to_go.extend(components(&target));
    }
    Ok((place, there))
}

/// Last one first.
fn components(path: &Path) -> Vec<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().rev().filter_map(name).collect()
}

/// A folder on the way: who can write it can rename what is in it, unless its sticky bit is set. Groups are left to
/// who set them up: the folders of many machines are writable by a user's own group.
fn no_one_swaps(place: &Path, there: &Metadata) -> io::Result<()> {
    if !is_trusted(there.uid()) {
        return Err(not_private(
            format!(
                "{} belongs to {}, who can put something else in the place of what is in it (this is {})",
                shown(place),
                user(there.uid()),
                user(me())
            ),
            "use a folder elsewhere with --data",
        ));
    }
    if there.mode() & OTHERS_WRITE != 0 && there.mode() & STICKY == 0 {
        return Err(not_private(
            format!(
                "every user may write {} (mode {:o}), and so put something else in the place of what is in it",
                shown(place),
                there.mode() & 0o7777
            ),
            format!("chmod o-w {}, or use a folder elsewhere with --data", quoted(place)),
        ));
    }
    Ok(())
}

fn owned(place: &Path, there: &Metadata) -> io::Result<()> {
    // What root left in a user's folder, the user cannot write, and no other user either.
    if there.uid() == me() || (there.uid() == ROOT && there.is_file()) {
        return Ok(());
    }
    let (owner, path) = (there.uid(), quoted(place));
    Err(not_private(
        format!(
            "{} belongs to {} (mode {:o}), and this is {}",
            shown(place),
            user(owner),
            there.mode() & 0o7777,
            user(me())
        ),
        format!(
            "run this as {}, or use another folder with --data; if you know and want what is in it: chown -R {} {path}",
            user(owner),
            me()
        ),
    ))
}

fn unwritable_by_others(place: &Path, there: &Metadata) -> io::Result<()> {
    if there.mode() & GROUP_OR_OTHERS_WRITE == 0 {
        return Ok(());
    }
    Err(not_private(
        format!(
            "{} of {} may be written by others (mode {:o})",
            shown(place),
            user(there.uid()),
            there.mode() & 0o7777
        ),
        format!("chmod go-w {}, if you know what is in it", quoted(place)),
    ))
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn is_trusted(owner: u32) -> bool {
    owner == me() || owner == ROOT || is_unmapped(owner)
}

/// In a user namespace, files of the machine's root show as those of the overflow user.
fn is_unmapped(owner: u32) -> bool {
    let number = |path: &str| std::fs::read_to_string(path).ok();
    let overflow = number("/proc/sys/kernel/overflowuid").and_then(|text| text.trim().parse().ok());
    let maps_all = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
    overflow == Some(owner) && number("/proc/self/uid_map").is_some_and(|map| !maps_all(map))
}

fn is_read_only(place: &Path) -> bool {
    rustix::fs::statvfs(place).is_ok_and(|disk| disk.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn not_private(what: String, next: impl Into<String>) -> io::Error {
    io::Error::other(NotPrivate { what, next: next.into() })
}

impl NotPrivate {
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

fn user(uid: u32) -> String {
    if uid == ROOT { "root".to_owned() } else { format!("user {uid}") }
}

fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

/// For a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests;
