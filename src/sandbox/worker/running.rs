//! A worker that runs, as the server has it: its guests, what it says, and its end.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::death::Death;
use super::process::{Process, Started};
use super::visit::{Frames, Visit};
use crate::engine::InspectError;
use crate::limits;
use crate::sandbox::wire::EndWire;
use crate::sandbox::wire::protocol::{self, Hello, ToServer, ToWorker};

/// Frames that wait for the worker to read them: then it is not read from either.
const FRAMES_AT_ONCE: usize = 64;
const STOP: Duration = Duration::from_secs(limits::WORKER_STOP_SECONDS);

pub struct Running {
    to: Frames,
    guests: Mutex<Guests>,
    death: watch::Sender<Option<Death>>,
    ends: Notify,
    /// It is killed, and for what.
    killed: Mutex<Option<Death>>,
    kill: Notify,
    pid: Option<u32>,
}

#[derive(Default)]
struct Guests {
    open: HashMap<u64, Entry>,
    last: u64,
}

struct Entry {
    /// None of one that is only asked for its tools.
    visit: Option<Arc<Visit>>,
    last_word: oneshot::Sender<LastWord>,
}

/// What a worker says last of a guest.
pub enum LastWord {
    End(Option<EndWire>),
    Tools(Result<String, InspectError>),
}

impl Running {
    /// Starts talking to a worker, which has its component when this returns. The error says why it has not.
    pub async fn begin(started: Started, hello: Hello, code: Vec<u8>) -> Result<Arc<Self>, Death> {
        let Started { mut stdin, mut stdout, mut process } = started;
        let starting = async {
            stdin.write_all(&protocol::frame(&hello)?).await?;
            stdin.write_all(&code).await?;
            stdin.flush().await?;
            protocol::receive(&mut stdout).await
        };
        let time = Duration::from_secs(limits::MAX_WORKER_START_SECONDS);
        let first = match tokio::time::timeout(time, starting).await {
            Ok(Ok(Some(first))) => first,
            // Its end says more than a pipe that broke.
            Ok(Ok(None) | Err(_)) => return Err(process.ended().await),
            Err(_) => return Err(Death::of_slow_start()),
        };
        match protocol::parse(&first) {
            Ok(ToServer::Ready) => {}
            Ok(ToServer::Unfit(why)) => return Err(Death::FromOutside(why)),
            Ok(_) => return Err(Death::of_misconduct(&io::Error::other("it speaks before it is ready"))),
            Err(error) => return Err(Death::of_misconduct(&error)),
        }
        let (to, frames) = mpsc::channel(FRAMES_AT_ONCE);
        let running = Arc::new(Self {
            to,
            guests: Mutex::default(),
            death: watch::Sender::new(None),
            ends: Notify::new(),
            killed: Mutex::default(),
            kill: Notify::new(),
            pid: process.id(),
        });
        tokio::spawn(running.clone().supervise(stdin, frames, stdout, process));
        Ok(running)
    }

    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// A guest is to begin there. What the worker says of it last comes over the receiver.
    pub fn enter(&self, visit: Option<Arc<Visit>>) -> (u64, oneshot::Receiver<LastWord>) {
        let (last_word, receiver) = oneshot::channel();
        let mut guests = self.guests.lock();
        guests.last += 1;
        let number = guests.last;
        guests.open.insert(number, Entry { visit, last_word });
        (number, receiver)
    }

    /// The guest is not the server's any more: what it calls is not answered.
    pub fn let_go(&self, number: u64) {
        let visit = self.guests.lock().open.get_mut(&number).and_then(|entry| entry.visit.take());
        if let Some(visit) = visit {
            visit.close();
        }
    }

    /// It fails where the worker is gone, of which [`Self::died`] says more.
    pub async fn send(&self, message: &ToWorker<'_>) -> io::Result<()> {
        let frame = protocol::frame(message)?;
        self.to.send(frame).await.map_err(io::Error::other)
    }

    pub async fn died(&self) -> Death {
        let mut death = self.death.subscribe();
        match death.wait_for(Option::is_some).await.map(|death| death.clone()) {
            Ok(Some(death)) => death,
            // The sender lives as long as this does.
            _ => std::future::pending().await,
        }
    }

    pub fn is_dead(&self) -> bool {
        self.death.borrow().is_some()
    }

    /// It has nothing to do any more.
    pub fn end(&self) {
        self.ends.notify_one();
    }

    pub fn kill(&self, why: Death) {
        self.killed.lock().get_or_insert(why);
        self.kill.notify_one();
    }

    async fn supervise(
        self: Arc<Self>,
        stdin: Box<dyn AsyncWrite + Send + Unpin>,
        frames: mpsc::Receiver<Vec<u8>>,
        stdout: Box<dyn AsyncRead + Send + Unpin>,
        mut process: Process,
    ) {
        let writing = tokio::spawn(write(stdin, frames));
        tokio::select! {
            read = self.read(stdout) => if let Err(error) = read {
                self.kill(Death::of_misconduct(&error));
            },
            () = self.ends.notified() => {}
            () = self.kill.notified() => {}
        }
        // It ends when its pipe does.
        writing.abort();
        let _ = writing.await;
        if self.killed.lock().is_some() {
            process.kill();
        }
        let death = match tokio::time::timeout(STOP, process.ended()).await {
            Ok(death) => death,
            Err(_) => {
                process.kill();
                process.ended().await
            }
        };
        let death = self.killed.lock().take().unwrap_or(death);
        let open = std::mem::take(&mut self.guests.lock().open);
        if !open.is_empty() {
            tracing::warn!("{}", death.words());
        }
        for visit in open.values().filter_map(|entry| entry.visit.as_ref()) {
            visit.close();
        }
        self.death.send_replace(Some(death));
    }

    /// To the end of what it says; an error is what no worker says.
    async fn read(&self, mut stdout: Box<dyn AsyncRead + Send + Unpin>) -> io::Result<()> {
        loop {
            // Where the pipe breaks, the end of the process says why.
            let Ok(received) = protocol::receive(&mut stdout).await.or_else(broken) else {
                return Err(io::Error::other("it announces a message that is too long"));
            };
            let Some(message) = received else { return Ok(()) };
            match protocol::parse(&message)? {
                ToServer::Call { guest, call, request } => match self.visit(guest) {
                    Some(visit) => visit.take(call, request, &self.to).await?,
                    // It was stopped.
                    None => drop(self.send(&ToWorker::Answer { call, answer: None }).await),
                },
                ToServer::Withdraw { guest, call, leaves } => {
                    if let Some(visit) = self.visit(guest) {
                        visit.withdraw(call, leaves);
                    }
                }
                ToServer::Ended { guest, end } => self.last_word(guest, LastWord::End(end)),
                ToServer::Described { guest, tools } => self.last_word(guest, LastWord::Tools(tools)),
                ToServer::Ready | ToServer::Unfit(_) => {
                    return Err(io::Error::other("it begins a second time"));
                }
            }
        }
    }

    fn visit(&self, guest: u64) -> Option<Arc<Visit>> {
        self.guests.lock().open.get(&guest)?.visit.clone()
    }

    fn last_word(&self, number: u64, last_word: LastWord) {
        let Some(entry) = self.guests.lock().open.remove(&number) else { return };
        if let Some(visit) = entry.visit {
            visit.close();
        }
        // What waited for it may be gone.
        let _ = entry.last_word.send(last_word);
    }
}

fn broken(error: io::Error) -> io::Result<Option<Vec<u8>>> {
    if error.kind() == io::ErrorKind::Other { Err(error) } else { Ok(None) }
}

async fn write(mut stdin: Box<dyn AsyncWrite + Send + Unpin>, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if stdin.write_all(&frame).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}
