//! Retention: sessions whose clients do not come back, and calls that no client asks for any more.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::SessionError;
use super::manager::Sessions;
use super::rows::{self, CallRow, SessionRow};
use crate::authority::Principal;
use crate::clock::{Moment, UnixNanos};
use crate::engine::{EngineError, ReportAt, WingSpace, WingWrite};
use crate::limits;

/// Until `over`: lets quiet sessions rest, puts idle ones out of memory, and deletes what was kept long enough.
pub async fn run(sessions: Arc<Sessions>, over: CancellationToken) {
    let quiet = Duration::from_millis(limits::SESSION_QUIET_MS);
    let mut next_sweep = Moment::now();
    loop {
        if next_sweep <= Moment::now() {
            next_sweep = Moment::now() + Duration::from_secs(limits::SWEEP_INTERVAL_SECONDS);
            if let Err(error) = sessions.sweep().await {
                tracing::warn!(%error, "the sweep of sessions could not finish; it is tried again");
            }
            sessions.end_idle(Duration::from_secs(limits::SESSION_IDLE_SECONDS));
        }
        if tokio::time::timeout(quiet / 2, over.cancelled()).await.is_ok() {
            return;
        }
        sessions.rest(quiet);
    }
}

impl Sessions {
    /// Deletes the sessions and calls that were kept long enough.
    pub async fn sweep(&self) -> Result<(), SessionError> {
        let now = self.server.engine().now();
        self.sweep_sessions(now).await?;
        self.sweep_calls(now).await
    }

    async fn sweep_sessions(&self, now: UnixNanos) -> Result<(), SessionError> {
        let engine = self.server.engine();
        let before = now.saturating_sub(limits::SESSION_KEPT_SECONDS * 1_000_000_000);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page =
                engine.wing_rows(WingSpace::Session, &[], after.as_deref(), limits::SWEEP_SCAN_TASKS).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let mut writes = Vec::new();
            for (key, row) in &page {
                let id = String::from_utf8_lossy(key);
                // What cannot be read is of no use to anybody.
                let is_old = SessionRow::read(&id, row).map_or(true, |row| row.used_at < before);
                if is_old && !self.live.lock().contains_key(&*id) {
                    writes.extend(rows::all_of(&id));
                }
            }
            engine.put_wing_rows(writes).await?;
        }
    }

    async fn sweep_calls(&self, now: UnixNanos) -> Result<(), SessionError> {
        let engine = self.server.engine();
        let mut after: Option<Vec<u8>> = None;
        let mut newest: Vec<(UnixNanos, Vec<u8>, CallRow)> = Vec::new();
        let mut session = Vec::new();
        loop {
            let page =
                engine.wing_rows(WingSpace::Event, &[], after.as_deref(), limits::SWEEP_SCAN_TASKS).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let mut writes = Vec::new();
            for (key, row) in page {
                let owner = rows::parse_call_key(&key).map(|(owner, _)| owner.as_bytes().to_vec());
                if owner.as_ref() != Some(&session) {
                    (session, newest) = (owner.unwrap_or_default(), Vec::new());
                }
                match CallRow::read(&key, &row) {
                    Err(_) => writes.push(WingWrite::Delete(WingSpace::Event, key)),
                    Ok(call) if self.is_over(&call, now).await? => forget(&mut writes, key, &call),
                    Ok(call) => newest.push((call.created_at, key, call)),
                }
                if newest.len() > limits::MAX_KEPT_CALLS_PER_SESSION {
                    let oldest = newest.iter().enumerate().min_by_key(|(_, (at, ..))| *at);
                    let (_, key, call) = newest.swap_remove(oldest.map_or(0, |(at, _)| at));
                    forget(&mut writes, key, &call);
                }
            }
            engine.put_wing_rows(writes).await?;
        }
    }

    /// Whether its answer was there for long enough.
    async fn is_over(&self, call: &CallRow, now: UnixNanos) -> Result<bool, EngineError> {
        let before = now.saturating_sub(limits::CALL_KEPT_SECONDS * 1_000_000_000);
        if call.created_at >= before {
            return Ok(false);
        }
        let owner = Principal::new(call.owner.clone(), Vec::new());
        match self.server.engine().reported(&owner, call.task, ReportAt::default(), 1).await {
            Ok(reported) => Ok(reported.state.is_terminal() && reported.updated_at < before),
            Err(EngineError::NoSuchTask(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn forget(writes: &mut Vec<WingWrite>, key: Vec<u8>, call: &CallRow) {
    writes.push(WingWrite::Delete(WingSpace::Event, key));
    writes.push(WingWrite::ForgetReports(call.task));
}
