//! A guest's time in its worker: its calls, and those that have no answer yet.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::guest::Guest;
use super::serve::answer::{Served, answer};
use super::serve::serve;
use crate::engine::{RecorderError, Wait};
use crate::limits;
use crate::sandbox::wire::protocol::{self, Request, ToWorker};

/// A guest in its worker.
pub struct Visit {
    pub guest: Arc<Guest>,
    calls: Mutex<Calls>,
    has_called: AtomicBool,
}

#[derive(Default)]
struct Calls {
    open: HashMap<u64, Open>,
    closed: bool,
}

/// A call without an answer.
enum Open {
    Asked(AbortHandle),
    /// Its wait ends with a word on whether the guest leaves.
    Waits(oneshot::Sender<bool>),
}

/// Frames on their way to the worker.
pub type Frames = mpsc::Sender<Vec<u8>>;

impl Visit {
    pub fn new(guest: Guest) -> Arc<Self> {
        Arc::new(Self { guest: Arc::new(guest), calls: Mutex::default(), has_called: AtomicBool::new(false) })
    }

    /// Whether it has done anything that its task could know of.
    pub fn has_called(&self) -> bool {
        self.has_called.load(Ordering::Relaxed)
    }

    /// Answers a call, now or later. The error is what no worker does.
    pub async fn take(self: &Arc<Self>, call: u64, request: Request<'_>, to: &Frames) -> io::Result<()> {
        self.has_called.store(true, Ordering::Relaxed);
        match serve(&self.guest, request) {
            Served::Now(answer) => {
                send_answer(to, call, &answer).await;
                Ok(())
            }
            Served::Later(mut answering) => {
                // In the order in which they come, as far as they can be done at once.
                if let std::task::Poll::Ready(answer) = futures::poll!(&mut answering) {
                    send_answer(to, call, &answer).await;
                    return Ok(());
                }
                let (visit, to) = (self.clone(), to.clone());
                self.spawn(call, async move {
                    let answer = answering.await;
                    send_answer(&to, call, &answer).await;
                    visit.calls.lock().open.remove(&call);
                })
            }
            Served::Waits(wait) => self.wait(call, wait, to.clone()),
        }
    }

    /// The answer is not waited for any more.
    pub fn withdraw(&self, call: u64, leaves: bool) {
        match self.calls.lock().open.remove(&call) {
            Some(Open::Asked(asked)) => asked.abort(),
            // It may be over.
            Some(Open::Waits(waits)) => drop(waits.send(leaves)),
            None => {}
        }
    }

    /// Nothing of it is answered any more, and what is under way ends.
    pub fn close(&self) {
        let open = {
            let mut calls = self.calls.lock();
            calls.closed = true;
            std::mem::take(&mut calls.open)
        };
        for call in open.into_values() {
            if let Open::Asked(asked) = call {
                asked.abort();
            }
        }
    }

    fn spawn(&self, call: u64, asked: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let mut calls = self.calls.lock();
        if calls.closed {
            return Ok(());
        }
        calls.room()?;
        // It takes itself out, for which it waits until it is in.
        let handle = tokio::spawn(asked).abort_handle();
        calls.open.insert(call, Open::Asked(handle));
        Ok(())
    }

    fn wait(&self, call: u64, wait: Wait, to: Frames) -> io::Result<()> {
        let (sender, over) = oneshot::channel();
        {
            let mut calls = self.calls.lock();
            if calls.closed {
                return Ok(());
            }
            calls.room()?;
            calls.open.insert(call, Open::Waits(sender));
        }
        tokio::spawn(async move {
            let mut over = over;
            let leaves = tokio::select! {
                biased;
                leaves = &mut over => leaves,
                () = wait.asked() => {
                    send_answer(&to, call, &answer(Ok(()))).await;
                    over.await
                }
            };
            if leaves == Ok(true) {
                wait.leave();
            }
        });
        Ok(())
    }
}

impl Calls {
    fn room(&self) -> io::Result<()> {
        if self.open.len() < limits::MAX_WORKER_CALLS {
            return Ok(());
        }
        Err(io::Error::other("one of its guests has more calls than MAX_WORKER_CALLS without an answer"))
    }
}

async fn send_answer(to: &Frames, call: u64, answered: &[u8]) {
    let frame = protocol::frame(&ToWorker::Answer { call, answer: Some(answered) }).or_else(|error| {
        let refused = answer::<()>(Err(RecorderError::Fault(error.to_string())));
        protocol::frame(&ToWorker::Answer { call, answer: Some(&refused) })
    });
    if let Ok(frame) = frame {
        // It fails where the worker is gone.
        let _ = to.send(frame).await;
    }
}
