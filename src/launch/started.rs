//! A program that was started: its pipes, and its end.

use std::io;
use std::os::fd::OwnedFd;

use tokio::net::unix::pipe;
use tokio::process::Child;

use super::end::{End, Stop};
use super::error::LaunchError;
#[cfg(target_os = "linux")]
use super::launched::Launched;
use super::spawn::Spawned;

/// A program that runs, with this process's ends of its pipes.
#[derive(Debug)]
pub struct Started {
    pub stdin: pipe::Sender,
    pub stdout: pipe::Receiver,
    /// Where it was stated as piped.
    pub stderr: Option<pipe::Receiver>,
    pub running: Running,
}

/// The running program itself. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    pub pid: u32,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Here(Box<Child>),
    #[cfg(target_os = "linux")]
    Launched(Launched),
}

impl Started {
    /// Of a program that this process started.
    pub(super) fn here(spawned: Spawned) -> io::Result<Self> {
        let Spawned { child, stdin, stdout, stderr } = spawned;
        let running = Running { pid: child.id().unwrap_or_default(), kind: Kind::Here(Box::new(child)) };
        Self::new(stdin, stdout, stderr, running)
    }

    /// Of one that the launcher started.
    #[cfg(target_os = "linux")]
    pub(super) fn launched(pid: u32, launched: Launched, pipes: Vec<OwnedFd>) -> io::Result<Self> {
        let running = Running { pid, kind: Kind::Launched(launched) };
        let mut pipes = pipes.into_iter();
        match (pipes.next(), pipes.next(), pipes.next()) {
            (Some(stdin), Some(stdout), stderr) => Self::new(stdin, stdout, stderr, running),
            _ => Err(io::Error::other("the launcher sends no pipes")),
        }
    }

    fn new(stdin: OwnedFd, stdout: OwnedFd, stderr: Option<OwnedFd>, running: Running) -> io::Result<Self> {
        Ok(Self {
            stdin: pipe::Sender::from_owned_fd(stdin)?,
            stdout: pipe::Receiver::from_owned_fd(stdout)?,
            stderr: stderr.map(pipe::Receiver::from_owned_fd).transpose()?,
            running,
        })
    }
}

impl Running {
    /// Once it has ended; again and again the same.
    pub async fn ended(&mut self) -> Result<End, LaunchError> {
        match &mut self.kind {
            Kind::Here(child) => child.wait().await.map(End::from).map_err(LaunchError::from),
            #[cfg(target_os = "linux")]
            Kind::Launched(launched) => launched.ended().await,
        }
    }

    /// Makes it end; what has ended already stays as it is.
    pub fn stop(&mut self, stop: Stop) {
        match &mut self.kind {
            Kind::Here(child) => stop_here(child, stop),
            #[cfg(target_os = "linux")]
            Kind::Launched(launched) => launched.stop(stop),
        }
    }
}

fn stop_here(child: &mut Child, stop: Stop) {
    match stop {
        // It fails where it has ended.
        Stop::Kill => drop(child.start_kill()),
        Stop::Ask => {
            let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
            if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
    }
}
