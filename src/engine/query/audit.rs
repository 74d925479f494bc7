//! The audit: newest first, filtered, in pages.

use std::ops::{Bound, ControlFlow};

use crate::clock::UnixNanos;
use crate::engine::audit::{AuditAction, AuditRow, DONE, REJECTED, Verdict, rejected_key};
use crate::engine::cursor::{filter, open_cursor, seal_cursor};
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::rows;
use crate::limits;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::{ComponentId, TaskId};

/// A row of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditView {
    /// When it was done, or the first of several.
    pub at: UnixNanos,
    /// When the last of several was.
    pub until: UnixNanos,
    pub principal: String,
    /// The program that the principal called with.
    pub client: Option<String>,
    pub action: AuditAction,
    pub tool: Option<String>,
    pub component: Option<ComponentId>,
    /// BLAKE3 of the arguments, or of what was answered or sent.
    pub hash: Option<[u8; 32]>,
    pub task: Option<TaskId>,
    pub verdict: Verdict,
    /// Why it was refused, or what else there is to say, in a word or two.
    pub reason: Option<String>,
    /// How many alike this row stands for.
    pub count: u64,
}

/// Which rows a list shows.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// From this moment on, nanoseconds since 1970.
    pub since: Option<u64>,
    pub principal: Option<String>,
    pub tool: Option<String>,
    pub verdict: Option<Verdict>,
    /// Rows; 0 and more than [`limits::MAX_AUDIT_PAGE_ROWS`] mean that many.
    pub limit: usize,
    /// From the page before.
    pub cursor: Option<String>,
}

/// Newest first. A page may hold fewer rows than were asked for, and still have a next one.
#[derive(Clone, Debug, Default)]
pub struct AuditPage {
    pub rows: Vec<AuditView>,
    pub next_cursor: Option<String>,
}

impl TaskEngine {
    /// What was done and refused, newest first.
    pub async fn audit(&self, query: AuditQuery) -> Result<AuditPage, EngineError> {
        let name = query.list_name();
        let list: Vec<&str> = name.iter().map(String::as_str).collect();
        let open =
            |cursor: &String| Cursor::parse(&open_cursor(&list, cursor)?).ok_or(EngineError::BadCursor);
        let from = query.cursor.as_ref().map(open).transpose()?.unwrap_or(Cursor::WHOLE);
        self.shared.flush_audit().await?;
        let mut page = self.shared.store.read_long(move |snapshot| page(snapshot, &query, from)).await?;
        page.next_cursor = page.next_cursor.map(|place| seal_cursor(&list, &place));
        Ok(page)
    }
}

/// Where a page begins: before this time and number of what was done, and before this number of the rest.
struct Cursor {
    at: u64,
    number: u64,
    rejected: u64,
}

impl Cursor {
    const WHOLE: Self = Self { at: u64::MAX, number: u64::MAX, rejected: u64::MAX };

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| u64::from_str_radix(part, 16).ok());
        Some(Self { at: parts.next()??, number: parts.next()??, rejected: parts.next()?? })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}.{:x}.{:x}", self.at, self.number, self.rejected)
    }
}

/// Two lists that are each in the order of time, read side by side.
fn page(snapshot: &Snapshot<'_>, query: &AuditQuery, mut cursor: Cursor) -> Result<AuditPage, StoreError> {
    let most = limits::MAX_AUDIT_PAGE_ROWS;
    let limit = if query.limit == 0 { most } else { query.limit.min(most) };
    let since = query.since.unwrap_or(0);
    let mut done_end = vec![DONE];
    done_end.extend_from_slice(&cursor.at.to_be_bytes());
    done_end.extend_from_slice(&cursor.number.to_be_bytes());
    let done = newest(snapshot, &[DONE], &done_end, since)?;
    let rejected = newest(snapshot, &[REJECTED], &rejected_key(cursor.rejected), since)?;
    let (done_goes_on, rejected_goes_on) = (done.len() == most, rejected.len() == most);
    let (mut done, mut rejected) = (done.into_iter().peekable(), rejected.into_iter().peekable());
    let mut page = AuditPage::default();
    loop {
        let from_done = match (done.peek(), rejected.peek()) {
            (None, None) => return Ok(page),
            (Some((_, done)), Some((_, rejected))) => done.at >= rejected.at,
            (there, _) => there.is_some(),
        };
        let next = if from_done { done.next() } else { rejected.next() };
        let Some((key, row)) = next else { return Ok(page) };
        let number = rows::trailing_number(&key).unwrap_or(0);
        if from_done {
            (cursor.at, cursor.number) = (row.at, number);
        } else {
            cursor.rejected = number;
        }
        if query.fits(&row) {
            page.rows.push(view(row));
        }
        // What is behind the end of a slice is on a later page, and so is all that is older.
        let slice_over = (done_goes_on && done.len() == 0) || (rejected_goes_on && rejected.len() == 0);
        if page.rows.len() == limit || slice_over {
            let more = slice_over || done.len() + rejected.len() > 0;
            page.next_cursor = more.then(|| cursor.to_string());
            return Ok(page);
        }
    }
}

type Keyed = (Vec<u8>, AuditRow);

fn newest(snapshot: &Snapshot<'_>, prefix: &[u8], end: &[u8], since: u64) -> Result<Vec<Keyed>, StoreError> {
    let (mut found, mut fault) = (Vec::new(), None);
    let bounds = (Bound::Included(prefix), Bound::Excluded(end));
    snapshot.scan(Space::Audit, bounds, true, |key, row| {
        match rows::decode::<AuditRow>(Space::Audit, key, row) {
            Ok(row) if row.until < since => return ControlFlow::Break(()),
            Ok(row) => found.push((key.to_vec(), row)),
            Err(error) => fault = Some(error),
        }
        let over = fault.is_some() || found.len() == limits::MAX_AUDIT_PAGE_ROWS;
        if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    fault.map_or(Ok(found), Err)
}

impl AuditQuery {
    /// What its cursors are bound to.
    fn list_name(&self) -> [String; 5] {
        let verdict = self.verdict.map(|verdict| format!("{verdict:?}"));
        [
            "audit".to_owned(),
            filter(self.since.map(|since| since.to_string()).as_deref()),
            filter(self.principal.as_deref()),
            filter(self.tool.as_deref()),
            filter(verdict.as_deref()),
        ]
    }

    fn fits(&self, row: &AuditRow) -> bool {
        self.principal.as_ref().is_none_or(|principal| *principal == row.principal)
            && self.tool.as_ref().is_none_or(|tool| Some(tool) == row.tool.as_ref())
            && self.verdict.is_none_or(|verdict| verdict == row.verdict)
    }
}

fn view(row: AuditRow) -> AuditView {
    AuditView {
        at: row.at,
        until: row.until,
        principal: row.principal,
        client: row.client,
        action: row.action,
        tool: row.tool,
        component: row.component,
        hash: row.hash,
        task: row.task,
        verdict: row.verdict,
        reason: row.reason,
        count: row.count,
    }
}
