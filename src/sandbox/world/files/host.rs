//! wasi:filesystem itself: what a guest calls.

use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream, Error};

use super::bindings::preopens;
use super::bindings::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, Filesize,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use super::calls::Files;
use super::descriptor::{Descriptor, Listing};
use super::fault::{Done, Fault};
use super::names::{code, identity_hash, kind, shown};
use super::reader::Reader;
use super::view::FilesView;
use crate::authority::Access;
use crate::files::{Answer, Call, FileError, FileKind, How, Named};
use crate::limits;

type Fd = Resource<Descriptor>;

impl preopens::Host for FilesView<'_> {
    fn get_directories(&mut self) -> Result<Vec<(Fd, String)>> {
        if let Ok(task) = self.journal.task("files") {
            task.looks_for_folders();
        }
        let mut folders = Vec::new();
        for (number, grant) in (0..).zip(&self.files.0.granted) {
            let place = self.files.place(number, String::new(), None);
            let write = grant.access == Access::Write;
            let folder = Descriptor { place, kind: FileKind::Folder, read: true, write };
            folders.push((self.table.push(folder)?, grant.at.clone()));
        }
        Ok(folders)
    }
}

impl types::Host for FilesView<'_> {
    fn convert_error_code(&mut self, fault: Fault) -> Result<ErrorCode> {
        match fault {
            Fault::Code(error) => Ok(code(error)),
            Fault::Ends(error) => Err(error),
        }
    }

    fn filesystem_error_code(&mut self, error: Resource<Error>) -> Result<Option<ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref::<FileError>().map(|error| code(*error)))
    }
}

impl types::HostDescriptor for FilesView<'_> {
    fn read_via_stream(&mut self, fd: Fd, offset: Filesize) -> Done<Resource<DynInputStream>> {
        let descriptor = self.descriptor(&fd)?;
        let place = descriptor.file()?.clone();
        if !descriptor.read {
            return Err(FileError::BadDescriptor.into());
        }
        let stream: DynInputStream = Box::new(Reader::new(Files::clone(self.files), place, offset));
        Ok(self.table.push(stream)?)
    }

    fn write_via_stream(&mut self, fd: Fd, offset: Filesize) -> Done<Resource<DynOutputStream>> {
        self.writer(&fd, Some(offset))
    }

    fn append_via_stream(&mut self, fd: Fd) -> Done<Resource<DynOutputStream>> {
        self.writer(&fd, None)
    }

    fn advise(&mut self, fd: Fd, _: Filesize, _: Filesize, _: Advice) -> Done<()> {
        self.descriptor(&fd)?.file()?;
        Ok(())
    }

    async fn sync_data(&mut self, fd: Fd) -> Done<()> {
        self.synced(&fd).await
    }

    fn get_flags(&mut self, fd: Fd) -> Done<DescriptorFlags> {
        let descriptor = self.descriptor(&fd)?;
        let is_folder = descriptor.kind == FileKind::Folder;
        let has = |is: bool, flag| if is { flag } else { DescriptorFlags::empty() };
        let flags = has(descriptor.read, DescriptorFlags::READ)
            | has(descriptor.write && !is_folder, DescriptorFlags::WRITE)
            | has(descriptor.write && is_folder, DescriptorFlags::MUTATE_DIRECTORY);
        Ok(flags)
    }

    fn get_type(&mut self, fd: Fd) -> Done<DescriptorType> {
        Ok(kind(self.descriptor(&fd)?.kind))
    }

    async fn set_size(&mut self, fd: Fd, size: Filesize) -> Done<()> {
        let descriptor = self.descriptor(&fd)?;
        let place = descriptor.file()?.clone();
        self.check_written(place.folder)?;
        if !self.descriptor(&fd)?.write {
            return Err(FileError::BadDescriptor.into());
        }
        self.seen(place.folder, Call::SetSize { file: place.named(), size }).await?;
        Ok(())
    }

    async fn set_times(&mut self, fd: Fd, accessed: NewTimestamp, modified: NewTimestamp) -> Done<()> {
        let place = self.descriptor(&fd)?.place.clone();
        self.check_written(place.folder)?;
        let (accessed, modified) = (self.time(accessed)?, self.time(modified)?);
        let call = Call::SetTimes { at: place.named(), follow: true, accessed, modified };
        self.seen(place.folder, call).await?;
        Ok(())
    }

    async fn read(&mut self, fd: Fd, length: Filesize, offset: Filesize) -> Done<(Vec<u8>, bool)> {
        let descriptor = self.descriptor(&fd)?;
        let place = descriptor.file()?.clone();
        if !self.descriptor(&fd)?.read {
            return Err(FileError::BadDescriptor.into());
        }
        let most = limits::MAX_FILE_CALL_BYTES as u64;
        let wanted = length.min(most);
        let length = u32::try_from(wanted).unwrap_or(u32::MAX);
        let call = Call::Read { file: place.named(), offset, length };
        match self.seen(place.folder, call).await? {
            Answer::Bytes(bytes) => {
                let read = bytes.len();
                // One as long as any may be says nothing of the end.
                let is_end = (read as u64) < wanted && read != self.files.most_read(place.folder);
                Ok((bytes, is_end))
            }
            _ => Err(FileError::Io.into()),
        }
    }

    async fn write(&mut self, fd: Fd, mut bytes: Vec<u8>, offset: Filesize) -> Done<Filesize> {
        let descriptor = self.descriptor(&fd)?;
        let place = descriptor.file()?.clone();
        self.check_written(place.folder)?;
        if !self.descriptor(&fd)?.write {
            return Err(FileError::BadDescriptor.into());
        }
        bytes.truncate(limits::MAX_FILE_CALL_BYTES);
        let written = bytes.len() as u64;
        self.seen(place.folder, Call::Write { file: place.named(), offset, bytes }).await?;
        Ok(written)
    }

    async fn read_directory(&mut self, fd: Fd) -> Done<Resource<Listing>> {
        let place = self.descriptor(&fd)?.folder()?.clone();
        match self.seen(place.folder, Call::List { folder: place.named() }).await? {
            Answer::Entries(entries) => {
                let listing = Listing::open(&self.files.0.lists, entries)?;
                Ok(self.table.push(listing)?)
            }
            _ => Err(FileError::Io.into()),
        }
    }

    async fn sync(&mut self, fd: Fd) -> Done<()> {
        self.synced(&fd).await
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> Done<()> {
        self.once_at(&fd, &path, |path| Call::MakeFolder { path }).await
    }

    async fn stat(&mut self, fd: Fd) -> Done<DescriptorStat> {
        let place = self.descriptor(&fd)?.place.clone();
        Ok(shown(self.stat_of(place.folder, place.named(), true).await?))
    }

    async fn stat_at(&mut self, fd: Fd, flags: PathFlags, path: String) -> Done<DescriptorStat> {
        let (folder, path) = self.within(&fd, &path)?;
        let follow = flags.contains(PathFlags::SYMLINK_FOLLOW);
        Ok(shown(self.stat_of(folder, Named { path, identity: None }, follow).await?))
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> Done<()> {
        let (folder, path) = self.within(&fd, &path)?;
        self.check_written(folder)?;
        let (accessed, modified) = (self.time(accessed)?, self.time(modified)?);
        let follow = flags.contains(PathFlags::SYMLINK_FOLLOW);
        let at = Named { path, identity: None };
        self.seen(folder, Call::SetTimes { at, follow, accessed, modified }).await?;
        Ok(())
    }

    async fn link_at(&mut self, fd: Fd, flags: PathFlags, old: String, to: Fd, new: String) -> Done<()> {
        if flags.contains(PathFlags::SYMLINK_FOLLOW) {
            return Err(FileError::Invalid.into());
        }
        let (folder, from, to) = self.two((&fd, &old), (&to, &new))?;
        self.once(folder, Call::Link { from, to }).await
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> Done<Fd> {
        let (folder, path) = self.within(&fd, &path)?;
        let has = |flag| open_flags.contains(flag);
        let how = How {
            write: flags.contains(DescriptorFlags::WRITE),
            create: has(OpenFlags::CREATE),
            exclusive: has(OpenFlags::EXCLUSIVE),
            truncate: has(OpenFlags::TRUNCATE),
            folder: has(OpenFlags::DIRECTORY),
            follow: path_flags.contains(PathFlags::SYMLINK_FOLLOW),
        };
        let call = Call::Open { path: path.clone(), how };
        if call.changes() {
            self.check_written(folder)?;
        }
        self.files.write_pending().await?;
        let opened = match how.create && how.exclusive {
            true => self.files.once(folder, call).await??,
            false => self.files.seen(folder, call).await??,
        };
        // One that a person says was created, is looked at.
        let stat = match opened.stat() {
            Some(stat) => stat,
            None => self.stat_of(folder, Named { path: path.clone(), identity: None }, how.follow).await?,
        };
        let place = self.files.place(folder, path, Some(stat.identity));
        let is_folder = stat.kind == FileKind::Folder;
        let read = flags.contains(DescriptorFlags::READ) || is_folder;
        let write = if is_folder { self.check_written(folder).is_ok() } else { how.write };
        Ok(self.table.push(Descriptor { place, kind: stat.kind, read, write })?)
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> Done<String> {
        let (folder, path) = self.within(&fd, &path)?;
        match self.seen(folder, Call::ReadLink { path }).await? {
            Answer::Text(target) => Ok(target),
            _ => Err(FileError::Io.into()),
        }
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> Done<()> {
        self.once_at(&fd, &path, |path| Call::RemoveFolder { path }).await
    }

    async fn rename_at(&mut self, fd: Fd, old: String, to: Fd, new: String) -> Done<()> {
        let (folder, from, to) = self.two((&fd, &old), (&to, &new))?;
        self.once(folder, Call::Rename { from: from.clone(), to: to.clone() }).await?;
        self.files.0.places.lock().renamed(folder, &from, &to);
        Ok(())
    }

    /// Not offered: other programs would follow it to where it leads.
    async fn symlink_at(&mut self, fd: Fd, _: String, new: String) -> Done<()> {
        let (folder, _) = self.within(&fd, &new)?;
        self.check_written(folder)?;
        Err(FileError::NotPermitted.into())
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> Done<()> {
        self.once_at(&fd, &path, |path| Call::RemoveFile { path }).await
    }

    fn is_same_object(&mut self, one: Fd, other: Fd) -> Result<bool> {
        let (one, other) = (&self.table.get(&one)?.place, &self.table.get(&other)?.place);
        let (a, b) = (one.named(), other.named());
        Ok(one.folder == other.folder && if a.identity.is_some() { a.identity == b.identity } else { a == b })
    }

    async fn metadata_hash(&mut self, fd: Fd) -> Done<MetadataHashValue> {
        let place = self.descriptor(&fd)?.place.clone();
        Ok(identity_hash(&self.stat_of(place.folder, place.named(), true).await?))
    }

    async fn metadata_hash_at(&mut self, fd: Fd, flags: PathFlags, path: String) -> Done<MetadataHashValue> {
        let (folder, path) = self.within(&fd, &path)?;
        let follow = flags.contains(PathFlags::SYMLINK_FOLLOW);
        Ok(identity_hash(&self.stat_of(folder, Named { path, identity: None }, follow).await?))
    }

    fn drop(&mut self, fd: Fd) -> Result<()> {
        self.table.delete(fd)?;
        Ok(())
    }
}

impl types::HostDirectoryEntryStream for FilesView<'_> {
    fn read_directory_entry(&mut self, listing: Resource<Listing>) -> Done<Option<DirectoryEntry>> {
        let next = self.table.get_mut(&listing)?.next_entry();
        Ok(next.map(|entry| DirectoryEntry { type_: kind(entry.kind), name: entry.name }))
    }

    fn drop(&mut self, listing: Resource<Listing>) -> Result<()> {
        self.table.delete(listing)?;
        Ok(())
    }
}
