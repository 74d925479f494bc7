//! The server's end of its launcher.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

use super::end::End;
use super::error::LaunchError;
use super::launched::Launched;
use super::program::{Programs, Role};
use super::started::Started;
use super::wire::{self, Answer, Request};

#[derive(Debug)]
pub struct Link {
    pid: u32,
    /// Until the first thread that asks; there is no runtime before.
    socket: Mutex<Option<(OwnedFd, mpsc::UnboundedReceiver<Request>)>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What waits to be sent: of each program at most its start and two stops.
    requests: mpsc::UnboundedSender<Request>,
    state: Mutex<State>,
    launcher: Mutex<Child>,
    lost: watch::Sender<bool>,
}

/// What the launcher has to answer.
#[derive(Debug, Default)]
struct State {
    next_id: u64,
    starting: BTreeMap<u64, oneshot::Sender<Result<Started, LaunchError>>>,
    running: BTreeMap<u64, watch::Sender<Option<End>>>,
    is_lost: bool,
}

impl Link {
    /// `command` runs [`launch_for_parent`](super::launch_for_parent). Blocks until the launcher knows all programs.
    pub fn start(mut command: Command, programs: &Programs) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (socket, its_socket) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        // In a group of its own no key on a terminal reaches it; it ends with the server.
        command.stdin(its_socket).stdout(Stdio::null()).process_group(0);
        let child = command.spawn()?;
        let pid = child.id();
        // Its end of the socket is its own alone from here on.
        drop(command);
        for (role, program) in programs {
            let request = Request::State(role.clone(), program.clone());
            wire::send(&socket, &wire::encode(&request)?, &[])?;
        }
        wire::send(&socket, &wire::encode(&Request::Closed)?, &[])?;
        match wire::receive(&socket)? {
            Some((Answer::Ready, _)) => {}
            _ => return Err(io::Error::other("it does not answer")),
        }
        let (requests, to_send) = mpsc::unbounded_channel();
        let (state, lost) = (Mutex::default(), watch::Sender::new(false));
        let shared = Arc::new(Shared { requests, state, launcher: Mutex::new(child), lost });
        Ok(Self { pid, socket: Mutex::new(Some((socket, to_send))), shared })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub async fn launch(&self, role: &Role) -> Result<Started, LaunchError> {
        self.attach()?;
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.shared.state.lock();
            if state.is_lost {
                return Err(self.ended());
            }
            state.next_id += 1;
            let id = state.next_id;
            state.starting.insert(id, answer);
            let _ = self.shared.requests.send(Request::Start { id, role: role.clone() });
        }
        // Dropped before the answer is there, the program is killed with it.
        answered.await.unwrap_or_else(|_| Err(self.ended()))
    }

    pub async fn lost(&self) {
        if self.attach().is_ok() {
            let _ = self.shared.lost.subscribe().wait_for(|is_lost| *is_lost).await;
        }
    }

    fn ended(&self) -> LaunchError {
        LaunchError::LauncherEnded { pid: self.pid }
    }

    /// From now on the answers are read, as long as the runtime lives.
    fn attach(&self) -> Result<(), LaunchError> {
        let Some((socket, to_send)) = self.socket.lock().take() else { return Ok(()) };
        let socket = wire::attached(socket)?;
        let (shared, pid) = (self.shared.clone(), self.pid);
        tokio::spawn(async move {
            let why = tokio::select! {
                read = shared.read(&socket, pid) => read,
                written = write(&socket, to_send) => written,
            };
            shared.lose(pid, why.err());
        });
        Ok(())
    }
}

async fn write(socket: &UnixStream, mut requests: mpsc::UnboundedReceiver<Request>) -> io::Result<()> {
    while let Some(request) = requests.recv().await {
        wire::send_on(socket, &wire::encode(&request)?, &[]).await?;
    }
    Ok(())
}

impl Shared {
    async fn read(self: &Arc<Self>, socket: &UnixStream, pid_of_launcher: u32) -> io::Result<()> {
        while let Some((answer, pipes)) = wire::receive_on(socket).await? {
            match answer {
                Answer::Ready => return Err(io::Error::other("it is ready twice")),
                Answer::Started { id, pid } => self.started(id, pid, pipes, pid_of_launcher),
                Answer::Refused { id, why } => {
                    if let Some(starting) = self.state.lock().starting.remove(&id) {
                        let _ = starting.send(Err(LaunchError::Refused(why)));
                    }
                }
                Answer::Ended { id, end } => {
                    if let Some(running) = self.state.lock().running.remove(&id) {
                        running.send_replace(Some(end));
                    }
                }
            }
        }
        Ok(())
    }

    fn started(self: &Arc<Self>, id: u64, pid: u32, pipes: Vec<OwnedFd>, pid_of_launcher: u32) {
        let (ends, end) = watch::channel(None);
        let starting = {
            let mut state = self.state.lock();
            state.running.insert(id, ends);
            state.starting.remove(&id)
        };
        let launched = Launched { id, pid_of_launcher, requests: self.requests.clone(), end };
        let started = Started::launched(pid, launched, pipes).map_err(LaunchError::from);
        if let Some(starting) = starting {
            // What nothing waits for any more is dropped, and so killed.
            let _ = starting.send(started);
        }
    }

    /// Nothing can be started from now on.
    fn lose(&self, pid: u32, why: Option<io::Error>) {
        let (starting, running) = {
            let mut state = self.state.lock();
            state.is_lost = true;
            (std::mem::take(&mut state.starting), std::mem::take(&mut state.running))
        };
        // One that answers what makes no sense is no use either.
        let mut launcher = self.launcher.lock();
        let ended = launcher.kill().and_then(|()| launcher.wait());
        let why = why.map(|error| error.to_string()).or_else(|| ended.ok().map(|end| end.to_string()));
        tracing::error!("{} ({})", LaunchError::LauncherEnded { pid }, why.unwrap_or_default());
        // Who waits for one of them hears of it.
        drop((starting, running));
        self.lost.send_replace(true);
    }
}
