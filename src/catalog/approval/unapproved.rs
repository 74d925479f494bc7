use super::admission::Reasons;
use super::statement::Statement;
use crate::catalog::entry::Component;

/// A component that is not served before a person approves it.
#[derive(Clone, Debug)]
pub struct Unapproved {
    pub component: Component,
    pub statement: Statement,
    pub reasons: Reasons,
}

impl Unapproved {
    pub fn has_tool(&self, name: &str) -> bool {
        self.component.tools.iter().any(|entry| entry.tool.definition.name == name)
    }
}
