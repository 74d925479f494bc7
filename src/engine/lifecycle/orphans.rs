//! Children that are wanted no more are cancelled: as the engine runs, and when it starts.

use std::sync::Arc;
use std::time::Duration;

use super::cancel;
use crate::engine::change::lease;
use crate::engine::error::EngineError;
use crate::engine::family::children::{UNWANTED, on_behalf};
use crate::engine::link::Link;
use crate::engine::memory::entry::Entry;
use crate::engine::rows::tree::current;
use crate::engine::shared::Shared;
use crate::store::Ack;
use crate::task::{CancelRequest, TaskId};

/// Cancels what is wanted no more, as long as the engine runs.
pub async fn run(shared: Arc<Shared>) {
    loop {
        let woken = shared.memory.trees.wake.notified();
        if !shared.is_running() {
            return;
        }
        let found = shared.memory.trees.unwanted().clone();
        let mut pause = Duration::ZERO;
        for id in found {
            match give_up(&shared, id).await {
                // It is tried again.
                Err(EngineError::Store(why)) if why.passes() => {
                    pause = pause.max(why.pause());
                    continue;
                }
                Err(error) => {
                    tracing::error!(task = %id, %error, "cannot cancel a child that is not wanted any more");
                }
                Ok(()) => {}
            }
            shared.memory.trees.unwanted().remove(&id);
        }
        if shared.memory.trees.unwanted().is_empty() {
            woken.await;
            continue;
        }
        let until = shared.clock.elapsed() + pause;
        tokio::select! {
            () = shared.clock.sleep_until(until) => {}
            () = woken => {}
        }
    }
}

/// Cancels a child that is wanted no more, if it is open.
async fn give_up(shared: &Arc<Shared>, id: TaskId) -> Result<(), EngineError> {
    let Some(entry) = shared.entry(id) else { return Ok(()) };
    let (by, request) = (on_behalf(&entry.principal), unwanted(shared));
    while let Some(ack) = cancel::cancel_anyway(shared, &by, &entry, &request, true).await? {
        if lease::has_arrived(shared, &entry, ack).await? {
            break;
        }
    }
    Ok(())
}

/// A start: joins open children to their open parents, and cancels those that lost theirs while no engine ran.
pub async fn adopt(shared: &Arc<Shared>) -> Result<Vec<Ack>, EngineError> {
    let open = {
        let open = shared.open_tasks();
        let link = |entry: Arc<Entry>| entry.link.map(|link| (entry.id, link));
        open.entries().into_iter().filter_map(link).chain(open.resting_children()).collect::<Vec<_>>()
    };
    let mut unwanted = Vec::new();
    for (id, link) in open {
        if link.detached || is_wanted(shared, id, link).await? {
            shared.memory.adopt(link.parent, id, link);
        } else {
            unwanted.extend(shared.entry(id));
        }
    }
    let acks = unwanted.iter().map(|entry| {
        let ack = cancel_unwanted(shared, entry);
        // No nudge counts before the engine runs: its guest is to hear of it by then.
        shared.memory.timers.set(entry.id, shared.clock.elapsed());
        ack
    });
    acks.filter_map(Result::transpose).collect()
}

/// Whether a child's parent is open and its call still points to the child.
async fn is_wanted(shared: &Arc<Shared>, child: TaskId, link: Link) -> Result<bool, EngineError> {
    if !shared.memory.is_open(link.parent) {
        return Ok(false);
    }
    let pointed_at =
        shared.store.read(move |snapshot| current(snapshot, link.parent, link.epoch, link.op)).await?;
    Ok(pointed_at == Some(child))
}

pub fn cancel_unwanted(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<Option<Ack>, EngineError> {
    cancel::cancel(shared, &on_behalf(&entry.principal), entry, unwanted(shared), true)
}

fn unwanted(shared: &Shared) -> CancelRequest {
    CancelRequest { at: shared.clock.wall(), reason: Some(UNWANTED.to_owned()) }
}
