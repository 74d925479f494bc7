//! Commits what busy guests recorded, a moment later.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::shared::Shared;
use crate::limits;

/// Until the engine stops.
pub async fn run(shared: Arc<Shared>) {
    while shared.is_running() {
        shared.dirty.wake.notified().await;
        tokio::time::sleep(Duration::from_millis(limits::FLUSH_INTERVAL_MS)).await;
        for entry in shared.dirty.take() {
            entry.flush.is_listed.store(false, Ordering::Release);
            if entry.lock().has_pending() {
                entry.flush.due.notify_one();
            }
        }
    }
}
