//! What a live instance has not committed yet, as a commit.

use super::plan::Left;
use crate::engine::commit::Commit;
use crate::engine::effect::Effect;
use crate::engine::feed::{ResourceKey, TaskChange};
use crate::engine::journal::records::Segment;
use crate::engine::memory::entry::{Entry, EntryState};
use crate::engine::rows;
use crate::store::{Space, StoreError};
use crate::task::TaskId;

/// Which of what is pending a commit takes.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    pub has_records: bool,
    /// The status, where it differs from its row.
    pub has_status: bool,
    /// The writer marks when it is on disk: for those who do not wait for it themselves, which is cheaper.
    pub is_marked: bool,
}

impl Parts {
    pub const ALL: Self = Self { has_records: true, has_status: true, is_marked: false };
}

/// A commit of what was pending.
pub struct Draft {
    pub commit: Commit,
    pub queued: Queued,
}

/// What to note once a draft is queued.
pub struct Queued {
    pub journal_bytes: u64,
    pub parts: Parts,
}

/// What the rows of a step take, about: memory for them is asked for once.
const USUAL_BYTES: usize = 1024;

impl EntryState {
    /// What is not committed yet, as one commit; `None` if there is nothing. Nothing changes by it but the count of
    /// steps in the status: what was drafted is pending until [`Self::queued`], under the same lock.
    pub fn draft(&mut self, entry: &Entry, parts: Parts) -> Result<Option<Draft>, StoreError> {
        let id = entry.id;
        let Some(live) = self.live.as_mut() else { return Ok(None) };
        let flush = if parts.has_records { live.journal.flush() } else { None };
        let log = live.log.row();
        let has_status = parts.has_status && self.status_dirty;
        let has_rows = flush.is_some() || log.is_some() || !live.writes.is_empty() || has_status;
        // What changed in the status alone is news also where the status itself is another's to write.
        if !has_rows && live.changes.is_empty() {
            return Ok(None);
        }
        let mut commit = Commit::under_lease(id, self.lease);
        commit.reserve(USUAL_BYTES);
        let mut journal_bytes = 0;
        if let Some(flush) = flush {
            let awake = u64::try_from(live.awake.as_nanos()).unwrap_or(u64::MAX);
            let head = Segment::head(flush.count, awake, flush.logical);
            journal_bytes = (head.len() + flush.records.len()) as u64;
            let key = rows::journal_key(id, self.status.epoch, flush.first);
            commit.add_put_in_parts(Space::Journal, key, &[&head, flush.records]);
        }
        let mut changes = live.changes.clone();
        if let Some((offset, row)) = log {
            commit.add_put(Space::Log, rows::log_key(id, offset), row);
            commit.changed(ResourceKey::Log(id));
            changes.push(TaskChange::Log);
        }
        for (space, key, value) in &live.writes {
            commit.add_put(*space, key, value);
        }
        live.trace.draft(id, &live.journal, &mut commit);
        if has_status {
            self.status.steps = live.journal.next_number();
            commit.add_put(Space::Status, id.as_bytes().as_slice(), rows::encode_status(&self.status)?);
            commit.changed(ResourceKey::Task(id));
        }
        if parts.is_marked {
            commit.add_mark(live.committed.clone(), live.enqueued + 1);
        }
        // Most commits of a guest change nothing that is readable.
        for change in &changes {
            if let TaskChange::Output { name } = change {
                commit.changed(ResourceKey::Output(id, name.clone()));
            }
        }
        for effect in &live.effects {
            commit.add_effect(effect.clone());
        }
        let has_asked = changes.contains(&TaskChange::Questions);
        if !changes.is_empty() {
            commit.add_effect(Effect::Happened(id, changes));
        }
        if has_asked {
            commit.notify_ancestors(entry.link);
        }
        Ok(Some(Draft { commit, queued: Queued { journal_bytes, parts } }))
    }

    /// What is to be traced of an instance that goes, where nothing else of it is pending.
    pub fn draft_trace(&mut self, id: TaskId, commit: &mut Commit) {
        if let Some(live) = self.live.as_mut() {
            live.trace.draft(id, &live.journal, commit);
        }
    }

    /// What was drafted is on its way to the disk.
    pub fn mark_queued(&mut self, queued: &Queued) {
        let Some(live) = self.live.as_mut() else { return };
        if queued.parts.has_records {
            live.journal.mark_flushed();
        }
        live.journal_bytes += queued.journal_bytes;
        live.log.mark_flushed();
        live.trace.mark_queued();
        live.writes.clear();
        live.changes.clear();
        live.effects.clear();
        live.report_bytes = 0;
        live.enqueued += 1;
        if queued.parts.has_status {
            self.status_dirty = false;
        }
    }

    /// What its instance leaves in the status when it goes.
    pub fn left(&mut self) -> Option<Left> {
        let live = self.live.as_mut()?;
        live.journal.mark_reads();
        let is_first = (self.status.attempt, self.status.retry, self.status.epoch) == (1, 0, 0);
        Some(Left {
            has_journal_alone: is_first && live.restored.is_none() && live.ops.are_none(),
            steps: live.journal.next_number(),
            awake_nanos: u64::try_from(live.awake.as_nanos()).unwrap_or(u64::MAX),
            log_bytes: live.log.position().max(live.log.durable()),
        })
    }
}
