//! What open tasks came to that were tried with another version of their component, or moved to it: counted and grouped.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::api::{TrialDocument, TrialOutcome, TrialsListed};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Result};
use crate::cli::show::render::escape;
use crate::limits;
use crate::task::TaskId;

/// All that came of one command.
#[derive(Debug, Serialize)]
pub struct Trials {
    pub name: String,
    /// Digest of the version.
    pub component: Option<String>,
    pub counts: BTreeMap<TrialOutcome, usize>,
    groups: Vec<Group>,
    pub tasks: Vec<TrialDocument>,
    /// Not all were tried: these go on behind this one.
    #[serde(skip)]
    next: Option<TaskId>,
}

/// Tasks that came to the same.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Group {
    verdict: TrialOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    tasks: Vec<String>,
}

impl Trials {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            component: None,
            counts: BTreeMap::new(),
            groups: Vec::new(),
            tasks: Vec::new(),
            next: None,
        }
    }

    /// What the next request goes on with.
    pub fn next(&self) -> (Option<String>, Option<TaskId>) {
        (self.component.clone(), self.next)
    }

    pub fn has_more(&self) -> bool {
        self.next.is_some()
    }

    pub fn take(&mut self, page: TrialsListed) {
        let TrialsListed { component, tasks, next, .. } = page;
        (self.component, self.next) = (Some(component), next);
        for task in tasks {
            *self.counts.entry(task.verdict).or_default() += 1;
            if !is_well(task.verdict) {
                self.group(&task);
            }
            self.tasks.push(task);
        }
    }

    pub fn count(&self, verdict: TrialOutcome) -> usize {
        self.counts.get(&verdict).copied().unwrap_or_default()
    }

    fn group(&mut self, task: &TrialDocument) {
        let TrialDocument { task_id, verdict, step, journal, guest, why, .. } = task.clone();
        let is_it = |group: &&mut Group| {
            (group.verdict, group.step) == (verdict, step)
                && (&group.journal, &group.guest, &group.why) == (&journal, &guest, &why)
        };
        match self.groups.iter_mut().find(is_it) {
            Some(group) => group.tasks.push(task_id),
            None => self.groups.push(Group { verdict, step, journal, guest, why, tasks: vec![task_id] }),
        }
    }

    fn is_well(&self) -> bool {
        self.counts.keys().all(|verdict| is_well(*verdict))
    }

    /// How many came to what, in one line.
    pub fn summary(&self) -> String {
        if self.tasks.is_empty() {
            return "no open task has another version".to_owned();
        }
        let parts: Vec<String> =
            self.counts.iter().map(|(verdict, count)| format!("{count} {}", words(*verdict))).collect();
        parts.join(", ")
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for group in self.groups.iter().take(limits::MAX_TRIAL_GROUPS_SHOWN) {
            lines.push(group.line());
            lines.push(format!("  {}", group.named()));
        }
        let more = self.groups.len().saturating_sub(limits::MAX_TRIAL_GROUPS_SHOWN);
        if more > 0 {
            lines.push(format!("and {more} kinds more: --json has all"));
        }
        lines
    }
}

impl Group {
    fn line(&self) -> String {
        let count = self.tasks.len();
        let of = |text: &Option<String>| escape(text.as_deref().unwrap_or_default());
        match (self.verdict, self.step) {
            (TrialOutcome::Differs, Some(step)) => format!(
                "{count} differ at step {step}: the journal has {}, the component does {}",
                of(&self.journal),
                of(&self.guest)
            ),
            (verdict, _) => format!("{count} {}: {}", words(verdict), of(&self.why)),
        }
    }

    fn named(&self) -> String {
        let shown = limits::MAX_TRIED_TASKS_SHOWN;
        let some: Vec<String> = self.tasks.iter().take(shown).map(|task| escape(task)).collect();
        match self.tasks.len().saturating_sub(shown) {
            0 => some.join(", "),
            more => format!("{}, and {more} more", some.join(", ")),
        }
    }
}

fn is_well(verdict: TrialOutcome) -> bool {
    matches!(verdict, TrialOutcome::GoesOn | TrialOutcome::Moved)
}

fn words(verdict: TrialOutcome) -> &'static str {
    match verdict {
        TrialOutcome::GoesOn => "would go on",
        TrialOutcome::Moved => "moved",
        TrialOutcome::Busy => "not moved",
        TrialOutcome::Differs => "differ",
        TrialOutcome::Fails => "would not go on",
        TrialOutcome::NotTried => "not tried",
    }
}

pub fn show(trials: &Trials, context: &Context) -> Result<Exit> {
    let output = context.output;
    if output.json {
        output.json(trials)?;
    } else {
        let version = trials.component.as_deref().unwrap_or_default();
        output.line(format!("{}: {} ({version})", escape(&trials.name), trials.summary()))?;
        trials.lines().iter().try_for_each(|line| output.line(line))?;
    }
    Ok(if trials.is_well() { Exit::Done } else { Exit::Failed })
}
