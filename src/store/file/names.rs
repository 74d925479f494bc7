//! What is done to names in folders to make a store: each of it can fail, and a test can make it fail.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::private::{self, Made};

/// The machine's folders; for a test, those of a disk that fails.
#[derive(Clone, Default)]
pub(super) struct Names {
    #[cfg(test)]
    pub(super) disk: super::tests::disk::Disk,
}

impl Names {
    pub fn make_folder(&self, folder: &Path) -> io::Result<Made> {
        self.pass()?;
        private::make_folder(folder)
    }

    pub fn open(&self, path: &Path) -> io::Result<File> {
        self.pass()?;
        private::open(path, OpenOptions::new().read(true).write(true))
    }

    /// Makes a file under a name of our own, where an older one is of no use any more.
    pub fn create(&self, path: &Path) -> io::Result<File> {
        self.pass()?;
        private::create(path)
    }

    /// Makes a file where there is none.
    pub fn create_new(&self, path: &Path) -> io::Result<File> {
        self.pass()?;
        private::open(path, OpenOptions::new().read(true).write(true).create_new(true))
    }

    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass()?;
        fs::rename(from, to)
    }

    /// Gives a file a second name, unless something has that.
    pub fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass()?;
        fs::hard_link(from, to)
    }

    pub fn sync_file(&self, file: &File) -> io::Result<()> {
        self.pass()?;
        file.sync_all()
    }

    /// A new name in a folder survives a power cut only once the folder is synced.
    pub fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.pass()?;
        File::open(folder)?.sync_all()
    }

    /// The same of the folder's own name, and of those above it on its disk. A process before may have made them and
    /// have died; one that another user made may be in a folder that this user may not read.
    pub fn sync_above(&self, folder: &Path) -> io::Result<()> {
        let folder = folder.canonicalize()?;
        let disk = folder.metadata()?.dev();
        for above in folder.ancestors().skip(1) {
            if above.metadata()?.dev() != disk {
                break;
            }
            match self.sync_folder(above) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                synced => synced?,
            }
        }
        Ok(())
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "a test's disk fails here")]
    fn pass(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn pass(&self) -> io::Result<()> {
        self.disk.pass()
    }
}
