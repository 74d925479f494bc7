//! One call is done. Every path is resolved by the kernel within the folder: no `..`, no absolute link and no link of /proc
//! leads out of it, and no other file system that is mounted in it is entered.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, StatxFlags, Timespec, Timestamps, UTIME_OMIT, fstat, fsync,
    ftruncate, futimens, linkat, mkdirat, openat2, readlinkat, renameat, statx, unlinkat, utimensat,
};
use rustix::io::{Errno, pread, pwrite, retry_on_intr};

use super::call::{Answer, Call, Entry, FileError, FileKind, How, Identity, Named, Root, Stat, Time};
use super::first::First;
use super::may_hold::MayHold;
use super::root::open_root;
use crate::limits;

type Done<T> = Result<T, FileError>;

/// What is done in a folder.
pub struct Folder {
    root: OwnedFd,
    may_write: bool,
    first: First,
}

impl Folder {
    /// Or why it may not be held, or cannot.
    pub fn open(root: &Root, may: &MayHold) -> Result<Self, String> {
        let opened = open_root(root, may)?;
        Ok(Self { root: opened, may_write: root.may_write, first: First::Stands })
    }

    /// Without the first wall, if a test says so.
    pub(super) fn with(self, first: First) -> Self {
        Self { first, ..self }
    }

    /// The folder itself, as it was opened, and whether anything in it may be changed: what the second wall is put around.
    pub fn root(&self) -> (BorrowedFd<'_>, bool) {
        (self.root.as_fd(), self.may_write)
    }

    pub fn act(&self, call: Call) -> Done<Answer> {
        if call.changes() && !self.may_write && self.first == First::Stands {
            return Err(FileError::ReadOnly);
        }
        match call {
            Call::Look { at, follow } => self.look(&at, follow),
            Call::Open { path, how } => self.open_as(&path, how).map(Answer::Seen),
            Call::Read { file, offset, length } => self.read(&file, offset, length).map(Answer::Bytes),
            Call::Write { file, offset, bytes } => {
                write_at(&self.file(&file, OFlags::WRONLY)?, offset, &bytes)?;
                Ok(Answer::Done)
            }
            Call::Append { file, bytes } => self.append(&file, &bytes),
            Call::SetSize { size, .. } if size > limits::MAX_FILE_BYTES => Err(FileError::FileTooLarge),
            Call::SetSize { file, size } => {
                ftruncate(self.file(&file, OFlags::WRONLY)?, size)?;
                Ok(Answer::Done)
            }
            Call::SetTimes { at, follow, accessed, modified } => {
                self.set_times(&at, follow, accessed, modified)
            }
            Call::Sync { file } => self.sync(&file),
            Call::List { folder } => self.list(&folder).map(Answer::Entries),
            Call::ReadLink { path } => self.read_link(&path).map(Answer::Text),
            call => self.change_names(&call).map(|()| Answer::Done),
        }
    }

    fn change_names(&self, call: &Call) -> Done<()> {
        match call {
            Call::MakeFolder { path } => {
                let (folder, name) = self.parent(path)?;
                mkdirat(folder, name, Mode::from_raw_mode(0o777))?;
            }
            Call::RemoveFolder { path } => {
                let (folder, name) = self.parent(path)?;
                unlinkat(folder, name, AtFlags::REMOVEDIR)?;
            }
            Call::RemoveFile { path } => {
                let (folder, name) = self.parent_of_file(path)?;
                unlinkat(folder, name, AtFlags::empty())?;
            }
            Call::Rename { from, to } => {
                let ((from_folder, from), (to_folder, to)) = (self.parent(from)?, self.parent(to)?);
                renameat(from_folder, from, to_folder, to)?;
            }
            Call::Link { from, to } => {
                let ((from_folder, from), (to_folder, to)) =
                    (self.parent_of_file(from)?, self.parent_of_file(to)?);
                linkat(from_folder, from, to_folder, to, AtFlags::empty())?;
            }
            _ => return Err(FileError::Unsupported),
        }
        Ok(())
    }

    /// Within the folder, or not at all.
    fn resolve(&self, path: &str, flags: OFlags, mode: Mode) -> Done<OwnedFd> {
        if path.len() > limits::MAX_FILE_PATH_BYTES {
            return Err(FileError::NameTooLong);
        }
        let path = if path.is_empty() { "." } else { path };
        let within = self.first.flags();
        let mut flags = flags | OFlags::CLOEXEC;
        // The kernel takes no other flag with it.
        flags.set(OFlags::NOCTTY, !flags.contains(OFlags::PATH));
        let mut tries = 0;
        loop {
            tries += 1;
            match openat2(&self.root, path, flags, mode, within) {
                // Something on the path was moved meanwhile.
                Err(Errno::AGAIN | Errno::INTR) if tries < limits::MAX_RESOLVE_TRIES => {}
                resolved => return Ok(resolved?),
            }
        }
    }

    /// What is there, without its contents.
    fn place(&self, at: &Named, follow: bool) -> Done<(OwnedFd, Stat)> {
        let mut flags = OFlags::PATH;
        flags.set(OFlags::NOFOLLOW, !follow);
        let place = match self.resolve(&at.path, flags, Mode::empty()) {
            Err(FileError::NoEntry) if at.identity.is_some() => return Err(FileError::Replaced),
            place => place?,
        };
        let stat = stat(&place)?;
        check(at, &stat)?;
        Ok((place, stat))
    }

    fn look(&self, at: &Named, follow: bool) -> Done<Answer> {
        let (place, stat) = self.place(at, follow)?;
        Ok(match born(&place) {
            Some(since) => Answer::SeenSince(stat, since),
            None => Answer::Seen(stat),
        })
    }

    /// A regular file, open, and never one that waits for another program, as a fifo does.
    fn file(&self, file: &Named, access: OFlags) -> Done<OwnedFd> {
        let (_, there) = self.place(file, true)?;
        if there.kind != FileKind::File {
            return Err(not_a_file(there.kind));
        }
        let opened = self.resolve(&file.path, access | OFlags::NONBLOCK, Mode::empty())?;
        let is = stat(&opened)?;
        check(file, &is)?;
        // It may have been another a moment ago.
        if is.kind == FileKind::File { Ok(opened) } else { Err(not_a_file(is.kind)) }
    }

    fn open_as(&self, path: &str, how: How) -> Done<Stat> {
        let at = Named { path: path.to_owned(), identity: None };
        match self.place(&at, how.follow) {
            Ok(_) if how.create && how.exclusive => Err(FileError::Exist),
            Ok((_, there)) => self.open_there(at, there, how),
            Err(FileError::NoEntry) if how.create && !how.folder => self.create(path, how),
            Err(error) => Err(error),
        }
    }

    fn open_there(&self, at: Named, there: Stat, how: How) -> Done<Stat> {
        match there.kind {
            FileKind::Folder if how.write || how.truncate || how.create => {
                return Err(FileError::IsDirectory);
            }
            FileKind::Folder => {
                // Opened in earnest, so that Landlock judges it too.
                return stat(self.resolve(&at.path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?);
            }
            FileKind::File if how.folder => return Err(FileError::NotDirectory),
            FileKind::Link => return Err(FileError::Loop),
            FileKind::Other => return Err(FileError::NotPermitted),
            FileKind::File => {}
        }
        let access = if how.write || how.truncate { OFlags::WRONLY } else { OFlags::RDONLY };
        let opened = self.file(&Named { identity: Some(there.identity), ..at }, access)?;
        if how.truncate {
            ftruncate(&opened, 0)?;
        }
        stat(&opened)
    }

    fn create(&self, path: &str, how: How) -> Done<Stat> {
        let mut flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        flags.set(OFlags::EXCL, how.exclusive);
        let created = stat(self.resolve(path, flags, Mode::from_raw_mode(0o666))?)?;
        if created.kind == FileKind::File { Ok(created) } else { Err(not_a_file(created.kind)) }
    }

    fn read(&self, file: &Named, offset: u64, length: u32) -> Done<Vec<u8>> {
        let file = self.file(file, OFlags::RDONLY)?;
        let mut bytes = vec![0; (length as usize).min(limits::MAX_FILE_CALL_BYTES)];
        let mut read = 0;
        while read < bytes.len() {
            let at = offset.checked_add(read as u64).ok_or(FileError::Invalid)?;
            match retry_on_intr(|| pread(&file, &mut bytes[read..], at))? {
                0 => break,
                more => read += more,
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }

    fn append(&self, file: &Named, mut bytes: &[u8]) -> Done<Answer> {
        let file = self.file(file, OFlags::WRONLY | OFlags::APPEND)?;
        check_size(stat(&file)?.size, bytes)?;
        while !bytes.is_empty() {
            let written = retry_on_intr(|| rustix::io::write(&file, bytes))?;
            bytes = &bytes[written..];
        }
        Ok(Answer::Done)
    }

    fn set_times(
        &self,
        at: &Named,
        follow: bool,
        accessed: Option<Time>,
        modified: Option<Time>,
    ) -> Done<Answer> {
        let times = Timestamps { last_access: timespec(accessed)?, last_modification: timespec(modified)? };
        let (_, there) = self.place(at, follow)?;
        match there.kind {
            FileKind::File => futimens(self.file(at, OFlags::WRONLY)?, &times)?,
            FileKind::Folder => {
                let folder = self.resolve(&at.path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
                futimens(folder, &times)?;
            }
            FileKind::Link => {
                let (folder, name) = self.parent(&at.path)?;
                utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            FileKind::Other => return Err(FileError::NotPermitted),
        }
        Ok(Answer::Done)
    }

    fn sync(&self, at: &Named) -> Done<Answer> {
        let (_, there) = self.place(at, true)?;
        match there.kind {
            FileKind::Folder => {
                fsync(self.resolve(&at.path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?)?
            }
            _ => fsync(self.file(at, OFlags::RDONLY)?)?,
        }
        Ok(Answer::Done)
    }

    fn list(&self, folder: &Named) -> Done<Vec<Entry>> {
        self.place(folder, true)?;
        let opened = self.resolve(&folder.path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        check(folder, &stat(&opened)?)?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&opened)? {
            let entry = entry?;
            // A name that is no text cannot be named by a guest either.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            if entries.len() >= limits::MAX_LISTED_ENTRIES {
                return Err(FileError::Overflow);
            }
            let kind = match entry.file_type() {
                FileType::Unknown => kind_in(opened.as_fd(), name)?,
                known => kind(known),
            };
            entries.push(Entry { name: name.to_owned(), kind });
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    fn read_link(&self, path: &str) -> Done<String> {
        let (folder, name) = self.parent(path)?;
        let target = readlinkat(folder, name, Vec::new())?;
        let target = target.into_string().map_err(|_| FileError::IllegalByteSequence)?;
        // A guest does not learn where its folder is.
        if target.starts_with('/') { Err(FileError::NotPermitted) } else { Ok(target) }
    }

    /// The folder that has the last name of a path, and that name.
    fn parent<'a>(&self, path: &'a str) -> Done<(OwnedFd, &'a str)> {
        let trimmed = path.trim_end_matches('/');
        let (folder, name) = trimmed.rsplit_once('/').unwrap_or((".", trimmed));
        if path.starts_with('/') && self.first == First::Stands {
            return Err(FileError::NotPermitted);
        }
        match name {
            "" => return Err(if path.is_empty() { FileError::NoEntry } else { FileError::Invalid }),
            "." | ".." => return Err(FileError::Invalid),
            _ => {}
        }
        // To be read, so that what Landlock keeps out is out here too: it does not judge the names in a folder.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        Ok((self.resolve(folder, flags, Mode::empty())?, name))
    }

    fn parent_of_file<'a>(&self, path: &'a str) -> Done<(OwnedFd, &'a str)> {
        if path.ends_with('/') { Err(FileError::NotDirectory) } else { self.parent(path) }
    }
}

fn check(at: &Named, stat: &Stat) -> Done<()> {
    match at.identity {
        Some(identity) if identity != stat.identity => Err(FileError::Replaced),
        _ => Ok(()),
    }
}

fn not_a_file(kind: FileKind) -> FileError {
    match kind {
        FileKind::Folder => FileError::IsDirectory,
        FileKind::Link => FileError::Loop,
        FileKind::File | FileKind::Other => FileError::NotPermitted,
    }
}

/// Of what it would be afterwards: a hole takes no room, and can be of any size.
fn check_size(offset: u64, bytes: &[u8]) -> Done<()> {
    match offset.checked_add(bytes.len() as u64) {
        Some(..=limits::MAX_FILE_BYTES) => Ok(()),
        _ => Err(FileError::FileTooLarge),
    }
}

fn write_at(file: &OwnedFd, offset: u64, bytes: &[u8]) -> Done<()> {
    check_size(offset, bytes)?;
    let mut written = 0;
    while written < bytes.len() {
        let at = offset.checked_add(written as u64).ok_or(FileError::FileTooLarge)?;
        written += retry_on_intr(|| pwrite(file, &bytes[written..], at))?;
    }
    Ok(())
}

fn stat(file: impl AsFd) -> Done<Stat> {
    let stat = fstat(file)?;
    let time = |seconds, nanos: u64| at_time(seconds, u32::try_from(nanos).unwrap_or(0));
    Ok(Stat {
        identity: Identity { device: stat.st_dev, inode: stat.st_ino },
        kind: kind(FileType::from_raw_mode(stat.st_mode)),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        links: wide(stat.st_nlink),
        accessed: time(stat.st_atime, stat.st_atime_nsec),
        modified: time(stat.st_mtime, stat.st_mtime_nsec),
        changed: time(stat.st_ctime, stat.st_ctime_nsec),
    })
}

/// When it was made: a file under an inode that was free again has the inode of the one before, and not this.
fn born(file: &OwnedFd) -> Option<Time> {
    let found = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok()?;
    let is_known = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
    is_known.then(|| at_time(found.stx_btime.tv_sec, found.stx_btime.tv_nsec))
}

fn at_time(seconds: i64, nanos: u32) -> Time {
    (u64::try_from(seconds).unwrap_or(0), nanos)
}

/// A number whose width differs from one kind of processor to the next.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

fn kind(of: FileType) -> FileKind {
    match of {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Folder,
        FileType::Symlink => FileKind::Link,
        _ => FileKind::Other,
    }
}

/// Of a file system that does not say it with the name.
fn kind_in(folder: BorrowedFd<'_>, name: &str) -> Done<FileKind> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(kind(FileType::from_raw_mode(stat.st_mode)))
}

fn timespec(time: Option<Time>) -> Done<Timespec> {
    let Some((seconds, nanos)) = time else { return Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }) };
    const SECOND: u32 = 1_000_000_000;
    let tv_sec = i64::try_from(seconds).map_err(|_| FileError::Invalid)?;
    if nanos >= SECOND { Err(FileError::Invalid) } else { Ok(Timespec { tv_sec, tv_nsec: nanos.into() }) }
}
