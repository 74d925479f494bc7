//! A future that waits along with a busy one, in the same task: it is polled only when something happens to it, not
//! each time the other one comes and goes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

pub struct Aside<F> {
    future: F,
    bell: Arc<Bell>,
    /// Rings the bell.
    ringer: Waker,
    /// Who is woken when it rings.
    listener: Option<Waker>,
}

struct Bell {
    has_rung: AtomicBool,
    listener: AtomicWaker,
}

impl<F> Aside<F> {
    pub fn new(future: F) -> Self {
        // Rung, so that it is polled once.
        let bell = Arc::new(Bell { has_rung: AtomicBool::new(true), listener: AtomicWaker::new() });
        Self { future, ringer: bell.clone().into(), bell, listener: None }
    }
}

impl<F: Future + Unpin> Future for Aside<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let is_known = this.listener.as_ref().is_some_and(|known| known.will_wake(context.waker()));
        if is_known && !this.bell.has_rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        // First this: a ring from here on wakes the listener again.
        this.bell.listener.register(context.waker());
        if !is_known {
            this.listener = Some(context.waker().clone());
        }
        if !this.bell.has_rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.ringer))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.listener.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::FutureExt;
    use futures::future::poll_fn;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_was_woken_and_not_otherwise() {
        let (tell, mut seen) = mpsc::unbounded_channel::<bool>();
        let polls = AtomicUsize::new(0);
        let waits = poll_fn(|context| {
            polls.fetch_add(1, Ordering::Relaxed);
            while let Poll::Ready(word) = seen.poll_recv(context) {
                if word == Some(true) {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        });
        let mut aside = Aside::new(waits);
        // Like a guest that comes and goes.
        for _ in 0..3 {
            let mut now = poll_fn(|context| Poll::Ready(aside.poll_unpin(context).is_pending()));
            assert!((&mut now).await);
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        for _ in 0..2 {
            tell.send(false).expect("heard");
            let mut now = poll_fn(|context| Poll::Ready(aside.poll_unpin(context).is_pending()));
            assert!((&mut now).await);
        }
        assert_eq!(polls.load(Ordering::Relaxed), 3);
        // Woken while it waits.
        let later = async {
            tokio::task::yield_now().await;
            tell.send(true).expect("heard");
        };
        tokio::join!(aside, later);
        assert_eq!(polls.load(Ordering::Relaxed), 4);
    }
}
