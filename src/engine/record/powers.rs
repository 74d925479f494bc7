//! What a task may still do, asked at each of its steps that acts: what it was given, as far as its principal's token and
//! its component's grant have it now. A change of either is counted, so that the answer is made again only then.
//!
//! A refusal depends on the moment: the one that asks records it where the step's own answer would stand, so that replay
//! meets the same. Nothing is asked while a journal is replayed.

use std::sync::Arc;

use super::recorder::Recorder;
use crate::authority::{Capability, Grant, Lost, Powers, Principal, Regranted, SecretGrant, Standing};
use crate::catalog::ToolEntry;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::shared::Shared;
use crate::task::Task;

impl Shared {
    /// How the owner of a task stands now.
    pub fn standing(&self, principal: &str) -> Standing {
        self.memory.tokens.standing(principal)
    }

    /// What the task may do now.
    pub fn powers(&self, task: &Task) -> Powers {
        Powers { standing: self.standing(&task.principal), component: self.regranted(task) }
    }

    /// What the task's component is granted now, where that is not what the task was given. A component that is not
    /// served any more leaves its tasks what they have: blocking it stops them.
    fn regranted(&self, task: &Task) -> Option<Regranted> {
        let catalog = self.catalog();
        let Some(entry) = catalog.callable(&task.tool) else {
            // It waits for approval.
            return differing(task, &catalog.unapproved_with(&task.tool)?.reasons.kept.grant);
        };
        let now = if entry.tool.component == task.component {
            &entry.tool.grant
        } else {
            // Another version of it: what its name is granted holds for both.
            let component = catalog.component(&entry.tool.component_name)?;
            if component.holdings.trusted {
                return None;
            }
            &component.holdings.grant
        };
        differing(task, now)
    }
}

fn differing(task: &Task, now: &Grant) -> Option<Regranted> {
    (*now != task.grant).then(|| Regranted { given: task.grant.clone(), now: now.clone() })
}

impl Shared {
    /// Whether the operator built the component of this task, or trusts it unseen. What is not served any more is no
    /// one's own.
    pub fn is_operators_own(&self, task: &Task) -> bool {
        let catalog = self.catalog();
        let entry = catalog.callable(&task.tool).filter(|entry| entry.tool.component == task.component);
        let component = entry.and_then(|entry| catalog.component(&entry.tool.component_name));
        component.is_some_and(|component| component.holdings.trusted)
    }

    /// Whether this tool takes no calls.
    pub fn is_blocked(&self, entry: &ToolEntry) -> bool {
        self.memory.blocks.has(&entry.tool.component_name, &entry.tool.component)
    }
}

impl Recorder {
    /// The secrets that the task may have put into its requests now: those that it was given, from where they come now.
    pub fn secrets(&self) -> Vec<SecretGrant> {
        let Some(task) = self.entry().lock().task.clone() else { return Vec::new() };
        match &self.powers_of(&task).component {
            Some(regranted) => {
                task.grant.secrets.iter().filter_map(|one| regranted.now.secret(one)).collect()
            }
            None => task.grant.secrets.clone(),
        }
    }

    /// What the task may do now; `None` once the attempt is over.
    pub fn powers(&self) -> Option<Arc<Powers>> {
        let task = self.entry().lock().task.clone()?;
        Some(self.powers_of(&task))
    }

    /// The same for those who hold the task's lock.
    pub(in crate::engine) fn powers_of(&self, task: &Task) -> Arc<Powers> {
        // Read before the answer is made: a change meanwhile is found the next time.
        let count = self.shared().memory.powers.count();
        let mut known = self.known_powers();
        match &*known {
            Some((of, powers)) if *of == count => powers.clone(),
            _ => {
                let powers = Arc::new(self.shared().powers(task));
                *known = Some((count, powers.clone()));
                powers
            }
        }
    }

    /// Whether the task may still do this, for a step that is done now and not replayed.
    pub(in crate::engine) fn check_power(&self, capability: Capability<'_>) -> Result<(), Lost> {
        self.checked(|powers| powers.check(capability))
    }

    /// The same of what needs no grant: whether anything may be done in its owner's name.
    pub(in crate::engine) fn check_standing(&self) -> Result<(), Lost> {
        self.checked(|powers| powers.standing.check_any())
    }

    /// Whether `check` finds that it may, with a row of the audit where it may not.
    pub fn checked(&self, check: impl FnOnce(&Powers) -> Result<(), Lost>) -> Result<(), Lost> {
        // An attempt that is over records nothing of it.
        let Some(task) = self.entry().lock().task.clone() else { return Ok(()) };
        let checked = check(&self.powers_of(&task));
        checked.inspect_err(|lost| self.audit_lost(&task, *lost))
    }

    /// Ends once `check` finds that the task may not, with a row of the audit: for what is under way.
    pub async fn lost(&self, check: impl Fn(&Powers) -> Result<(), Lost>) -> Lost {
        self.shared().memory.powers.until(|| self.checked(&check).err()).await
    }

    pub(in crate::engine) fn audit_lost(&self, task: &Task, lost: Lost) {
        let owner = Principal::new(task.principal.clone(), Vec::new());
        let subject = Subject::of_task(AuditAction::Act, task.id).tool(&task.tool, &task.component);
        self.shared().audit.record_refused(&owner, subject, lost.word());
    }
}
