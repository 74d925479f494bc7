//! A host that a guest asked for and was refused. Toolchains tell their guests little of it, so it is said where a
//! person looks: in the task's log and document, on the server's stderr, and in the audit.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::audit::{self, Deed, Subject};
use super::recorder::{Recorder, RecorderError};
use crate::authority::{Grant, HttpPattern, Principal};
use crate::catalog::grant_lines;
use crate::limits;
use crate::task::{ComponentId, Task};

/// By which rule a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostRule {
    /// No grant of the task names it.
    NotGranted,
    /// It is granted, and its name leads to an address that is not dialled for a name.
    Address,
}

/// What was told on stderr already: once a component, rule and host.
#[derive(Default)]
pub struct ToldHosts(Mutex<HashSet<(ComponentId, HostRule, String)>>);

impl ToldHosts {
    /// Whether this is the first time. Beyond its bound nothing is: a guest can name hosts without end.
    fn is_first(&self, component: &ComponentId, rule: HostRule, host: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < limits::MAX_TOLD_HOSTS && told.insert((component.clone(), rule, host.to_owned()))
    }
}

impl Recorder {
    /// The request was refused by the task's grant alone, so that replay refuses it again: the line in the log is
    /// made anew there like the guest's own. `granted` is what the grant has for this host otherwise.
    pub fn refused_by_grant(
        &self,
        wanted: &HttpPattern,
        granted: Option<&HttpPattern>,
    ) -> Result<(), RecorderError> {
        let host = shown(wanted);
        let otherwise = match granted {
            Some(granted) => format!("granted is {}, and scheme and port count", shown(granted)),
            None => "it is not granted".to_owned(),
        };
        let line = format!(
            "[longhaul: {host} was refused: {otherwise}; what would grant it, in longhaul.toml: [grants.NAME] http = \
             [\"{host}\"]]\n"
        );
        let is_new = self.host_line(line.as_bytes())?;
        if is_new {
            self.tell_refused(wanted, HostRule::NotGranted);
        }
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
                 and asked for as the address that it is",
            ),
        };
        let _ = self.with(|state, _| {
            let status = state.status_mut();
            if status.message.is_none() {
                status.message = Some(format!("{host} was refused: {words}"));
            }
            Ok(())
        });
        self.mark_dirty();
        let owner = Principal::new(task.principal.clone(), Vec::new());
        let subject = Subject::of_task(Deed::Reach, task.id).tool(&task.tool, &task.component);
        audit::refused(self.shared(), &owner, subject, &format!("{word} {host}"));
        if self.shared().told_hosts.is_first(&task.component, rule, &host) {
            self.warn(&task, wanted, rule, words);
        }
    }

    fn warn(&self, task: &Task, wanted: &HttpPattern, rule: HostRule, words: &str) {
        let catalog = self.shared().catalog();
        let entry = catalog.tool(&task.tool).filter(|entry| entry.tool.component == task.component);
        let component = entry.map_or("NAME", |entry| &entry.tool.component_name);
        let grant = Grant { http: vec![wanted.clone()], ..Grant::default() };
        let lines = grant_lines(component, &grant).replace('\n', " ");
        let (tool, host) = (&task.tool, shown(wanted));
        match rule {
            HostRule::NotGranted => {
                tracing::warn!("{tool} was refused {host}: {words}; to grant it, in longhaul.toml: {lines}");
            }
            HostRule::Address => tracing::warn!("{tool} was refused {host}: {words}"),
        }
    }
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
