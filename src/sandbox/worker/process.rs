//! Starting a worker, with pipes.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::bounds::{WorkerProgram, worker_program};
use super::death::Death;
use crate::launch::{self, Launch, LaunchError, Role};
use crate::limits;

/// What starts workers.
#[derive(Clone, Debug)]
pub enum Starter {
    Launch(Launch),
    /// On a thread of this process, for tests of what the two say to each other.
    #[cfg(test)]
    Thread,
}

/// A worker that was started, with this process's ends of its pipes.
pub struct Started {
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    pub process: Process,
}

/// The process itself. Dropped, it is killed.
pub enum Process {
    Launched {
        running: Box<launch::Running>,
        complaints: Box<dyn AsyncRead + Send + Unpin>,
    },
    #[cfg(test)]
    Thread,
}

impl Starter {
    /// Of this program, from this process.
    pub fn of_program(program: &WorkerProgram) -> Self {
        let WorkerProgram { program, arguments, .. } = program;
        let arguments = arguments.iter().map(Into::into).collect();
        Self::Launch(Launch::here([(Role::Worker, worker_program(program.clone(), arguments))].into()))
    }

    pub async fn start(&self) -> Result<Started, LaunchError> {
        match self {
            Self::Launch(launch) => start(launch).await,
            #[cfg(test)]
            Self::Thread => Ok(on_a_thread()?),
        }
    }
}

async fn start(launch: &Launch) -> Result<Started, LaunchError> {
    let launch::Started { stdin, stdout, stderr, running } = launch.start(&Role::Worker).await?;
    let stderr = stderr.ok_or_else(|| LaunchError::Refused("it has no pipe for its words".to_owned()))?;
    Ok(Started {
        stdin: Box::new(stdin),
        stdout: Box::new(stdout),
        process: Process::Launched { running: Box::new(running), complaints: Box::new(stderr) },
    })
}

#[cfg(test)]
fn on_a_thread() -> std::io::Result<Started> {
    let (ours, its) = std::os::unix::net::UnixStream::pair()?;
    let to = Box::new(its.try_clone()?);
    std::thread::spawn(move || super::program::serve(its, to, super::program::Place::Thread));
    ours.set_nonblocking(true)?;
    let (stdout, stdin) = tokio::net::UnixStream::from_std(ours)?.into_split();
    Ok(Started { stdin: Box::new(stdin), stdout: Box::new(stdout), process: Process::Thread })
}

impl Process {
    pub fn id(&self) -> Option<u32> {
        match self {
            Self::Launched { running, .. } => Some(running.pid),
            #[cfg(test)]
            Self::Thread => None,
        }
    }

    pub fn kill(&mut self) {
        match self {
            Self::Launched { running, .. } => running.stop(launch::Stop::Kill),
            #[cfg(test)]
            Self::Thread => {}
        }
    }

    /// How it ended, once it has.
    pub async fn ended(&mut self) -> Death {
        match self {
            Self::Launched { running, complaints } => {
                let (end, complained) = tokio::join!(running.ended(), last_words(complaints));
                match end {
                    Ok(end) => Death::of(end, &complained),
                    Err(error) => {
                        Death::FromOutside(format!("how the worker process ended is not known: {error}"))
                    }
                }
            }
            #[cfg(test)]
            Self::Thread => Death::FromOutside("the thread of the worker has ended".to_owned()),
        }
    }
}

/// What is behind the bound is read and dropped, so that the writer comes to its end.
async fn last_words(from: &mut (impl AsyncRead + Unpin)) -> String {
    let mut words = Vec::new();
    let most = limits::MAX_WORKER_WORDS_BYTES as u64;
    // All that was read counts.
    let _ = (&mut *from).take(most).read_to_end(&mut words).await;
    let _ = tokio::io::copy(from, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&words).into_owned()
}
