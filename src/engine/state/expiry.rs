//! What makes an expired entry a deleted one. It reads as deleted from its due time on; this tells those who watch,
//! and gives its room back.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::rows;
use crate::clock::UnixNanos;
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::shared::Shared;
use crate::limits;
use crate::store::{Snapshot, Space, StoreError};

pub async fn run(shared: Arc<Shared>) {
    let longest = Duration::from_secs(limits::STATE_EXPIRY_LOOK_SECONDS);
    loop {
        let woken = shared.memory.state.expiry.notified();
        if !shared.is_running() {
            return;
        }
        let left = match sweep(&shared).await {
            Ok(next) => next.map_or(longest, |at| {
                Duration::from_nanos(at.saturating_sub(shared.clock.wall())).min(longest)
            }),
            Err(error) => {
                tracing::error!(%error, "cannot sweep expired entries of shared state");
                longest
            }
        };
        let until = shared.clock.elapsed() + left;
        tokio::select! {
            () = shared.clock.sleep_until(until) => {}
            () = woken => {}
        }
    }
}

/// Deletes some of what has expired; when to look again, if anything is left.
async fn sweep(shared: &Arc<Shared>) -> Result<Option<UnixNanos>, EngineError> {
    let now = shared.clock.wall();
    let read = move |snapshot: &Snapshot<'_>| {
        let (mut due, mut next) = (Vec::new(), None);
        snapshot.scan_prefix(Space::State, &rows::expiries_prefix(), false, |key, _| {
            let Some((at, namespace, key)) = rows::read_expiry_key(key) else {
                return ControlFlow::Continue(());
            };
            if at > now || due.len() == limits::STATE_EXPIRY_SLICE {
                next = Some(at);
                return ControlFlow::Break(());
            }
            due.push((at, namespace.to_owned(), key.to_owned()));
            ControlFlow::Continue(())
        })?;
        Ok((due, next))
    };
    let (due, next) = shared.store.read(read).await?;
    if due.is_empty() {
        return Ok(next);
    }
    let ack = {
        let mut guard = shared.memory.state.begin_write();
        let mut commit = Commit::new();
        guard.expire(shared, &mut commit, &due)?;
        shared.commit(commit)?
    };
    match ack.await {
        Ok(_) => Ok(next),
        // What it counted on was not committed: look again.
        Err(StoreError::Refused(_)) => Ok(Some(now)),
        Err(error) => Err(error.into()),
    }
}
