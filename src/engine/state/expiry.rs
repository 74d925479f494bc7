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
use crate::store::{Need, Snapshot, Space, StoreError};

pub async fn run(shared: Arc<Shared>) {
    let longest = Duration::from_secs(limits::STATE_EXPIRY_LOOK_SECONDS);
    if let Err(error) = mend_dates(&shared).await {
        tracing::error!(%error, "cannot look for entries of shared state that were written at a date to come");
    }
    loop {
        let woken = shared.memory.state.expiry.notified();
        if !shared.is_running() {
            return;
        }
        let left = match sweep(&shared).await {
            Ok(next) => {
                next.map_or(longest, |at| Duration::from_nanos(at.saturating_sub(shared.date())).min(longest))
            }
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
    let now = shared.date();
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
        let mut commit = Commit::new().with_need(Need::Relief);
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

/// The wall clock was set back while no process ran: what was written by it lives no longer for that than it was to.
/// That is, but for a step that may be the clock's own way to go right.
async fn mend_dates(shared: &Arc<Shared>) -> Result<(), EngineError> {
    let step = Duration::from_secs(limits::MAX_CLOCK_STEP_SECONDS).as_nanos();
    let date = shared.opened.logical.saturating_add(u64::try_from(step).unwrap_or(u64::MAX));
    loop {
        let early = shared.store.read(move |snapshot| written_after(snapshot, date)).await?;
        if early.is_empty() {
            return Ok(());
        }
        let ack = {
            let mut guard = shared.memory.state.begin_write();
            let mut commit = Commit::new();
            guard.live_from(shared, &mut commit, &early)?;
            shared.commit(commit)?
        };
        match ack.await {
            // What it counted on was not committed: look again.
            Ok(_) | Err(StoreError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Some of the entries that expire and were written after this date.
fn written_after(
    snapshot: &Snapshot<'_>,
    date: UnixNanos,
) -> Result<Vec<(UnixNanos, String, String)>, StoreError> {
    let mut expiring = Vec::new();
    snapshot.scan_prefix(Space::State, &rows::expiries_prefix(), false, |row, _| {
        let found = rows::read_expiry_key(row);
        expiring.extend(found.map(|(at, namespace, key)| (at, namespace.to_owned(), key.to_owned())));
        ControlFlow::Continue(())
    })?;
    let mut early = Vec::new();
    for (at, namespace, key) in expiring {
        let row = rows::read_entry(snapshot, &namespace, &key)?;
        if row.is_some_and(|row| row.expires_at == Some(at) && row.updated_at > date) {
            early.push((at, namespace, key));
        }
        if early.len() == limits::STATE_EXPIRY_SLICE {
            break;
        }
    }
    Ok(early)
}
