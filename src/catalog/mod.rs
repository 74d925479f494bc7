//! Lives here: which components are there, their tools, manifests, and what the operator grants them.
//! May import: `store`, `task`, `authority`, `limits`. Never here: running anything, MCP, wasmtime.
//! Read first: `definition.rs`, then `manifest.rs`.

mod approval;
mod assemble;
mod bounds;
mod definition;
mod entry;
mod error;
mod file;
mod hidden;
mod manifest;
mod operator;
mod pending;
mod requests;
mod schema;
mod signature;
mod source;
#[doc(hidden)]
pub mod testing;
mod tool_bounds;
mod wassette;

pub use approval::{
    Admission, Approval, Approved, Bindable, BindingError, Bindings, FirstSight, Flag, Kept, Lock, Locked,
    Reasons, SeenAt, Selection, SelectionError, Since, Statement, Terms, Unapproved, admit, flags,
};
pub use assemble::Candidate;
pub use bounds::{RefusedBound, bound_lines};
pub use definition::{
    Annotations, InspectedTool, Inspection, Reply, SkippedExport, Tool, ToolDefinition, is_tool_name,
};
pub use entry::{ArgumentError, Component, Holdings, ToolEntry};
pub use error::{CatalogError, DefinitionError};
pub use file::{FileError, is_component_name, parse_toml, read_file, read_text, read_toml};
pub use hidden::{HiddenChar, find_hidden, show_hidden, show_in_json, show_text, show_value};
pub use manifest::{Capabilities, EffectsTable, LimitRequest, Manifest, RetryRequest, ToolText};
pub use operator::{
    ComponentTable, FileBinding, GrantTable, Operator, SecretBinding, ToolOverride, grant_lines,
};
pub use pending::Pending;
pub use requests::{RequestForm, RequestText, Requests};
pub use schema::{Schema, SchemaError, Violation};
pub use signature::{SignatureError, Signed, Signers, read_keys};
pub use source::{ComponentFile, ToolPath};
pub use tool_bounds::{Rate, ToolBounds};

use std::collections::BTreeMap;
use std::sync::Arc;

/// The tools that can be called: a value. Adding a component makes another catalog, so that a holder of an
/// `Arc<Catalog>` sees one and the same list for as long as it needs.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    tools: BTreeMap<String, Arc<ToolEntry>>,
    components: BTreeMap<String, Arc<Component>>,
    /// What no client sees, but tasks may call where they are granted it.
    reachable: BTreeMap<String, Arc<ToolEntry>>,
    /// What waits for a person's approval, by the component's name.
    unapproved: BTreeMap<String, Arc<Unapproved>>,
    /// A component's tools may be called neither so nor alike.
    reserved: Arc<[&'static str]>,
    loading: pending::Loading,
}

impl Catalog {
    /// An empty one for a server whose own tools have these names.
    pub fn reserving(names: impl IntoIterator<Item = &'static str>) -> Self {
        Self { reserved: names.into_iter().collect(), ..Self::default() }
    }

    pub fn tool(&self, name: &str) -> Option<&Arc<ToolEntry>> {
        self.tools.get(name)
    }

    /// A tool as a task may call it: also one that no client sees.
    pub fn callable(&self, name: &str) -> Option<&Arc<ToolEntry>> {
        self.tools.get(name).or_else(|| self.reachable.get(name))
    }

    /// All that tasks may call.
    pub fn callables(&self) -> impl Iterator<Item = &Arc<ToolEntry>> {
        self.tools.values().chain(self.reachable.values())
    }

    /// This catalog and more tools that no client sees.
    #[must_use]
    pub fn with_reachable(&self, entries: impl IntoIterator<Item = ToolEntry>) -> Self {
        let mut next = self.clone();
        let named = entries.into_iter().map(|entry| (entry.tool.definition.name.clone(), Arc::new(entry)));
        next.reachable.extend(named);
        next
    }

    /// Sorted by name.
    pub fn tools(&self) -> impl ExactSizeIterator<Item = &Arc<ToolEntry>> {
        self.tools.values()
    }

    /// Sorted by name.
    pub fn components(&self) -> impl ExactSizeIterator<Item = &Arc<Component>> {
        self.components.values()
    }

    pub fn component(&self, name: &str) -> Option<&Arc<Component>> {
        self.components.get(name)
    }

    /// What is not served before a person approves it. Sorted by name.
    pub fn unapproved(&self) -> impl ExactSizeIterator<Item = &Arc<Unapproved>> {
        self.unapproved.values()
    }

    /// The component that would have a tool of this name, were it approved.
    pub fn unapproved_with(&self, tool: &str) -> Option<&Arc<Unapproved>> {
        self.unapproved.values().find(|waiting| waiting.has_tool(tool))
    }

    /// This catalog and a component that waits for approval, in the place of all else of its name.
    #[must_use]
    pub fn with_unapproved(&self, waiting: Unapproved) -> Self {
        let mut next = self.without(&waiting.component.name);
        next.unapproved.insert(waiting.component.name.clone(), Arc::new(waiting));
        next
    }

    /// The same for another version of one: what is served of its name is served until the other is approved.
    #[must_use]
    pub fn with_waiting_version(&self, waiting: Unapproved) -> Self {
        let mut next = self.clone();
        next.loading.pending.remove(&waiting.component.name);
        next.unapproved.insert(waiting.component.name.clone(), Arc::new(waiting));
        next
    }

    /// This catalog without what waits under a name; what is served of it stays.
    #[must_use]
    pub fn without_waiting(&self, component: &str) -> Self {
        let mut next = self.clone();
        next.unapproved.remove(component);
        next
    }

    /// This catalog with a component served by an approval in the place of what it has of its name, served or not.
    pub fn with_approved(&self, component: &Component, approval: Approval) -> Result<Self, CatalogError> {
        self.without(&component.name).with(component.clone().approved_as(approval))
    }

    /// This catalog and one component more; nothing changes where any of its tools is refused.
    pub fn with(&self, component: Component) -> Result<Self, CatalogError> {
        if let Some(there) = self.components.values().find(|there| are_alike(&there.name, &component.name)) {
            return Err(CatalogError::ComponentTaken { name: component.name, there: there.name.clone() });
        }
        let mut taken: BTreeMap<String, (&str, &str)> = BTreeMap::new();
        for name in self.reserved.iter().copied() {
            taken.extend(looks(name).map(|look| (look, (name, "Longhaul itself"))));
        }
        for entry in self.tools.values() {
            let (name, owner) = (&*entry.tool.definition.name, &*entry.tool.component_name);
            taken.extend(looks(name).map(|look| (look, (name, owner))));
        }
        let mut next = self.clone();
        for entry in &component.tools {
            let name = &entry.tool.definition.name;
            let looks = looks(name);
            if let Some((other, owner)) = looks.iter().find_map(|look| taken.get(look)).copied() {
                return Err(CatalogError::ToolTaken {
                    tool: name.clone(),
                    component: component.name.clone(),
                    other: other.to_owned(),
                    owner: owner.to_owned(),
                });
            }
            taken.extend(looks.map(|look| (look, (&**name, &*component.name))));
            next.tools.insert(name.clone(), Arc::clone(entry));
        }
        next.loading.pending.remove(&component.name);
        next.components.insert(component.name.clone(), Arc::new(component));
        Ok(next)
    }

    /// This catalog without a component and its tools.
    pub fn without(&self, component: &str) -> Self {
        let mut next = self.clone();
        next.components.remove(component);
        next.unapproved.remove(component);
        next.loading.pending.remove(component);
        next.tools.retain(|_, entry| entry.tool.component_name != component);
        next.reachable.retain(|_, entry| entry.tool.component_name != component);
        next
    }
}

/// Names that differ in case, or in `-` and `_` alone, are the same name to a reader.
pub fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// How a name looks to a reader, in three ways that each make two names alike: but for case, `-` and `_`; by the skeleton
/// of UTS 39, which has one form for what looks the same (`I`, `l` and `1`, `O` and `0`, `rn` and `m`); and by that of its
/// capitals.
pub fn looks(name: &str) -> [String; 3] {
    let skeleton = |name: &str| folded(&unicode_security::skeleton(name).collect::<String>());
    let capitals = name.to_ascii_uppercase().replace('-', "_");
    let of_capitals: String = unicode_security::skeleton(&capitals).collect();
    [
        format!("folded {}", folded(name)),
        format!("skeleton {}", skeleton(name)),
        format!("capitals {of_capitals}"),
    ]
}

/// Whether a reader could take one name for the other.
pub fn are_alike(one: &str, other: &str) -> bool {
    let other = looks(other);
    looks(one).iter().any(|look| other.contains(look))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::ComponentId;
    use serde_json::json;

    pub(super) fn component(name: &str, tools: &[&str]) -> Component {
        let id = ComponentId::of_closures(name, "1");
        let tool = |tool: &&str| {
            let definition = ToolDefinition::new(*tool, "", json!({"type": "object"}));
            Tool::new(definition, id.clone(), name)
        };
        Component::of_tools(name, id.clone(), tools.iter().map(tool).collect()).expect("a component")
    }

    fn names(catalog: &Catalog) -> Vec<&str> {
        catalog.tools().map(|entry| entry.tool.definition.name.as_str()).collect()
    }

    #[test]
    fn tools_are_sorted_and_a_snapshot_stays_as_it_was() {
        let one = Catalog::default().with(component("b", &["run", "b"])).expect("fits");
        let two = one.with(component("a", &["z", "a"])).expect("fits");
        assert_eq!(names(&one), ["b", "run"]);
        assert_eq!(names(&two), ["a", "b", "run", "z"]);
        assert_eq!(names(&two.without("b")), ["a", "z"]);
        assert!(two.tool("run").is_some() && two.without("b").tool("run").is_none());
    }

    #[test]
    fn a_taken_or_confusable_name_is_refused_with_the_lines_to_write() {
        const OWN: [&str; 2] = ["task_list", "token_new"];
        let catalog = Catalog::reserving(OWN).with(component("first", &["save_ticket"])).expect("fits");
        for name in ["save_ticket", "Save_Ticket", "save-ticket"] {
            let seen = catalog.with(component("second", &["other", name])).expect_err("refused").to_string();
            for part in [name, "save_ticket", "'first'", "[components.second]", "prefix = \"second\""] {
                assert!(seen.contains(part), "{part} in {seen}");
            }
        }
        for (one, other) in [
            ("task_list", "task_Iist"),
            ("task_list", "task_1ist"),
            ("task_list", "TASK_L1ST"),
            ("token_new", "t0ken_new"),
            ("pay_bill", "pay_biII"),
            ("pay_bill", "pay_bi1l"),
            ("learn", "leam"),
            ("book-agent", "bo0k_agent"),
        ] {
            assert!(are_alike(one, other) && are_alike(other, one), "{one} {other}");
            let there = if OWN.contains(&one) {
                Catalog::reserving(OWN)
            } else {
                Catalog::default().with(component("x", &[one])).unwrap()
            };
            let seen = there.with(component("second", &[other])).expect_err(other).to_string();
            assert!(seen.contains(one) && seen.contains("prefix = \"second\""), "{seen}");
            let twice = Catalog::default().with(component("both", &["plain", one, other]));
            assert!(twice.is_err(), "{one} {other}");
        }
        for (one, other) in
            [("save_ticket", "get_ticket"), ("paid", "pals"), ("step_2", "step_3"), ("run", "ran")]
        {
            assert!(!are_alike(one, other), "{one} {other}");
        }
        let seen = catalog.with(component("fir5t", &["x"])).map(drop);
        assert_eq!(seen, Ok(()));
        let seen = catalog.with(component("f1rst", &["x"])).expect_err("refused").to_string();
        assert!(seen.contains("'f1rst'") && seen.contains("'first'"), "{seen}");
        let seen = catalog.with(component("third", &["Task-List"])).expect_err("refused").to_string();
        assert!(seen.contains("task_list") && seen.contains("Longhaul itself"), "{seen}");
        let seen = catalog.with(component("First", &["x"])).expect_err("refused").to_string();
        assert!(seen.contains("'First'") && seen.contains("'first'"), "{seen}");
    }
}
