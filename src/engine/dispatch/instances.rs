//! Gives an instance to the task that is next.

use std::sync::Arc;

use crate::engine::lifecycle::attempt;
use crate::engine::runner::Runner;
use crate::engine::shared::Shared;

/// Gives an instance to the next task, as long as there is room.
pub async fn dispatch(shared: Arc<Shared>, runner: Arc<dyn Runner>) {
    loop {
        let woken = shared.memory.ready.wake.notified();
        let Ok(permit) = shared.live.clone().acquire_owned().await else { return };
        if !shared.is_running() {
            return;
        }
        match shared.memory.ready.pop() {
            Some(entry) => {
                tokio::spawn(attempt::drive(shared.clone(), runner.clone(), entry, permit));
            }
            None => {
                drop(permit);
                woken.await;
            }
        }
    }
}
