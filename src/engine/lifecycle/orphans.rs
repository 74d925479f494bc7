//! Children that are wanted no more are cancelled: as the engine runs, and when it starts.

use std::sync::Arc;
use std::time::Duration;

use super::cancel;
use crate::engine::error::EngineError;
use crate::engine::family::children::{UNWANTED, on_behalf};
use crate::engine::memory::entry::Entry;
use crate::engine::rows::tree::current;
use crate::engine::shared::Shared;
use crate::limits;
use crate::store::{Ack, StoreError};
use crate::task::CancelRequest;

/// Cancels what nobody wants any more, as long as the engine runs.
pub async fn run(shared: Arc<Shared>) {
    loop {
        let told = shared.memory.families.wake.notified();
        if !shared.is_running() {
            return;
        }
        let mut again = Vec::new();
        for id in shared.memory.families.take_unwanted() {
            let Some(entry) = shared.entry(id) else { continue };
            match cancel_unwanted(&shared, &entry) {
                Ok(_) => {}
                Err(EngineError::Store(StoreError::Busy { .. })) => again.push(id),
                Err(error) => {
                    tracing::error!(task = %id, %error, "cannot cancel a child that is not wanted any more");
                }
            }
        }
        if again.is_empty() {
            told.await;
            continue;
        }
        let until = shared.clock.elapsed() + Duration::from_millis(limits::BUSY_RETRY_MS);
        tokio::select! {
            () = shared.clock.sleep_until(until) => {}
            () = told => {}
        }
        shared.memory.families.disown(again);
    }
}

/// A start: joins open children to their open parents, and cancels those that lost theirs while nobody ran.
pub fn adopt(shared: &Arc<Shared>) -> Result<Vec<Ack>, EngineError> {
    let entries: Vec<Arc<Entry>> =
        shared.open_tasks().values().filter(|entry| entry.link.is_some()).cloned().collect();
    let mut unwanted = Vec::new();
    for entry in entries {
        let Some(link) = entry.link else { continue };
        let parent = shared.entry(link.parent);
        let pointed_at = shared.store.read(|snapshot| current(snapshot, link.parent, link.epoch, link.op))?;
        if !link.detached && (parent.is_none() || pointed_at != Some(entry.id)) {
            unwanted.push(entry);
        } else if let Some(parent) = parent {
            parent.children().insert(entry.id, link);
        }
    }
    let acks = unwanted.iter().map(|entry| cancel_unwanted(shared, entry));
    acks.filter_map(Result::transpose).collect()
}

pub fn cancel_unwanted(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<Option<Ack>, EngineError> {
    let request = CancelRequest { at: shared.clock.wall(), reason: Some(UNWANTED.to_owned()) };
    cancel::cancel(shared, &on_behalf(&entry.principal), entry, request, true)
}
