use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;

/// Long enough for a machine that does many other things.
const PATIENCE: Duration = Duration::from_secs(60);

fn executor(threads: usize) -> Executor {
    Executor::start(threads, "tried", || ()).unwrap()
}

impl Executor {
    fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, String>> + Send + 'static {
        self.spawn(&Handle::current(), future)
    }

    /// Keeps a thread from all else, until what is returned is dropped.
    async fn occupy(&self) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let (begin, begun) = oneshot::channel();
        let occupying = self.run(async move {
            let _ = begin.send(());
            let _ = released.recv();
        });
        tokio::spawn(occupying);
        begun.await.unwrap();
        release
    }

    async fn until_all_sleep(&self, threads: usize) {
        let are_asleep = || {
            let state = self.shared.state.lock();
            state.sleeping == threads && !state.is_called
        };
        let asleep = async {
            while !are_asleep() {
                yield_now().await;
            }
        };
        timeout(PATIENCE, asleep).await.expect("they sleep in time");
    }
}

/// Says on which thread it was dropped.
struct Dropped(Option<oneshot::Sender<String>>);

impl Dropped {
    fn new() -> (Self, oneshot::Receiver<String>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        let thread = thread::current().name().unwrap_or_default().to_owned();
        let _ = self.0.take().unwrap().send(thread);
    }
}

#[tokio::test]
async fn what_panics_is_an_error_and_its_thread_goes_on() {
    fn fail() {
        panic!("no bolts is left");
    }
    let executor = executor(1);
    let error = executor.run(async { fail() }).await.unwrap_err();
    assert!(error.ends_with("panicked in a guest's call: no bolts is left"), "{error}");
    assert_eq!(executor.run(async { 7 }).await, Ok(7));
}

#[tokio::test]
async fn what_panics_when_it_is_dropped_ends_alone() {
    struct Trap;
    impl Drop for Trap {
        fn drop(&mut self) {
            panic!("it does not go");
        }
    }
    let executor = executor(1);
    let (begin, begun) = oneshot::channel();
    let running = executor.run(async move {
        let _trap = Trap;
        let _ = begin.send(());
        pending::<()>().await;
    });
    begun.await.unwrap();
    drop(running);
    assert_eq!(executor.run(async { 7 }).await, Ok(7));
}

#[tokio::test]
async fn what_nothing_waits_for_is_dropped_on_its_threads_after_its_poll() {
    let executor = executor(1);
    let (dropped, mut drops) = Dropped::new();
    let (begin, begun) = oneshot::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let running = executor.run(async move {
        let _dropped = dropped;
        let _ = begin.send(());
        let _ = goes_on.recv();
        pending::<()>().await;
    });
    begun.await.unwrap();
    drop(running);
    assert_eq!(drops.try_recv(), Err(oneshot::error::TryRecvError::Empty), "it is being polled");
    drop(go_on);
    assert_eq!(drops.await.as_deref(), Ok("tried-0"));

    // And what waits.
    let (dropped, drops) = Dropped::new();
    let (begin, begun) = oneshot::channel();
    let waiting = executor.run(async move {
        let _dropped = dropped;
        let _ = begin.send(());
        pending::<()>().await;
    });
    begun.await.unwrap();
    executor.until_all_sleep(1).await;
    drop(waiting);
    assert_eq!(drops.await.as_deref(), Ok("tried-0"));
}

#[tokio::test]
async fn what_gives_way_is_behind_all_others() {
    let executor = executor(1);
    let order = Arc::new(Mutex::new(Vec::new()));
    let spins = |name: &'static str| {
        let order = order.clone();
        async move {
            for _ in 0..3 {
                order.lock().push(name);
                yield_now().await;
            }
        }
    };
    let busy = executor.occupy().await;
    let both = [executor.run(spins("first")), executor.run(spins("second"))];
    drop(busy);
    for spinning in both {
        spinning.await.unwrap();
    }
    assert_eq!(std::mem::take(&mut *order.lock()), ["first", "second"].repeat(3));

    let (wake, woken) = oneshot::channel();
    let waits = {
        let order = order.clone();
        async move {
            woken.await.unwrap();
            order.lock().push("woken");
        }
    };
    let wakes = {
        let spins = spins("spins");
        async move {
            wake.send(()).unwrap();
            spins.await;
        }
    };
    let busy = executor.occupy().await;
    let (waits, wakes) = (executor.run(waits), executor.run(wakes));
    drop(busy);
    waits.await.unwrap();
    wakes.await.unwrap();
    assert_eq!(*order.lock(), ["spins", "woken", "spins", "spins"]);
}

#[tokio::test]
async fn those_that_wake_each_other_leave_turns_to_what_gives_way() {
    let executor = executor(1);
    let (is_over, woken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let bells = [Arc::new(Notify::new()), Arc::new(Notify::new())];
    let rings = |own: usize| {
        let (is_over, woken, bells) = (is_over.clone(), woken.clone(), bells.clone());
        async move {
            while !is_over.load(Ordering::Relaxed) {
                woken.fetch_add(1, Ordering::Relaxed);
                bells[1 - own].notify_one();
                bells[own].notified().await;
            }
            bells[1 - own].notify_one();
        }
    };
    let busy = executor.occupy().await;
    let both = [executor.run(rings(0)), executor.run(rings(1))];
    let spinning = executor.run({
        let is_over = is_over.clone();
        async move {
            for _ in 0..3 {
                yield_now().await;
            }
            is_over.store(true, Ordering::Relaxed);
        }
    });
    drop(busy);
    timeout(PATIENCE, spinning).await.expect("it has its turn").unwrap();
    for ringing in both {
        timeout(PATIENCE, ringing).await.expect("they end").unwrap();
    }
    // Each goes round twice at most when it is polled.
    let woken = woken.load(Ordering::Relaxed);
    assert!((2 * limits::MAX_WOKEN_IN_A_ROW..8 * limits::MAX_WOKEN_IN_A_ROW).contains(&woken), "{woken}");
}

#[tokio::test]
async fn a_wake_wakes_one_thread() {
    const WAKES: usize = 100;
    let executor = executor(3);
    let bell = Arc::new(Notify::new());
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let listening = executor.run({
        let bell = bell.clone();
        async move {
            for _ in 0..WAKES {
                bell.notified().await;
                heard.send(()).unwrap();
            }
        }
    });
    executor.until_all_sleep(3).await;
    let before = executor.shared.state.lock().wakeups;
    for _ in 0..WAKES {
        bell.notify_one();
        hears.recv().await.unwrap();
        executor.until_all_sleep(3).await;
    }
    listening.await.unwrap();
    assert_eq!(executor.shared.state.lock().wakeups - before, WAKES);
}

#[tokio::test]
async fn what_is_woken_at_once_runs_on_all_threads() {
    let executor = executor(2);
    executor.until_all_sleep(2).await;
    // Each waits for the other, on its thread.
    let (one, other) = (mpsc::channel(), mpsc::channel());
    let meets = |sender: mpsc::Sender<()>, receiver: mpsc::Receiver<()>| async move {
        sender.send(()).unwrap();
        receiver.recv_timeout(PATIENCE).unwrap();
    };
    let both = [executor.run(meets(one.0, other.1)), executor.run(meets(other.0, one.1))];
    for meeting in both {
        meeting.await.unwrap();
    }
}

#[tokio::test]
async fn timers_sockets_and_tasks_are_those_of_its_runtime() {
    let executor = executor(1);
    let running = executor.run(async {
        timeout(Duration::from_millis(1), pending::<()>()).await.unwrap_err();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
        let (accepted, connected) = tokio::join!(listener.accept(), connecting);
        assert_eq!(accepted.unwrap().1, connected.unwrap().local_addr().unwrap());
        tokio::spawn(async { thread::current().id() }).await.unwrap()
    });
    let ran_on = timeout(PATIENCE, running).await.expect("in time");
    assert_eq!(ran_on, Ok(thread::current().id()), "of the runtime of this test, which has one thread");
}

#[tokio::test]
async fn its_end_ends_what_waits_and_what_spins_and_then_its_threads() {
    let executor = executor(2);
    let (dropped, drops) = Dropped::new();
    let (begin, begun) = oneshot::channel();
    let waiting = executor.run(async move {
        let _dropped = dropped;
        let _ = begin.send(());
        pending::<()>().await;
    });
    let spinning = executor.run(async {
        loop {
            yield_now().await;
        }
    });
    begun.await.unwrap();
    executor.shared.close();
    let (late_dropped, late_drops) = Dropped::new();
    let late = executor.run(async move { drop(late_dropped) });
    assert!(late_drops.await.is_ok(), "it is dropped without a poll");
    let shared = Arc::downgrade(&executor.shared);
    drop(executor);
    for ended in [late.await, waiting.await, spinning.await] {
        assert!(ended.unwrap_err().contains("have ended"));
    }
    assert!(drops.await.unwrap().starts_with("tried-"));
    let gone = async {
        while shared.strong_count() > 0 {
            yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("its threads end");
}
