//! A host that a guest asked for and was refused. Toolchains tell their guests little of it, so it is said where a
//! person looks: in the task's log and document, on the server's stderr, and in the audit.

use serde::{Deserialize, Serialize};

use super::error::RecorderError;
use super::recorder::Recorder;
use crate::authority::{Grant, HttpPattern, Lost, Principal};
use crate::catalog::grant_lines;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::memory::hosts::HostRule;
use crate::engine::next::NextAction;
use crate::limits;
use crate::task::Task;

/// What the log says of one more refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InLog {
    Named,
    /// That there are more, which are not listed.
    More,
    Nothing,
}

/// What one instance was refused and its log names: a guest can name hosts without end.
#[derive(Default)]
pub struct NamedHosts {
    named: Vec<HttpPattern>,
    has_more: bool,
}

impl NamedHosts {
    /// The same refusals come to the same lines.
    pub fn add(&mut self, wanted: &HttpPattern) -> InLog {
        if self.named.contains(wanted) {
            InLog::Nothing
        } else if self.named.len() < limits::MAX_REFUSED_HOST_LINES {
            self.named.push(wanted.clone());
            InLog::Named
        } else if std::mem::replace(&mut self.has_more, true) {
            InLog::Nothing
        } else {
            InLog::More
        }
    }
}

impl Recorder {
    /// The request was refused by the task's grant alone, so that replay refuses it again: the lines in the log are
    /// made again there like the guest's own. `granted` is what the grant has for this host otherwise.
    pub fn refused_by_grant(
        &self,
        wanted: &HttpPattern,
        granted: Option<&HttpPattern>,
        in_log: InLog,
    ) -> Result<(), RecorderError> {
        self.was_refused(&format!("http = [\"{wanted}\"]"));
        let is_new = match in_log {
            InLog::Named => self.host_line(self.log_lines(wanted, granted).as_bytes())?,
            InLog::More => self.host_line(self.more().as_bytes())?,
            InLog::Nothing => self.is_new()?,
        };
        if is_new {
            self.tell_refused(wanted, HostRule::NotGranted);
        }
        Ok(())
    }

    /// The same of a request that the task has lost the power for: its operation's outcome says so.
    pub fn refused_by_power(&self, wanted: &HttpPattern, lost: Lost) -> Result<(), RecorderError> {
        let message = format!("{} was refused: {lost}", shown(wanted));
        self.with(|state, _| {
            state.status_mut().message.get_or_insert(message);
            Ok(())
        })?;
        self.mark_dirty();
        Ok(())
    }

    /// To be called where it happens, and not where replay brings it again.
    pub fn refused_by_address(&self, wanted: &HttpPattern) {
        self.tell_refused(wanted, HostRule::Address);
    }

    fn tell_refused(&self, wanted: &HttpPattern, rule: HostRule) {
        let Some(task) = self.entry().lock().task.clone() else { return };
        let host = shown(wanted);
        let (word, words) = match rule {
            HostRule::NotGranted => ("not_granted", "it is not granted"),
            HostRule::Address => (
                "address",
                "it leads to this machine, or to an address that is not the public internet's, which must be granted \
                 and asked for as the address that it is; a listener of this server's own is never granted",
            ),
        };
        let is_changed = self.with(|state, _| {
            let is_first = state.status().message.is_none();
            if is_first {
                state.status_mut().message = Some(format!("{host} was refused: {words}"));
            }
            Ok(is_first)
        });
        if is_changed.unwrap_or(false) {
            self.mark_dirty();
        }
        let owner = Principal::new(task.principal.clone(), Vec::new());
        let subject = Subject::of_task(AuditAction::Reach, task.id).tool(&task.tool, &task.component);
        self.shared().audit.record_refused(&owner, subject, &format!("{word} {host}"));
        if self.shared().told_hosts.is_first(&task.component, rule, &host) {
            self.warn(&task, wanted, rule, words);
        }
    }

    fn warn(&self, task: &Task, wanted: &HttpPattern, rule: HostRule, words: &str) {
        let catalog = self.shared().catalog();
        let entry = catalog.tool(&task.tool).filter(|entry| entry.tool.component == task.component);
        let component = entry.map_or("NAME", |entry| &entry.tool.component_name);
        let (tool, host) = (&task.tool, shown(wanted));
        match what_grants(component, wanted).filter(|_| rule == HostRule::NotGranted) {
            Some(lines) => tracing::warn!("{tool} was refused {host}: {words}; {TO_GRANT}:\n{lines}"),
            None => tracing::warn!("{tool} was refused {host}: {words}"),
        }
    }

    /// The component is NAME there: replay makes the same lines, whatever the component is called by then.
    fn log_lines(&self, wanted: &HttpPattern, granted: Option<&HttpPattern>) -> String {
        let otherwise = match granted {
            Some(granted) => format!("granted is {}, and scheme and port count", shown(granted)),
            None => "it is not granted".to_owned(),
        };
        let host = shown(wanted);
        let Some(lines) = what_grants("NAME", wanted) else {
            return format!("[longhaul: {host} was refused: {otherwise}]\n");
        };
        let list = (self.shared().commands)(&NextAction::ListTools);
        let as_listed = list.map_or_else(String::new, |command| format!(" as `{command}` has it"));
        format!(
            "[longhaul: {host} was refused: {otherwise}; {TO_GRANT}; NAME is the component's name{as_listed}:]\n{lines}\n"
        )
    }

    fn more(&self) -> String {
        let where_listed = self.shared().advised(": ", &NextAction::ListRefused);
        format!("[longhaul: more was refused, which is not listed here{where_listed}]\n")
    }
}

const TO_GRANT: &str =
    "to grant it, in longhaul.toml (where that table is there already, its `http` takes the host)";

/// Each on a line of its own, as TOML wants it. None where it is too long to be a host's name.
fn what_grants(component: &str, wanted: &HttpPattern) -> Option<String> {
    let is_shown_whole = wanted.to_string().len() <= limits::MAX_SHOWN_HOST_BYTES;
    is_shown_whole.then(|| grant_lines(component, &Grant { http: vec![wanted.clone()], ..Grant::default() }))
}

/// Within its bound: the host is the guest's own text, in the characters that hosts have.
fn shown(pattern: &HttpPattern) -> String {
    let mut text = pattern.to_string();
    if text.len() > limits::MAX_SHOWN_HOST_BYTES {
        text.truncate(text.floor_char_boundary(limits::MAX_SHOWN_HOST_BYTES));
        text.push('…');
    }
    text
}
