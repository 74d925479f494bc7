//! Whether memory says what the disk says, and what a run has come to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::super::*;
use super::bench::Bench;
use crate::engine::change::admit::listed;
use crate::engine::link::Link;
use crate::engine::rows;
use crate::engine::rows::open::{Listed, OpenRow, decode_open};
use crate::engine::rows::tree;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::{Status, Task};

/// All tasks as they are on disk, and which of them are open.
struct Rows {
    tasks: BTreeMap<TaskId, (Task, Status)>,
    open: BTreeSet<TaskId>,
    /// The children that are wanted, of each open task.
    children: BTreeMap<TaskId, BTreeSet<TaskId>>,
    tokens: BTreeSet<String>,
    /// Tasks of which the list of open ones says otherwise than their own rows.
    listed_otherwise: BTreeSet<TaskId>,
}

/// What the list of open tasks says of them otherwise than their own rows.
fn listed_otherwise(
    snapshot: &Snapshot<'_>,
    tasks: &BTreeMap<TaskId, (Task, Status)>,
) -> Result<BTreeSet<TaskId>, StoreError> {
    let mut found = BTreeSet::new();
    let mut fault = None;
    snapshot.scan(Space::Open, .., false, |key, row| {
        match (decode_open(key, row), rows::trailing_id(key).and_then(|id| Some((id, tasks.get(&id)?)))) {
            (Ok(row), Some((id, (task, status)))) => {
                let past_bytes = row.as_ref().map_or(0, |row| row.past_bytes);
                let listed = Listed { past_bytes, ..listed(task) };
                found.extend((row != OpenRow::of(listed, status)).then_some(id));
            }
            (Ok(_), None) => {}
            (Err(error), _) => fault = Some(error),
        }
        ControlFlow::Continue(())
    })?;
    fault.map_or(Ok(found), Err)
}

fn ids(snapshot: &Snapshot<'_>, space: Space) -> Result<BTreeSet<TaskId>, StoreError> {
    let mut found = BTreeSet::new();
    snapshot.scan(space, .., false, |key, _| {
        found.extend(rows::trailing_id(key));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

impl Rows {
    fn read(snapshot: &Snapshot<'_>) -> Result<Self, StoreError> {
        let (mut tasks, open) = (BTreeMap::new(), ids(snapshot, Space::Open)?);
        for id in ids(snapshot, Space::Task)? {
            let row = rows::read_task(snapshot, id)?.zip(rows::read_status(snapshot, id)?);
            tasks.extend(row.map(|row| (id, row)));
        }
        let mut children: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for id in &open {
            let Some(link) = tasks.get(id).and_then(|(task, _)| Link::of(task)) else { continue };
            let pointed_at = tree::current(snapshot, link.parent, link.epoch, link.op)?;
            if open.contains(&link.parent) && (link.detached || pointed_at == Some(*id)) {
                children.entry(link.parent).or_default().insert(*id);
            }
        }
        let mut tokens = BTreeSet::new();
        snapshot.scan(Space::Token, .., false, |key, _| {
            tokens.insert(String::from_utf8_lossy(key).into_owned());
            ControlFlow::Continue(())
        })?;
        let listed_otherwise = listed_otherwise(snapshot, &tasks)?;
        Ok(Self { tasks, open, children, tokens, listed_otherwise })
    }
}

impl Bench {
    /// A task's script names it in a complaint: ids are other ones in each run.
    fn name(rows: &Rows, id: TaskId) -> String {
        rows.tasks
            .get(&id)
            .map_or("a task without rows".to_owned(), |(task, _)| format!("{} {}", task.tool, task.arguments))
    }

    /// What memory says otherwise than the disk, once nothing is in flight. `lost` is set where another process may have
    /// a task's lease: then it need not be here.
    pub fn contradictions(&self, lost: bool) -> Vec<String> {
        let shared = &self.engine.shared;
        let rows = self.store().read_blocking(Rows::read).expect("rows");
        let mut seen = Vec::new();
        if !lost {
            let counted = self.store().read_blocking(crate::engine::query::recount::contradictions);
            seen.extend(counted.expect("counts"));
        }
        for id in &rows.listed_otherwise {
            seen.push(format!("{}: the list of open tasks says otherwise", Self::name(&rows, *id)));
        }
        // Those that rest are loaded, and come to the same.
        let known = shared.memory.open_tasks().ids();
        let entries: BTreeMap<_, _> =
            known.into_iter().filter_map(|id| Some((id, shared.entry(id)?))).collect();
        for (id, (_, status)) in &rows.tasks {
            if rows.open.contains(id) == status.state.is_terminal() {
                seen.push(format!(
                    "{}: its row says {:?}, and so does not the list of open tasks",
                    Self::name(&rows, *id),
                    status.state
                ));
            }
        }
        if shared.is_running() {
            for id in rows.open.iter().filter(|id| !entries.contains_key(id) && !lost) {
                seen.push(format!("{}: open on disk, not in memory", Self::name(&rows, *id)));
            }
            for (id, (task, _)) in rows.tasks.iter().filter(|(id, _)| rows.open.contains(id)) {
                let Some(link) = Link::of(task).filter(|link| !link.detached) else { continue };
                let is_to_be_cancelled = shared.memory.trees.unwanted().contains(id);
                let is_wanted = rows.children.get(&link.parent).is_some_and(|wanted| wanted.contains(id));
                if !is_wanted && !is_to_be_cancelled {
                    seen.push(format!("{}: open, wanted by nobody, not cancelled", Self::name(&rows, *id)));
                }
            }
        }
        let mut lives = 0;
        for (id, entry) in &entries {
            let name = Self::name(&rows, *id);
            if !rows.open.contains(id) {
                seen.push(format!("{name}: in memory, not open on disk"));
                continue;
            }
            let state = entry.lock();
            let is_live = state.live.is_some();
            lives += usize::from(is_live);
            let row = &rows.tasks[id].1;
            let may_differ = lost || is_live && state.has_pending();
            if !may_differ && rows::encode_status(&state.status).ok() != rows::encode_status(row).ok() {
                seen.push(format!(
                    "{name}: {:?} in memory, {:?} on disk{}",
                    state.status.state,
                    row.state,
                    differences(&state.status, row)
                ));
            }
            if !is_live && !lost {
                if state.status.state == State::Running {
                    seen.push(format!("{name}: it runs, and has no instance"));
                } else if !shared.memory.timers.has(*id) && !entry.is_queued.load(Ordering::SeqCst) {
                    seen.push(format!("{name}: {:?} without a timer: nothing wakes it", state.status.state));
                }
            }
            drop(state);
            let children: BTreeSet<TaskId> = entry.children().keys().copied().collect();
            let wanted = rows.children.get(id).cloned().unwrap_or_default();
            if children != wanted && !lost {
                seen.push(format!("{name}: {} children in memory, {} on disk", children.len(), wanted.len()));
            }
        }
        let timed = entries.keys().filter(|id| shared.memory.timers.has(**id)).count();
        let timers = shared.memory.timers.len();
        if timers != timed || shared.memory.state.watchers.tasks().any(|id| !entries.contains_key(&id)) {
            seen.push(format!(
                "{timers} timers, {timed} of open tasks; or one that ended waits for shared state"
            ));
        }
        let held = shared.live_bound - shared.live.available_permits();
        if held != lives {
            seen.push(format!("{lives} tasks have an instance in memory, {held} instances run"));
        }
        if shared.memory.has_staged() {
            seen.push("an entry is kept for a commit that will not come".to_owned());
        }
        if shared.memory.state.pending() > 0 {
            seen.push("shared state waits for rows that do not come".to_owned());
        }
        let tokens: BTreeSet<String> = self.engine.tokens().into_iter().map(|token| token.name).collect();
        if tokens != rows.tokens {
            seen.push(format!("tokens {tokens:?} in memory, {:?} on disk", rows.tokens));
        }
        for (root, in_memory, on_disk) in shared.memory.trees.miscounted(self.store()).expect("rows") {
            let name = Self::name(&rows, root);
            seen.push(format!("{name}: {in_memory} tasks below it in memory, {on_disk} on disk"));
        }
        seen
    }

    /// What should have been done by itself in the end, and was not.
    pub fn left_over(&self) -> Vec<String> {
        let unwanted = self.engine.shared.memory.trees.unwanted().len();
        (unwanted > 0).then(|| format!("{unwanted} children are still to be cancelled")).into_iter().collect()
    }

    /// What everything has come to, in lines that are the same in each run that comes to the same.
    pub async fn end(&self, counts: bool) -> BTreeSet<String> {
        let (engine, local) = (&self.engine, Principal::local());
        let rows = self.store().read_blocking(Rows::read).expect("rows");
        let mut lines = Vec::new();
        for (id, (task, status)) in &rows.tasks {
            let document = engine.task(&local, *id).await.expect("a task");
            let result = match engine.result(&local, *id).await {
                Ok(TaskEnd::Completed(result)) => format!("{:?}", result.content),
                Ok(_) => document.error.as_ref().map_or_else(String::new, |error| error.message.clone()),
                Err(error) => error.to_string(),
            };
            let log = engine
                .log(&local, *id, 0, 1 << 20)
                .await
                .map_or_else(|e| e.to_string(), |log| String::from_utf8_lossy(&log.bytes).into_owned());
            // A cancellation comes when it comes.
            let journal = if status.state == State::Cancelled {
                String::new()
            } else {
                engine.journal(&local, *id).await.map_or_else(
                    |e| e.to_string(),
                    |journal| {
                        journal.records.iter().map(|record| record.kind.clone()).collect::<Vec<_>>().join(" ")
                    },
                )
            };
            let outputs: Vec<_> =
                document.outputs.iter().map(|output| (&output.name, output.bytes)).collect();
            let result: String = result.chars().take(400).collect();
            // What is not on disk yet when a process ends is missing in its trace.
            let steps = if counts && status.state != State::Cancelled {
                engine.steps(&local, *id).await.map_or_else(|e| e.to_string(), |steps| steps_of(&steps))
            } else {
                String::new()
            };
            lines.push(format!(
                "{} {} of {}: {} {:?} '{result}' log {log:?} journal '{journal}' steps '{steps}' outputs {outputs:?} children {} \
                 answered {} messages {} retry {} progress {:?} kept {:?}",
                task.tool, task.arguments, task.parent.map_or("nobody".to_owned(), |parent| Self::name(&rows, parent)),
                document.state.name(), document.state.reason(), document.children.len(), document.answered.len(),
                status.messages, status.retry, status.progress, status.kept_reports,
            ));
        }
        self.store()
            .read_blocking(|snapshot| {
                for (space, what) in [
                    (Space::State, "state"),
                    (Space::Component, "component"),
                    (Space::Event, "event"),
                    (Space::Setting, "setting"),
                    (Space::Idempotency, "key"),
                    (Space::Message, "message"),
                ] {
                    let mut count = 0;
                    snapshot.scan(space, .., false, |_, _| {
                        count += 1;
                        ControlFlow::Continue(())
                    })?;
                    lines.push(format!("{what}: {count} rows"));
                }
                Ok(())
            })
            .expect("rows");
        let entries =
            engine.state_list(&local, "board", &StateQuery::default()).await.expect("a page").entries;
        lines.extend(
            entries.iter().map(|entry| format!("board/{} = {} v{}", entry.key, entry.value, entry.version)),
        );
        lines.extend(rows.tokens.iter().map(|name| format!("token {name}")));
        let mut done: BTreeMap<String, u64> = BTreeMap::new();
        for row in engine.audit(AuditQuery::default()).await.map_or_else(|_| Vec::new(), |page| page.rows) {
            // A call that is tried again is a repeated one; of what is repeated, a crash may lose the last.
            if row.verdict == Verdict::Admitted
                || counts && row.action == AuditAction::Cancel && row.verdict == Verdict::Repeated
            {
                *done.entry(format!("audit {} {}", row.action, row.verdict)).or_default() += row.count;
            }
        }
        lines.extend(done.into_iter().map(|(what, count)| format!("{what}: {count}")));
        if counts {
            let Metrics { submitted, completed, failed, cancelled, open, .. } = engine.metrics();
            lines.push(format!("counted {submitted} submitted, {completed} completed, {failed} failed, {cancelled} cancelled, {open} open"));
        }
        let unnamed =
            |line: String| rows.tasks.keys().fold(line, |line, id| line.replace(&id.to_string(), "ID"));
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        for line in lines.into_iter().map(unnamed) {
            *counted.entry(line).or_default() += 1;
        }
        counted.into_iter().map(|(line, count)| format!("{count} × {line}")).collect()
    }
}

/// Without the marks: what is refused may be tried again by another instance, which they show.
fn steps_of(steps: &StepsView) -> String {
    let of = |entry: &TraceView| match entry {
        TraceView::Step(step) => Some(format!("{} {:?}", step.kind.name(), step.state)),
        TraceView::Mark(_) => None,
    };
    let shown: Vec<_> = steps.entries.iter().filter_map(of).collect();
    format!("{}, {} unreadable", shown.join(", "), steps.unreadable)
}

/// Which fields differ, by name.
fn differences(memory: &Status, disk: &Status) -> String {
    let fields = |status: &Status| -> Vec<String> {
        format!("{status:#?}")
            .lines()
            .filter(|line| line.starts_with("    ") && !line.starts_with("     "))
            .map(str::to_owned)
            .collect()
    };
    let (memory, disk) = (fields(memory), fields(disk));
    let seen: Vec<&str> = memory.iter().filter(|line| !disk.contains(line)).map(|line| line.trim()).collect();
    format!(" ({})", seen.join(" "))
}
