//! Submission: from a request to a durable task.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use super::reports::ReportAt;
use crate::authority::Principal;
use crate::catalog::Tool;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::change::admit::admit;
use crate::engine::change::admit::canonical_text;
use crate::engine::change::plan::{About, plan_new};
use crate::engine::charge;
use crate::engine::commit::Commit;
use crate::engine::environment;
use crate::engine::error::EngineError;
use crate::engine::feed::Follower;
use crate::engine::handle::TaskEngine;
use crate::engine::memory::entry::Entry;
use crate::engine::memory::open_task::OpenTask;
use crate::engine::query::poll::{Stands, poll_after};
use crate::engine::query::view::TaskView;
use crate::engine::random::random;
use crate::engine::rows::IdempotencyRow;
use crate::engine::shared::Shared;
use crate::engine::wing_rows::WingWrite;
use crate::engine::{rows, wing_rows};
use crate::limits;
use crate::shares::Pool;
use crate::store::{Guard, Space, StoreError};
use crate::task::{Task, TaskId, TraceContext, canonical};

/// A call that is to become a task.
pub struct Submission {
    pub tool: String,
    /// A JSON object that fits the tool's input schema.
    pub arguments: Value,
    pub principal: Principal,
    /// The caller's name for "the same call": repeated, it leads to the same task.
    pub idempotency_key: Option<String>,
    /// Where the call stands in its caller's trace.
    pub trace: Option<TraceContext>,
}

/// A task that is on disk.
pub struct Submitted {
    pub id: TaskId,
    pub task: TaskView,
    /// It was there already: an idempotency key, or the tool's `dedupe_seconds`, led to it.
    pub existing: bool,
}

/// What stands in the same commit as a new task.
type ExtraWrites<'a> = &'a (dyn Fn(TaskId, ReportAt, bool) -> Vec<WingWrite> + Send + Sync);

/// A row that stands for "the same call".
struct Claim {
    key: [u8; 32],
    /// The key that an earlier version would have made of the same arguments, which wrote them as they came.
    earlier_key: Option<[u8; 32]>,
    /// The client's own key, where there is one.
    named: Option<String>,
    dedupe: Option<Duration>,
}

impl TaskEngine {
    /// Makes a task of a call. It is durable when this returns.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, EngineError> {
        Ok(self.submit_with(&submission, false, None).await?.0)
    }

    /// The same, and a call's follower that misses nothing: a new task is followed from before its commit. There is
    /// none when there are too many subscribers.
    pub async fn submit_followed(
        &self,
        submission: Submission,
    ) -> Result<(Submitted, Option<Follower>), EngineError> {
        self.submit_with(&submission, true, None).await
    }

    /// The same for a stream that has every report, also after a restart: the task keeps them. The rows that `extra`
    /// makes of the task's id, of where the stream begins and of whether the task was there already are part of the same
    /// commit. A stream of a task that was there already begins at its newest report.
    pub async fn submit_for_stream(
        &self,
        submission: &Submission,
        extra: impl Fn(TaskId, ReportAt, bool) -> Vec<WingWrite> + Send + Sync,
    ) -> Result<(Submitted, ReportAt, Option<Follower>), EngineError> {
        let (submitted, follower) = self.submit_with(submission, true, Some(&extra)).await?;
        let mut from = ReportAt::default();
        if submitted.existing {
            self.keep_reports(&submission.principal, submitted.id).await?;
            from = self.reported(&submission.principal, submitted.id, from, 1).await?.newest.0;
            self.put_wing_rows(extra(submitted.id, from, true)).await?;
        }
        Ok((submitted, from, follower))
    }

    async fn submit_with(
        &self,
        submission: &Submission,
        follow: bool,
        extra: Option<ExtraWrites<'_>>,
    ) -> Result<(Submitted, Option<Follower>), EngineError> {
        let (by, named) = (submission.principal.clone(), submission.tool.clone());
        let done = self.submit_call(submission, follow, extra).await;
        self.shared.audit.record_error(
            &by,
            Subject { tool: Some(&named), ..Subject::new(AuditAction::Call) },
            done,
        )
    }

    async fn submit_call(
        &self,
        submission: &Submission,
        follow: bool,
        extra: Option<ExtraWrites<'_>>,
    ) -> Result<(Submitted, Option<Follower>), EngineError> {
        let shared = &self.shared;
        let catalog = shared.catalog();
        let tool = catalog
            .tool(&submission.tool)
            .filter(|_| submission.principal.may_call(&submission.tool))
            .ok_or_else(|| no_such_tool(&catalog, submission))?;
        if shared.memory.blocks.has(&tool.tool.component_name, &tool.tool.component) {
            return Err(EngineError::Blocked { tool: submission.tool.clone() });
        }
        let sent = arguments_text(&submission.arguments)?;
        let accepted = tool.accept(&submission.arguments)?;
        let CallTexts { mut arguments, same_call, arguments_hash, claim } =
            texts_of(&tool.tool, submission, &accepted, sent)?;
        loop {
            if let Some((claim, same_call)) = claim.as_ref().zip(same_call.as_deref())
                && let Some(there) = self.claimed(claim, submission, same_call).await?
            {
                let subject = Subject::of_task(AuditAction::Call, there.id)
                    .tool(&tool.tool.definition.name, &tool.tool.component)
                    .hash(arguments_hash);
                shared.audit.record_repeated(&submission.principal, subject, "same_call");
                if let Some(entry) = shared.entry(there.id) {
                    entry.joined.store(true, Ordering::Relaxed);
                }
                let follower = follow.then(|| shared.memory.feed.follow_call(there.id)).flatten();
                return Ok((there, follower));
            }
            let text = match arguments.take() {
                Some(text) => text,
                None => arguments_text(&accepted)?,
            };
            let task = new_task(shared, &tool.tool, submission, text)?;
            let follower = follow.then(|| shared.memory.feed.follow_call(task.id)).flatten();
            match self.insert(&submission.principal, task, claim.as_ref(), arguments_hash, extra).await {
                // Another submission claimed the key meanwhile: look again.
                Err(EngineError::Store(StoreError::Refused(_))) if claim.is_some() => continue,
                other => return other.map(|submitted| (submitted, follower)),
            }
        }
    }

    /// The task that the claim stands for already, if any.
    async fn claimed(
        &self,
        claim: &Claim,
        submission: &Submission,
        same_call: &str,
    ) -> Result<Option<Submitted>, EngineError> {
        let found = async |row: IdempotencyRow| {
            let task = self.task(&submission.principal, row.task).await?;
            Ok(Some(Submitted { id: row.task, task, existing: true }))
        };
        if let Some(within) = claim.dedupe {
            for key in std::iter::once(&claim.key).chain(&claim.earlier_key) {
                let Some(row) = self.claim_row(key).await? else { continue };
                let age = self.shared.entry(row.task).map(|entry| self.age(&entry));
                if age.is_some_and(|age| u128::from(age) <= within.as_nanos()) {
                    return found(row).await;
                }
            }
            return Ok(None);
        }
        let Some(row) = self.claim_row(&claim.key).await? else { return Ok(None) };
        let is_same = row.arguments == *blake3::hash(same_call.as_bytes()).as_bytes()
            || self.has_arguments(row.task, same_call).await?;
        if !is_same {
            let key = claim.named.clone().unwrap_or_default();
            return Err(EngineError::IdempotencyConflict { key, task: row.task });
        }
        found(row).await
    }

    /// Nanoseconds since the task was created, by its own clock.
    fn age(&self, entry: &Entry) -> u64 {
        let clock = &*self.shared.clock;
        let anchor = entry.lock().anchor;
        anchor.map_or_else(|| clock.wall().saturating_sub(entry.created_at), |anchor| anchor.now(clock))
    }

    async fn claim_row(&self, key: &[u8; 32]) -> Result<Option<IdempotencyRow>, StoreError> {
        let key = *key;
        self.shared.store.read(move |snapshot| rows::read_row(snapshot, Space::Idempotency, &key)).await
    }

    /// Whether the task was called with these arguments, however they were written. An earlier version kept a hash
    /// of them as they came, which says nothing of others.
    async fn has_arguments(&self, task: TaskId, same_call: &str) -> Result<bool, StoreError> {
        let task = self.shared.store.read(move |snapshot| rows::read_task(snapshot, task)).await?;
        Ok(task.is_some_and(|task| canonical_text(&task.arguments) == same_call))
    }

    async fn insert(
        &self,
        by: &Principal,
        task: Task,
        claim: Option<&Claim>,
        arguments: [u8; 32],
        extra: Option<ExtraWrites<'_>>,
    ) -> Result<Submitted, EngineError> {
        let shared = &self.shared;
        let (id, created_at) = (task.id, task.created_at);
        let mut change = plan_new(About::of_task(&task), random()?, Duration::ZERO);
        let mut commit = Commit::new();
        if let Some(extra) = extra {
            change.status.kept_reports = Some(0);
            wing_rows::add(&mut commit, extra(id, ReportAt::default(), false));
        }
        if let Some(claim) = claim {
            let row = IdempotencyRow { task: id, arguments, created_at };
            // A stale row of `dedupe_seconds` is replaced, but only the one that was looked at.
            let looked_up = claim.key;
            let there =
                shared.store.read(move |snapshot| snapshot.get(Space::Idempotency, &looked_up)).await?;
            let key = looked_up.to_vec();
            commit.add_guard(match there {
                Some(value) if claim.dedupe.is_some() => Guard::Is { space: Space::Idempotency, key, value },
                _ => Guard::Absent { space: Space::Idempotency, key },
            });
            commit.add_put(Space::Idempotency, claim.key.as_slice(), rows::encode(&row)?);
        }
        let mut view = TaskView::new(&task, &change.status, 0);
        view.poll_after = poll_after(Stands::of(&view), created_at);
        shared.shares.admit(Pool::StoredBytes, by.name(), charge::first(task.arguments.len()))?;
        let open = OpenTask::take(&shared.shares, by.name())?;
        admit(shared, &mut commit, task, change, by, arguments, open)?;
        shared.commit(commit)?.await?;
        crate::crash_point!("submitted");
        Ok(Submitted { id, task: view, existing: false })
    }
}

/// What is made of a call's arguments before it is a task. They may be large, so that nothing stays that is not needed.
struct CallTexts {
    /// What the task has.
    arguments: Option<String>,
    /// In the form that all calls of the same meaning have, where there is a claim.
    same_call: Option<String>,
    arguments_hash: [u8; 32],
    claim: Option<Claim>,
}

/// Of these arguments as the tool takes them, which came as `sent`.
fn texts_of(
    tool: &Tool,
    submission: &Submission,
    accepted: &Value,
    sent: String,
) -> Result<CallTexts, EngineError> {
    let same_call = canonical(accepted);
    let claim = claim(tool, submission, &same_call, &sent)?;
    let is_as_sent = std::ptr::eq(accepted, &submission.arguments);
    let arguments = if is_as_sent { sent } else { arguments_text(accepted)? };
    Ok(CallTexts {
        arguments: Some(arguments),
        arguments_hash: *blake3::hash(same_call.as_bytes()).as_bytes(),
        same_call: claim.is_some().then_some(same_call),
        claim,
    })
}

fn new_task(
    shared: &Shared,
    tool: &Tool,
    submission: &Submission,
    arguments: String,
) -> Result<Task, EngineError> {
    let millis = shared.clock.wall() / 1_000_000;
    let id = TaskId::new(millis, &random()?);
    Ok(Task {
        id,
        tool: tool.definition.name.clone(),
        component: tool.component.clone(),
        binding: tool.binding.clone(),
        principal: submission.principal.name().to_owned(),
        owner_state: submission.principal.state().to_vec(),
        arguments,
        idempotency_key: submission.idempotency_key.clone(),
        // What the id says, so that the two never differ.
        created_at: millis * 1_000_000,
        limits: tool.limits.clone(),
        grant: tool.grant.clone(),
        retry: tool.retry.clone(),
        effects: tool.effects.clone(),
        parent: None,
        root: id,
        trace: submission.trace.clone(),
        scope: submission.principal.tools().to_vec(),
        called: None,
        environment: environment::of(shared, tool),
    })
}

fn arguments_text(arguments: &Value) -> Result<String, EngineError> {
    let text = arguments.to_string();
    let limit = limits::MAX_ARGUMENTS_BYTES;
    if text.len() > limit {
        return Err(EngineError::ArgumentsTooLarge { bytes: text.len(), limit });
    }
    Ok(text)
}

fn claim(
    tool: &Tool,
    submission: &Submission,
    same_call: &str,
    sent: &str,
) -> Result<Option<Claim>, EngineError> {
    let (principal, name) = (submission.principal.name(), tool.definition.name.as_str());
    if let Some(key) = &submission.idempotency_key {
        let limit = limits::MAX_IDEMPOTENCY_KEY_BYTES;
        if key.is_empty() || key.len() > limit {
            return Err(EngineError::BadIdempotencyKey { bytes: key.len(), limit });
        }
        let named = Some(key.clone());
        return Ok(Some(Claim {
            key: rows::idempotency_key("key", principal, name, key),
            earlier_key: None,
            named,
            dedupe: None,
        }));
    }
    let dedupe_seconds = tool.definition.dedupe_seconds.filter(|seconds| *seconds > 0);
    Ok(dedupe_seconds.map(|seconds| Claim {
        key: rows::idempotency_key("dedupe", principal, name, same_call),
        earlier_key: Some(rows::idempotency_key("dedupe", principal, name, sent)),
        named: None,
        dedupe: Some(Duration::from_secs(seconds)),
    }))
}

fn no_such_tool(catalog: &crate::catalog::Catalog, submission: &Submission) -> EngineError {
    if submission.principal.may_call(&submission.tool)
        && let Some(waiting) = catalog.unapproved_with(&submission.tool)
    {
        return EngineError::unapproved(&submission.tool, waiting);
    }
    if submission.principal.may_call(&submission.tool) && catalog.awaits(&submission.tool) {
        let tool = submission.tool.chars().take(limits::MAX_TOOL_NAME_CHARS).collect();
        return EngineError::NotLoaded { tool };
    }
    let folded = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let name: String = submission.tool.chars().take(limits::MAX_TOOL_NAME_CHARS).collect();
    let wanted = folded(&name);
    let away = |there: &String| {
        let there = folded(there);
        let begins_alike = there.starts_with(&wanted) || wanted.starts_with(&there);
        if begins_alike && !wanted.is_empty() { 1 } else { edits(&there, &wanted) }
    };
    let near = catalog
        .tools()
        .map(|entry| &entry.tool.definition.name)
        .filter(|there| submission.principal.may_call(there))
        .map(|there| (away(there), there))
        .min()
        .filter(|(away, there)| *away <= 1 + there.len() / 5)
        .map(|(_, there)| there.clone());
    EngineError::NoSuchTool { name, near }
}

/// How many characters are to be changed, added or left out to make one of the other (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, there) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, wanted) in b.iter().enumerate() {
            let changed = diagonal + usize::from(there != *wanted);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
