//! Runs futures on threads of its own, so that one which waits for a commit costs one wake-up: a waker puts it into the
//! queue, and calls a sleeping thread where none is on its way already. The pools of tokio and async-executor call one
//! more thread for each that finds work, in case there is more, and tokio's sleep in epoll. A future has the timers,
//! sockets and tasks of the tokio runtime that it is spawned with; what it spawns there runs there.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::{io, thread};

use async_task::{Runnable, ScheduleInfo, WithInfo};
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;

use crate::limits;

/// Dropping it ends each of its futures, at its next yield where one runs.
pub struct Executor {
    shared: Arc<Shared>,
}

impl Executor {
    /// Each thread is named `name` and a number, and calls `begin` first.
    pub fn start(threads: usize, name: &str, begin: fn()) -> io::Result<Self> {
        let executor = Self { shared: Arc::default() };
        for number in 0..threads {
            let shared = executor.shared.clone();
            let work = move || {
                begin();
                shared.work();
            };
            thread::Builder::new().name(format!("{name}-{number}")).spawn(work)?;
        }
        Ok(executor)
    }

    /// Runs the future to its end. Dropping what is returned ends it: it is dropped on these threads, never within its
    /// poll. The error says that it panicked, or that the executor has ended.
    pub fn spawn<F>(
        &self,
        runtime: &Handle,
        future: F,
    ) -> impl Future<Output = Result<F::Output, String>> + Send + use<F>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let number = self.shared.next_number.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { shared: self.shared.clone(), number };
        let guarded = Guarded { future: Some(Box::pin(future)), runtime: runtime.clone(), _entry: entry };
        let shared = self.shared.clone();
        let schedule =
            move |runnable, info: ScheduleInfo| shared.schedule(runnable, info.woken_while_running);
        let (runnable, handle) = async_task::spawn(guarded, WithInfo(schedule));
        self.shared.enter(number, runnable);
        let handle = handle.fallible();
        async move { handle.await.unwrap_or_else(|| Err("the guests' threads have ended".to_owned())) }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    called: Condvar,
    next_number: AtomicU64,
}

#[derive(Default)]
struct State {
    /// To be polled since something woke them, the oldest first.
    woken: VecDeque<Runnable>,
    /// To be polled since they gave way, the oldest first.
    gave_way: VecDeque<Runnable>,
    /// Of those woken that were taken since one that gave way.
    woken_in_a_row: u32,
    /// Threads that wait to be called.
    sleeping: usize,
    /// A thread was called, and none has looked since.
    is_called: bool,
    /// Of every future that is not dropped yet.
    wakers: HashMap<u64, Waker>,
    is_closed: bool,
    /// How often a thread woke up.
    #[cfg(test)]
    wakeups: usize,
}

impl State {
    /// Those woken run before those that gave way, which spin: a step of a guest does not wait for a slice of each.
    fn next(&mut self) -> Option<Runnable> {
        if self.woken_in_a_row < limits::MAX_WOKEN_IN_A_ROW
            && let Some(runnable) = self.woken.pop_front()
        {
            self.woken_in_a_row += 1;
            return Some(runnable);
        }
        self.woken_in_a_row = 0;
        self.gave_way.pop_front().or_else(|| self.woken.pop_front())
    }

    /// Whether a thread is to be called: one that is on its way sees all, and calls the next where there is more.
    fn calls(&mut self) -> bool {
        let calls = self.sleeping > 0 && !self.is_called;
        self.is_called |= calls;
        calls
    }
}

/// What a thread does next.
enum Turn {
    Poll(Runnable),
    Drop(Runnable),
}

impl Shared {
    fn work(&self) {
        while let Some(turn) = self.take() {
            match turn {
                Turn::Poll(runnable) => _ = runnable.run(),
                Turn::Drop(runnable) => drop(runnable),
            }
        }
    }

    /// Waits for it. None comes any more where this executor has ended and the last future is dropped.
    fn take(&self) -> Option<Turn> {
        let mut state = self.state.lock();
        let runnable = loop {
            if let Some(runnable) = state.next() {
                break runnable;
            }
            if state.is_closed && state.wakers.is_empty() {
                return None;
            }
            state.sleeping += 1;
            self.called.wait(&mut state);
            state.sleeping -= 1;
            state.is_called = false;
            #[cfg(test)]
            {
                state.wakeups += 1;
            }
        };
        let calls = !(state.woken.is_empty() && state.gave_way.is_empty()) && state.calls();
        let turn = if state.is_closed { Turn::Drop(runnable) } else { Turn::Poll(runnable) };
        drop(state);
        if calls {
            self.called.notify_one();
        }
        Some(turn)
    }

    fn schedule(&self, runnable: Runnable, gave_way: bool) {
        let calls = {
            let mut state = self.state.lock();
            if gave_way {
                state.gave_way.push_back(runnable);
                // This is the thread that has just polled it, which looks next.
                false
            } else {
                state.woken.push_back(runnable);
                state.calls()
            }
        };
        // Outside of the lock, which the thread needs first.
        if calls {
            self.called.notify_one();
        }
    }

    fn enter(&self, number: u64, runnable: Runnable) {
        let waker = runnable.waker();
        {
            let mut state = self.state.lock();
            if state.is_closed {
                // Dropping it calls into here.
                drop(state);
                return drop(runnable);
            }
            state.wakers.insert(number, waker);
        }
        self.schedule(runnable, false);
    }

    fn leave(&self, number: u64) {
        let (waker, is_last) = {
            let mut state = self.state.lock();
            (state.wakers.remove(&number), state.is_closed && state.wakers.is_empty())
        };
        drop(waker);
        if is_last {
            self.called.notify_all();
        }
    }

    fn close(&self) {
        let wakers: Vec<Waker> = {
            let mut state = self.state.lock();
            state.is_closed = true;
            state.wakers.values().cloned().collect()
        };
        // The threads drop what they take from now on, and they take all.
        wakers.into_iter().for_each(Waker::wake);
        self.called.notify_all();
    }
}

/// That a future is not dropped yet.
struct Entry {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.leave(self.number);
    }
}

/// A future within its runtime. What panics in it, also while it is dropped, ends it alone.
struct Guarded<F> {
    future: Option<Pin<Box<F>>>,
    runtime: Handle,
    /// Dropped after the future.
    _entry: Entry,
}

impl<F: Future> Future for Guarded<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { future, runtime, .. } = &mut *self;
        let Some(future) = future else { return Poll::Pending };
        let _within = runtime.enter();
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => {
                Poll::Ready(Err(format!("the host panicked in a guest's call: {}", words(&*panic))))
            }
        }
    }
}

impl<F> Drop for Guarded<F> {
    fn drop(&mut self) {
        let _within = self.runtime.enter();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(self.future.take()))) {
            tracing::error!("the host panicked at a guest's end: {}", words(&*panic));
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let words = panic.downcast_ref::<&str>().copied();
    words.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
