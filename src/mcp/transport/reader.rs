//! Whether anybody is left at the far end of what is written to.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::limits;

/// The reader of a pipe or a socket. A write to one that is gone fails; where nothing is written, this tells.
pub struct Reader(Option<OwnedFd>);

impl Reader {
    /// The one at the far end of this.
    pub fn of(output: impl AsFd) -> Self {
        // Without it the next write tells.
        Self(output.as_fd().try_clone_to_owned().ok())
    }

    fn is_gone(&self) -> bool {
        let Some(output) = &self.0 else { return false };
        let mut asked = [PollFd::new(output, PollFlags::empty())];
        let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        poll(&mut asked, Some(&Timespec::default())).is_ok_and(|_| asked[0].revents().intersects(gone))
    }

    /// Ends when it is gone.
    pub async fn gone(&self) {
        while !self.is_gone() {
            tokio::time::sleep(Duration::from_millis(limits::READER_LOOK_MS)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Of a pipe and of a socket, and not of one that only says nothing more.
    #[tokio::test]
    async fn a_reader_that_is_gone_is_seen_without_a_write() {
        let (theirs, pipe) = std::io::pipe().expect("a pipe");
        let (socket, other) = UnixStream::pair().expect("a pair of sockets");
        let (pipe, socket) = (Reader::of(&pipe), Reader::of(&socket));
        other.shutdown(std::net::Shutdown::Write).expect("half of it");
        (&other).write_all(b"no more").expect_err("it says nothing more");
        assert!(!pipe.is_gone() && !socket.is_gone());
        drop((theirs, other));
        pipe.gone().await;
        socket.gone().await;
    }
}
