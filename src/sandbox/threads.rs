//! Where guests run: threads of their own at a lower priority, and the ticker that makes them give way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use wasmtime::Engine;

use super::executor::Executor;
use crate::limits;

/// How much nicer guests are than the threads that serve clients and write the store. Spinning guests at
/// equal priority make every fsync of the writer several times slower.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// Takes the calling thread behind those that serve.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!("a thread keeps its priority: {error}");
    }
}

/// Does the work on a thread of its own that gives way to those that serve: neither guests nor what waits for the disk or
/// the network on their behalf stands behind it. It goes on also where nothing waits for it any more. The error is a fault
/// of ours.
pub(super) async fn aside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (tell, receiver) = oneshot::channel();
    let work = move || {
        give_way();
        // The caller may have given up.
        let _ = tell.send(work());
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| error.to_string())?;
    receiver.await.map_err(|_| format!("the thread {name} ended early"))
}

/// Where components are compiled in this process: so many threads at most.
pub(super) struct Compilers {
    room: Arc<Semaphore>,
}

impl Compilers {
    pub fn new(threads: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(threads.max(1))) }
    }

    /// Does the work when there is room for it. A compilation cannot be stopped in the middle, and keeps its room.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let place = self.room.clone().acquire_owned().await.map_err(|error| error.to_string())?;
        let compile = move || {
            let done = work();
            drop(place);
            done
        };
        aside("guest-compiler", compile).await
    }
}

/// The guests' executor. Dropping it ends every guest at its next yield.
pub(super) struct GuestThreads {
    pub executor: Executor,
    ticker: Arc<Ticker>,
}

impl GuestThreads {
    pub fn start(engine: &Engine, threads: usize) -> std::io::Result<Self> {
        let executor = Executor::start(threads.max(1), "guest", give_way)?;
        let ticker = Ticker::start(engine.clone())?;
        Ok(Self { executor, ticker })
    }

    pub fn ticker(&self) -> &Arc<Ticker> {
        &self.ticker
    }
}

impl Drop for GuestThreads {
    fn drop(&mut self) {
        self.ticker.stop();
    }
}

/// Time that one instance was awake: inside its host functions and its own code, not waiting.
#[derive(Default)]
pub(super) struct Meter {
    since: Mutex<Option<Instant>>,
    unreported_nanos: AtomicU64,
    total_nanos: AtomicU64,
}

impl Meter {
    /// Awake time that was not asked for yet.
    pub fn take(&self) -> Duration {
        let mut since = self.since.lock();
        if let Some(since) = since.as_mut() {
            let now = Instant::now();
            self.add(now.duration_since(*since));
            *since = now;
        }
        Duration::from_nanos(self.unreported_nanos.swap(0, Ordering::Relaxed))
    }

    /// All of it, of this instance.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.total_nanos.load(Ordering::Relaxed))
    }

    fn begin(&self) {
        *self.since.lock() = Some(Instant::now());
    }

    fn end(&self) {
        if let Some(since) = self.since.lock().take() {
            self.add(since.elapsed());
        }
    }

    fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.unreported_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.total_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// Measures a future's awake time and keeps the ticker ticking while it is awake.
pub(super) struct Metered<F> {
    future: Pin<Box<F>>,
    meter: Arc<Meter>,
    ticker: Arc<Ticker>,
}

impl<F> Metered<F> {
    pub fn new(ticker: &Arc<Ticker>, meter: Arc<Meter>, future: F) -> Self {
        Self { future: Box::pin(future), meter, ticker: ticker.clone() }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let _awake = Awake::begin(&this.meter, &this.ticker);
        this.future.as_mut().poll(context)
    }
}

/// Ends the measurement also where the guest's future panics.
struct Awake<'a> {
    meter: &'a Meter,
    ticker: &'a Ticker,
}

impl<'a> Awake<'a> {
    fn begin(meter: &'a Meter, ticker: &'a Ticker) -> Self {
        ticker.enter();
        meter.begin();
        Self { meter, ticker }
    }
}

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        self.meter.end();
        self.ticker.leave();
    }
}

/// Moves the engine's epoch on while any guest is awake, and sleeps while none is.
pub(super) struct Ticker {
    awake: AtomicUsize,
    ended: AtomicBool,
    thread: Mutex<Option<thread::Thread>>,
}

impl Ticker {
    fn start(engine: Engine) -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Self {
            awake: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            thread: Mutex::new(None),
        });
        let own = ticker.clone();
        let handle =
            thread::Builder::new().name("guest-ticker".to_owned()).spawn(move || own.tick(&engine))?;
        *ticker.thread.lock() = Some(handle.thread().clone());
        Ok(ticker)
    }

    fn tick(&self, engine: &Engine) {
        while !self.ended.load(Ordering::SeqCst) {
            if self.awake.load(Ordering::SeqCst) == 0 {
                // An `enter` between the load and here is not lost: `unpark` makes the next `park` return.
                thread::park();
            } else {
                thread::sleep(Duration::from_millis(limits::EPOCH_TICK_MS));
                engine.increment_epoch();
            }
        }
    }

    fn enter(&self) {
        if self.awake.fetch_add(1, Ordering::SeqCst) == 0 {
            self.unpark();
        }
    }

    fn leave(&self) {
        self.awake.fetch_sub(1, Ordering::SeqCst);
    }

    fn stop(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.unpark();
    }

    fn unpark(&self) {
        if let Some(thread) = &*self.thread.lock() {
            thread.unpark();
        }
    }
}
