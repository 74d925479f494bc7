//! Ends approvals that were given until a time. What was served by one waits for a person from then on, and its tasks lose
//! what they were given; the row says so, so that no clock that is set back brings it to life.

use std::sync::Arc;
use std::time::Duration;

use super::rows::{self, ApprovalRow, Change, put};
use crate::authority::Principal;
use crate::catalog::{Catalog, Component, Kept, Reasons, Since, Unapproved};
use crate::clock::UnixNanos;
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::shared::Shared;
use crate::limits;
use crate::store::{Need, Space};

pub async fn run(shared: Arc<Shared>) {
    let longest = Duration::from_secs(limits::APPROVAL_LOOK_SECONDS);
    let mut running = shared.memory.running.subscribe();
    let mut changes = shared.memory.powers.subscribe();
    while shared.is_running() {
        changes.mark_unchanged();
        let next = end_all(&shared).await;
        let left = next.map_or(longest, |at| Duration::from_nanos(at.saturating_sub(shared.date())));
        let until = shared.clock.elapsed() + left.min(longest);
        tokio::select! {
            () = shared.clock.sleep_until(until) => {}
            // The senders are the engine's own.
            _ = changes.changed() => {}
            _ = running.changed() => {}
        }
    }
}

/// Ends what is over by now; when the next one is.
async fn end_all(shared: &Shared) -> Option<UnixNanos> {
    let now = shared.date();
    let ends = ends(&shared.catalog());
    for (name, _) in ends.iter().filter(|(_, at)| *at <= now) {
        if let Err(error) = end(shared, name, now).await {
            // It is not served any more all the same; a start reads the time in the row.
            tracing::error!(%error, "the store cannot keep that the approval of '{name}' has expired");
        }
    }
    ends.into_iter().map(|(_, at)| at).filter(|at| *at > now).min()
}

/// Of each component by its name, when its approval, or what its tasks keep of one, ends.
fn ends(catalog: &Catalog) -> Vec<(String, UnixNanos)> {
    let served = catalog.components().filter_map(|component| Some((&component.name, until(component)?)));
    let waiting = catalog.unapproved();
    let waiting = waiting.filter_map(|waiting| Some((&waiting.component.name, waiting.reasons.kept.until?)));
    served.chain(waiting).map(|(name, at)| (name.clone(), at)).collect()
}

fn until(component: &Component) -> Option<UnixNanos> {
    component.approval.as_ref()?.expires_at
}

async fn end(shared: &Shared, name: &str, now: UnixNanos) -> Result<(), EngineError> {
    let _one = shared.catalog_changes.lock().await;
    let catalog = shared.catalog();
    let reasons = Reasons { since: Since::Expired, lines: Vec::new(), kept: Kept::default() };
    let served = catalog.component(name).filter(|component| until(component).is_some_and(|at| at <= now));
    // Where another version waits, that is what waits from now on, and nothing is served.
    let mut waiting = catalog.unapproved();
    let waiting = waiting.find(|waiting| {
        let is_over = served.is_some() || waiting.reasons.kept.until.is_some_and(|at| at <= now);
        waiting.component.name == name && is_over
    });
    let approval = served.and_then(|served| served.approval.clone());
    let ended = match (&approval, served, waiting) {
        (_, _, Some(waiting)) => {
            let lines = waiting.reasons.lines.clone();
            Some(Unapproved { reasons: Reasons { lines, ..reasons }, ..Unapproved::clone(waiting) })
        }
        (Some(approval), Some(served), None) => Some(Unapproved {
            component: Component::clone(served),
            statement: approval.statement.as_ref().clone(),
            reasons,
        }),
        // It was approved again meanwhile, or is gone.
        _ => None,
    };
    let Some(ended) = ended else { return Ok(()) };
    // In memory first: nothing is done by it any more, also where the disk has no room for the row.
    shared.set_catalog(Arc::new(catalog.with_unapproved(ended)));
    crate::crash_point!("approval-expired");
    let (statement, terms) = match approval {
        Some(approval) => (approval.statement.as_ref().clone(), approval.terms()),
        None => {
            let key = rows::key(name);
            let read = shared.store.read(move |snapshot| snapshot.get(Space::Setting, key.as_bytes()));
            let row = read.await?.and_then(|row| ApprovalRow::decode(name, &row));
            let Some(row) = row else { return Ok(()) };
            (row.statement, row.terms)
        }
    };
    let mut commit = Commit::new().with_need(Need::Relief);
    let why = Since::Expired.words();
    let ended = Some(Since::Expired);
    let change = Change { name, statement: &statement, terms, ended, is_locked: false, why };
    put(shared, &mut commit, &Principal::local(), change)?;
    shared.commit(commit)?.await?;
    Ok(())
}
