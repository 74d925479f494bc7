//! Tasks that wait leave memory: all that is known of them is on disk, and nothing has to do with them.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::commit::Commit;
use crate::engine::memory::entry::Entry;
use crate::engine::memory::resting::Idle;
use crate::engine::shared::Shared;
use crate::limits;

/// Lets entries go that could rest, as long as the engine runs.
pub async fn run(shared: Arc<Shared>) {
    while shared.is_running() {
        shared.memory.settles.notified().await;
        tokio::time::sleep(Duration::from_millis(limits::REST_AFTER_MS)).await;
        if !let_go(&shared).await {
            shared.memory.settles.notify_one();
        }
    }
}

/// Whether none is left that could rest.
pub(in crate::engine) async fn let_go(shared: &Shared) -> bool {
    let Idle { tasks, held } = shared.open_tasks().idle();
    if tasks.is_empty() {
        return held == 0;
    }
    // Who had them before has handed over what they had to write, and what follows from that is done by then.
    let is_on_disk = match shared.commit(Commit::new()) {
        Ok(ack) => ack.await.is_ok(),
        Err(_) => false,
    };
    if !is_on_disk {
        return shared.store.latched().is_some();
    }
    let mut are_all = held == 0;
    for some in tasks.chunks(limits::REST_SLICE_TASKS) {
        let gone: Vec<Arc<Entry>> = {
            let mut open = shared.open_tasks();
            some.iter().filter_map(|(id, found)| open.rest(*id, *found)).collect()
        };
        are_all &= gone.len() == some.len();
        drop(gone);
        tokio::task::yield_now().await;
    }
    are_all
}
