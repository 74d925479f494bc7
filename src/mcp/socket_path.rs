//! The name of the socket in a data folder, and how a client connects to it.

use std::io;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

/// Connects to the server that listens there.
pub async fn connect_socket(path: &Path) -> io::Result<UnixStream> {
    let short = ShortPath::of(path)?;
    UnixStream::connect(&short.path).await
}

/// A name by which the kernel takes a socket, which is about a hundred bytes long at most.
pub struct ShortPath {
    pub path: PathBuf,
    /// The folder, where the name goes by way of it.
    _folder: Option<std::fs::File>,
}

impl ShortPath {
    /// All of macOS's, and nearly all of Linux's.
    const MAX_BYTES: usize = 103;

    pub fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= Self::MAX_BYTES {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        if cfg!(target_os = "linux")
            && let (Some(folder), Some(name)) = (path.parent(), path.file_name())
        {
            use std::os::fd::AsRawFd;
            let folder = std::fs::File::open(folder)?;
            let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
            return Ok(Self { path, _folder: Some(folder) });
        }
        let too_long = path.as_os_str().len() - Self::MAX_BYTES;
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "the path is {too_long} bytes too long for a socket: choose a data folder with a shorter one"
            ),
        ))
    }
}
