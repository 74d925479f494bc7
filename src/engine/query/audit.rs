//! The audit: newest first, filtered, in pages.

use std::ops::{Bound, ControlFlow};

use crate::clock::UnixNanos;
use crate::engine::audit::{AuditAction, AuditRow, DONE, OLD_REJECTED, REFUSALS_BY_TIME, Verdict, refusals};
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
        let from = query.cursor.as_ref().map(open).transpose()?.unwrap_or_else(Cursor::whole);
        match self.shared.flush_audit().await {
            // On a full disk what was written before can be read all the same.
            Err(why) if why.passes() => {}
            flushed => flushed?,
        }
        let mut page = self.shared.store.read_long(move |snapshot| page(snapshot, &query, from)).await?;
        page.next_cursor = page.next_cursor.map(|place| seal_cursor(&list, &place));
        Ok(page)
    }
}

/// Where a page begins: before these keys of the three lists, which are each in the order of time.
struct Cursor([Vec<u8>; 3]);

/// What was done, refusals, and those that earlier versions wrote.
const LISTS: [u8; 3] = [DONE, REFUSALS_BY_TIME, OLD_REJECTED];

impl Cursor {
    fn whole() -> Self {
        Self(LISTS.map(|kind| vec![kind + 1]))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let mut ends = [const { Vec::new() }; 3];
        for (end, kind) in ends.iter_mut().zip(LISTS) {
            *end = bytes_of(parts.next()?)?;
            // Of its own list, or right behind it.
            let is_there = end.first() == Some(&kind) || *end == [kind + 1];
            if !is_there {
                return None;
            }
        }
        Some(Self(ends))
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, end) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(".")?;
            }
            for byte in end {
                write!(f, "{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Of hexadecimal digits, of an even number.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|two| std::str::from_utf8(two).ok().filter(|two| two.len() == 2))
        .map(|two| u8::from_str_radix(two?, 16).ok())
        .collect()
}

/// Lists that are each in the order of time, read side by side.
fn page(snapshot: &Snapshot<'_>, query: &AuditQuery, mut cursor: Cursor) -> Result<AuditPage, StoreError> {
    let most = limits::MAX_AUDIT_PAGE_ROWS;
    let limit = if query.limit == 0 { most } else { query.limit.min(most) };
    let since = query.since.unwrap_or(0);
    let mut lists = Vec::with_capacity(LISTS.len());
    for (kind, end) in LISTS.into_iter().zip(&cursor.0) {
        let rows = match kind {
            REFUSALS_BY_TIME => newest_refusals(snapshot, end, since)?,
            kind => newest(snapshot, &[kind], end, since)?,
        };
        lists.push((rows.len() == most, rows.into_iter().peekable()));
    }
    let mut page = AuditPage::default();
    loop {
        let mut newest = None;
        for (number, (_, rows)) in lists.iter_mut().enumerate() {
            if let Some((_, row)) = rows.peek()
                && newest.is_none_or(|(_, until)| row.until > until)
            {
                newest = Some((number, row.until));
            }
        }
        let Some((number, _)) = newest else { return Ok(page) };
        let Some((key, row)) = lists[number].1.next() else { return Ok(page) };
        cursor.0[number] = key;
        if query.fits(&row) {
            page.rows.push(view(row));
        }
        // What is behind the end of a slice is on a later page, and so is all that is older.
        let slice_over = lists.iter().any(|(goes_on, rows)| *goes_on && rows.len() == 0);
        if page.rows.len() == limit || slice_over {
            let is_more = slice_over || lists.iter().any(|(_, rows)| rows.len() > 0);
            page.next_cursor = is_more.then(|| cursor.to_string());
            return Ok(page);
        }
    }
}

/// A key of one of the lists, and what stands for it.
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

/// The same of refusals, whose rows are in their principals' sequences.
fn newest_refusals(snapshot: &Snapshot<'_>, end: &[u8], since: u64) -> Result<Vec<Keyed>, StoreError> {
    let mut listed = Vec::new();
    let bounds = (Bound::Included(&[REFUSALS_BY_TIME][..]), Bound::Excluded(end));
    snapshot.scan(Space::Audit, bounds, true, |by_time, _| {
        match refusals::row_of(by_time) {
            Some((until, _)) if until < since => return ControlFlow::Break(()),
            Some((_, key)) => listed.push((by_time.to_vec(), key)),
            None => {}
        }
        if listed.len() == limits::MAX_AUDIT_PAGE_ROWS {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    let mut found = Vec::with_capacity(listed.len());
    for (by_time, key) in listed {
        let missing = || StoreError::damaged_row(Space::Audit, &key, "the row is missing");
        let row = rows::read_row(snapshot, Space::Audit, &key)?.ok_or_else(missing)?;
        found.push((by_time, row));
    }
    Ok(found)
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
