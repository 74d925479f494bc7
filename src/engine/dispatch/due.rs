//! Looks at tasks when they are due.

use std::sync::Arc;

use crate::engine::lifecycle::due;
use crate::engine::shared::Shared;
use crate::limits;

pub async fn run(shared: Arc<Shared>) {
    loop {
        let woken = shared.memory.timers.wake.notified();
        if !shared.is_running() {
            return;
        }
        let mut looked_at = 0;
        while let Some(task) = shared.memory.timers.take_due(shared.clock.elapsed()) {
            due::due(&shared, task).await;
            looked_at += 1;
            if looked_at % limits::DUE_SLICE_TASKS == 0 {
                tokio::task::yield_now().await;
            }
        }
        match shared.memory.timers.first() {
            Some(at) => tokio::select! {
                () = shared.clock.sleep_until(at) => {}
                () = woken => {}
            },
            None => woken.await,
        }
    }
}
