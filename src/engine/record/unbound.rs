//! Folders that a component asks for and that are bound to nothing. A guest sees none there, and its toolchain says no more
//! than that, so it is said where a person looks: in the task's message and on the server's stderr.

use super::recorder::Recorder;
use crate::authority::{FileGrant, Grant};
use crate::catalog::grant_lines;
use crate::engine::memory::hosts::HostRule;

impl Recorder {
    /// The guest looks which folders it has.
    pub fn looks_for_folders(&self) {
        let Some((component, missing)) = self.unbound() else { return };
        let lines = grant_lines(&component, &Grant { files: missing.clone(), ..Grant::default() });
        self.was_refused(lines.lines().last().unwrap_or_default());
        let Some(task) = self.entry().lock().task.clone() else { return };
        // The first one alone: a message is short.
        let FileGrant { slot, at, .. } = &missing[0];
        let words = format!("no folder is bound to the slot {slot}, so that {at} is not there");
        let message = format!(
            "{words}; bind one by longhaul tool approve {component} --bind {slot}=PATH, or by files in [grants.{component}] of \
             longhaul.toml"
        );
        // Of an attempt that is over nothing is said.
        let _ = self.with(|state, _| {
            state.status_mut().message.get_or_insert(message);
            Ok(())
        });
        self.mark_dirty();
        if self.shared().told_hosts.is_first(&task.component, HostRule::NotGranted, &format!("slot {slot}")) {
            tracing::warn!("{}: {words}; to bind folders, in longhaul.toml:\n{lines}", task.tool);
        }
    }

    /// The component's name, and what it asks for beyond what the task has.
    fn unbound(&self) -> Option<(String, Vec<FileGrant>)> {
        let task = self.entry().lock().task.clone()?;
        let catalog = self.shared().catalog();
        let entry = catalog.tool(&task.tool).filter(|entry| entry.tool.component == task.component)?;
        let component = catalog.component(&entry.tool.component_name)?;
        let mut missing = component.holdings.requested.files.clone();
        missing.retain(|asked| !task.grant.files.iter().any(|granted| granted.slot == asked.slot));
        (!missing.is_empty()).then(|| (component.name.clone(), missing))
    }
}
