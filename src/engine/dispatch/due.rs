//! Looks at tasks when they are due.

use std::sync::Arc;

use crate::engine::lifecycle::due;
use crate::engine::shared::Shared;

pub async fn run(shared: Arc<Shared>) {
    loop {
        let woken = shared.memory.timers.wake.notified();
        if !shared.is_running() {
            return;
        }
        while let Some(task) = shared.memory.timers.take_due(shared.clock.elapsed()) {
            due::due(&shared, task).await;
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
