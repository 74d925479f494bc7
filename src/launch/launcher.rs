//! The launcher: a process that does what its server asks from a closed set, and ends when the server does, however that
//! ends, with all that it has started.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::end::{End, Stop};
use super::error::not_stated;
use super::program::{Programs, Role};
use super::spawn::{Group, Spawned, spawn};
use super::wire::{self, Answer, Request};
use crate::limits;

/// Starts programs for the server at the other end of stdin.
pub fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("longhaul: the launcher ends: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let programs = stated(&socket)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        // What stops a service stops its server, which is to come to its end first.
        let _heard = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        let mut launcher = Launcher::new(socket, programs)?;
        let served = launcher.serve().await;
        launcher.kill_all();
        served
    })
}

/// The set of programs, which is closed from then on. Blocks, since nothing runs yet.
fn stated(socket: &OwnedFd) -> io::Result<Programs> {
    let mut programs = Programs::new();
    loop {
        match wire::receive(socket)? {
            Some((Request::State(role, program), _)) => drop(programs.insert(role, program)),
            Some((Request::Closed, _)) => break,
            Some(_) => return Err(io::Error::other("asked before its programs were stated")),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    wire::send(socket, &wire::encode(&Answer::Ready)?, &[])?;
    Ok(programs)
}

struct Launcher {
    socket: UnixStream,
    programs: Programs,
    /// Those that were started and not waited for yet: as long as one is here, its id is no other's.
    running: Rc<RefCell<BTreeMap<u64, Pid>>>,
    ends: mpsc::UnboundedSender<(u64, End)>,
    /// At most as many as are running.
    ended: mpsc::UnboundedReceiver<(u64, End)>,
}

impl Launcher {
    fn new(socket: OwnedFd, programs: Programs) -> io::Result<Self> {
        let (ends, ended) = mpsc::unbounded_channel();
        Ok(Self { socket: wire::attached(socket)?, programs, running: Rc::default(), ends, ended })
    }

    /// Until the server is gone.
    async fn serve(&mut self) -> io::Result<()> {
        loop {
            tokio::select! {
                request = wire::receive_on(&self.socket) => match request? {
                    None => return Ok(()),
                    Some((Request::Start { id, role }, _)) => self.start(id, &role).await?,
                    Some((Request::Stop { id, stop }, _)) => self.stop(id, stop),
                    Some((Request::State(..) | Request::Closed, _)) => {
                        return Err(io::Error::other("no program is stated any more"));
                    }
                },
                Some((id, end)) = self.ended.recv() => {
                    let answer = wire::encode(&Answer::Ended { id, end })?;
                    wire::send_on(&self.socket, &answer, &[]).await?;
                }
            }
        }
    }

    async fn start(&mut self, id: u64, role: &Role) -> io::Result<()> {
        match self.spawned(id, role) {
            Err(why) => {
                let answer = wire::encode(&Answer::Refused { id, why })?;
                wire::send_on(&self.socket, &answer, &[]).await
            }
            Ok((pid, spawned)) => {
                let answer =
                    wire::encode(&Answer::Started { id, pid: pid.as_raw_nonzero().get().cast_unsigned() })?;
                let pipes = [Some(&spawned.stdin), Some(&spawned.stdout), spawned.stderr.as_ref()];
                let pipes: Vec<_> = pipes.into_iter().flatten().map(AsFd::as_fd).collect();
                let sent = wire::send_on(&self.socket, &answer, &pipes).await;
                self.await_end(id, spawned);
                sent
            }
        }
    }

    fn spawned(&mut self, id: u64, role: &Role) -> Result<(Pid, Spawned), String> {
        let program = self.programs.get(role).ok_or_else(|| not_stated(role).to_string())?;
        if self.running.borrow().len() >= limits::MAX_LAUNCHED_PROGRAMS {
            return Err("too many programs run already (MAX_LAUNCHED_PROGRAMS)".to_owned());
        }
        let spawned = spawn(program, Group::Own).map_err(|error| error.to_string())?;
        let pid = spawned.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let pid = pid.ok_or("it ended before it began")?;
        self.running.borrow_mut().insert(id, pid);
        Ok((pid, spawned))
    }

    /// Its pipes are the server's alone from here on.
    fn await_end(&self, id: u64, spawned: Spawned) {
        let Spawned { mut child, .. } = spawned;
        let (running, ends) = (self.running.clone(), self.ends.clone());
        tokio::task::spawn_local(async move {
            let end = child.wait().await.map_or(End::Signal(0), End::from);
            // In the same turn as it was waited for: another process may have its id from now on.
            running.borrow_mut().remove(&id);
            let _ = ends.send((id, end));
        });
    }

    fn stop(&self, id: u64, stop: Stop) {
        if let Some(pid) = self.running.borrow().get(&id) {
            end_group(*pid, stop);
        }
    }

    fn kill_all(&self) {
        self.running.borrow().values().for_each(|pid| end_group(*pid, Stop::Kill));
    }
}

/// The program, and what it has started in its turn.
fn end_group(pid: Pid, stop: Stop) {
    let signal = match stop {
        Stop::Ask => Signal::TERM,
        Stop::Kill => Signal::KILL,
    };
    // It fails where all of them have ended.
    let _ = kill_process_group(pid, signal);
}
