//! A task's host in a worker: each call is a request to the server, and its answer.

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, oneshot, watch};

use super::protocol::{self, Request, ToServer};
use super::values::ErrorWire;
use crate::engine::RecorderError;

/// The worker's end of its pipes.
pub struct Link {
    to: Mutex<Box<dyn Write + Send>>,
    calls: Mutex<Calls>,
    last: AtomicU64,
}

#[derive(Default)]
struct Calls {
    /// With the guests that asked.
    open: HashMap<u64, (u64, Waiter)>,
    /// The server is gone: nothing is answered any more.
    closed: bool,
}

/// An answer as it came; `None` where there is none any more.
type Raw = Option<Vec<u8>>;

/// What waits for an answer.
enum Waiter {
    /// A guest's thread, which stands still meanwhile.
    Thread(SyncSender<Raw>),
    Future(oneshot::Sender<Raw>),
    Bell(Arc<Notify>),
}

impl Link {
    pub fn new(to: Box<dyn Write + Send>) -> Self {
        Self { to: Mutex::new(to), calls: Mutex::default(), last: AtomicU64::new(0) }
    }

    /// Where it fails the server is gone, of which the reader of the other pipe hears.
    pub fn send(&self, message: &ToServer<'_>) -> bool {
        match protocol::frame(message) {
            Ok(frame) => {
                let mut to = self.to.lock();
                to.write_all(&frame).and_then(|()| to.flush()).is_ok()
            }
            Err(_) => false,
        }
    }

    /// An answer has come.
    pub fn answered(&self, call: u64, answer: Raw) {
        let waiter = self.calls.lock().open.remove(&call);
        if let Some((_, waiter)) = waiter {
            waiter.take(answer);
        }
    }

    /// The guest is to end: its calls have no answers any more.
    pub fn stop(&self, guest: u64) {
        let open: Vec<_> = self.calls.lock().open.extract_if(|_, (of, _)| *of == guest).collect();
        open.into_iter().for_each(|(_, (_, waiter))| waiter.take(None));
    }

    /// No answer comes any more.
    pub fn close(&self) {
        let open = {
            let mut calls = self.calls.lock();
            calls.closed = true;
            std::mem::take(&mut calls.open)
        };
        open.into_values().for_each(|(_, waiter)| waiter.take(None));
    }

    fn expect(&self, guest: u64, waiter: Waiter) -> u64 {
        let call = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut calls = self.calls.lock();
        if calls.closed {
            drop(calls);
            waiter.take(None);
        } else {
            calls.open.insert(call, (guest, waiter));
        }
        call
    }
}

impl Waiter {
    fn take(self, answer: Raw) {
        // What waited may be gone.
        match self {
            Self::Thread(waiting) => drop(waiting.try_send(answer)),
            Self::Future(waiting) => drop(waiting.send(answer)),
            Self::Bell(bell) => bell.notify_one(),
        }
    }
}

/// The host of one attempt.
#[derive(Clone)]
pub struct Remote {
    link: Arc<Link>,
    guest: u64,
    news: Arc<watch::Sender<u64>>,
    replays_alone: Arc<OnceLock<bool>>,
}

impl Remote {
    pub fn new(link: Arc<Link>, guest: u64, news: Arc<watch::Sender<u64>>) -> Self {
        Self { link, guest, news, replays_alone: Arc::default() }
    }

    /// Asked once: it does not change in an attempt, and is wanted at each step.
    pub fn replays_alone(&self) -> bool {
        *self.replays_alone.get_or_init(|| self.look(Request::ReplaysAlone))
    }

    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Asks, and stands still until there is an answer: for what the server answers at once.
    pub fn ask<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, RecorderError> {
        let (sender, receiver) = sync_channel(1);
        self.send(Waiter::Thread(sender), request);
        decode(receiver.recv().ok().flatten())
    }

    /// The same where nothing can go wrong but that the attempt has ended, which the guest never learns of.
    pub fn look<T: DeserializeOwned + Default>(&self, request: Request<'_>) -> T {
        self.ask(request).unwrap_or_default()
    }

    /// Asks for what takes its time. Dropped, the question is withdrawn.
    pub async fn call<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, RecorderError> {
        let (sender, receiver) = oneshot::channel();
        let call = self.send(Waiter::Future(sender), request);
        let mut pending = Pending { remote: self, call, is_open: true };
        let answer = receiver.await;
        pending.is_open = false;
        decode(answer.ok().flatten())
    }

    /// Ends once that has happened. Where the attempt ends instead, so does what waits for this.
    pub async fn event(&self, request: Request<'_>) {
        if self.call::<()>(request).await.is_err() {
            std::future::pending().await
        }
    }

    /// Asks for an answer that rings a bell, and is over when it is withdrawn.
    pub fn ring(&self, request: Request<'_>) -> (u64, Arc<Notify>) {
        let bell = Arc::new(Notify::new());
        let call = self.send(Waiter::Bell(bell.clone()), request);
        (call, bell)
    }

    /// Nothing waits for the answer to this call any more.
    pub fn withdraw(&self, call: u64, leaves: bool) {
        self.link.calls.lock().open.remove(&call);
        self.link.send(&ToServer::Withdraw { guest: self.guest, call, leaves });
    }

    fn send(&self, waiter: Waiter, request: Request<'_>) -> u64 {
        let call = self.link.expect(self.guest, waiter);
        if !self.link.send(&ToServer::Call { guest: self.guest, call, request }) {
            self.link.answered(call, None);
        }
        call
    }
}

/// A question whose answer is waited for.
struct Pending<'a> {
    remote: &'a Remote,
    call: u64,
    is_open: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.remote.withdraw(self.call, false);
        }
    }
}

fn decode<T: DeserializeOwned>(answer: Raw) -> Result<T, RecorderError> {
    let Some(answer) = answer else {
        return Err(RecorderError::Fault("the attempt has ended, or its server has".to_owned()));
    };
    let decoded = protocol::parse::<Result<T, ErrorWire>>(&answer);
    decoded
        .map_err(|error| RecorderError::Fault(format!("the server's answer is unreadable: {error}")))?
        .map_err(Into::into)
}
