//! Changes of what principals and components may do: counted, so that a task that acts asks again only then, and heard by
//! what is under way in their name.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

pub struct PowerChanges {
    count: AtomicU64,
    news: watch::Sender<()>,
}

impl Default for PowerChanges {
    fn default() -> Self {
        Self { count: AtomicU64::new(1), news: watch::Sender::new(()) }
    }
}

impl PowerChanges {
    /// So many so far. What is read behind it is as new as that, or newer.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// To be called once the change can be seen.
    pub fn note(&self) {
        self.count.fetch_add(1, Ordering::Release);
        self.news.send_replace(());
    }

    /// Changes from now on.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Ends with a value once `look` has one: it is asked now, and after each change.
    pub async fn until<T>(&self, look: impl Fn() -> Option<T>) -> T {
        let mut news = self.news.subscribe();
        loop {
            if let Some(found) = look() {
                return found;
            }
            // The sender is this value's own.
            let _ = news.changed().await;
        }
    }
}
