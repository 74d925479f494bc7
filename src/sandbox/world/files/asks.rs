//! What the calls of wasi:filesystem have in common.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi_io::streams::DynOutputStream;

use super::bindings::types::NewTimestamp;
use super::calls::Files;
use super::descriptor::Descriptor;
use super::fault::Done;
use super::view::FilesView;
use super::writer::Writer;
use crate::files::{Answer, Call, FileError, Named, Stat, Time};

type Fd = Resource<Descriptor>;

impl FilesView<'_> {
    pub(super) fn descriptor(&self, fd: &Fd) -> Done<&Descriptor> {
        Ok(self.table.get(fd)?)
    }

    pub(super) fn check_written(&self, folder: u32) -> Done<()> {
        if self.files.may_write(folder) { Ok(()) } else { Err(FileError::ReadOnly.into()) }
    }

    pub(super) async fn seen(&mut self, folder: u32, call: Call) -> Done<Answer> {
        self.files.write_pending().await?;
        Ok(self.files.seen(folder, call).await??)
    }

    pub(super) async fn stat_of(&mut self, folder: u32, at: Named, follow: bool) -> Done<Stat> {
        let seen = self.seen(folder, Call::Look { at, follow }).await?;
        Ok(seen.stat().ok_or(FileError::Io)?)
    }

    /// Where `path` of this descriptor is.
    pub(super) fn within(&self, fd: &Fd, path: &str) -> Done<(u32, String)> {
        let descriptor = self.descriptor(fd)?;
        Ok((descriptor.place.folder, descriptor.within(path)?))
    }

    pub(super) async fn once_at(
        &mut self,
        fd: &Fd,
        path: &str,
        call: impl FnOnce(String) -> Call,
    ) -> Done<()> {
        let (folder, path) = self.within(fd, path)?;
        self.check_written(folder)?;
        self.once(folder, call(path)).await
    }

    pub(super) async fn once(&mut self, folder: u32, call: Call) -> Done<()> {
        self.files.write_pending().await?;
        self.files.once(folder, call).await??;
        Ok(())
    }

    /// Both paths of a call that moves or links, which are in one folder.
    pub(super) fn two(&self, from: (&Fd, &str), to: (&Fd, &str)) -> Done<(u32, String, String)> {
        let ((folder, from), (other, to)) = (self.within(from.0, from.1)?, self.within(to.0, to.1)?);
        if folder != other {
            return Err(FileError::CrossDevice.into());
        }
        self.check_written(folder)?;
        Ok((folder, from, to))
    }

    pub(super) fn time(&self, time: NewTimestamp) -> Done<Option<Time>> {
        Ok(match time {
            NewTimestamp::NoChange => None,
            // The guest's own clock, so that replay means the same.
            NewTimestamp::Now => {
                const SECOND: u64 = 1_000_000_000;
                let now = self.journal.wall()?;
                Some((now / SECOND, u32::try_from(now % SECOND).unwrap_or(0)))
            }
            NewTimestamp::Timestamp(Datetime { seconds, nanoseconds }) => Some((seconds, nanoseconds)),
        })
    }

    pub(super) async fn synced(&mut self, fd: &Fd) -> Done<()> {
        let descriptor = self.descriptor(fd)?;
        let (folder, file) = (descriptor.place.folder, descriptor.place.named());
        self.seen(folder, Call::Sync { file }).await?;
        Ok(())
    }

    pub(super) fn writer(&mut self, fd: &Fd, offset: Option<u64>) -> Done<Resource<DynOutputStream>> {
        let descriptor = self.descriptor(fd)?;
        let place = descriptor.file()?.clone();
        if !descriptor.write {
            return Err(FileError::BadDescriptor.into());
        }
        let stream: DynOutputStream = Box::new(Writer::new(Files::clone(self.files), place, offset));
        Ok(self.table.push(stream)?)
    }
}
