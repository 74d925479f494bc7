//! A component as it is served: what its runner found, what its manifest says, what the operator says.
//!
//! Of a tool's text and reply the operator's word goes before the manifest's, and that before the component's.
//! Of powers only the operator's word counts: an untrusted component holds what `[grants.NAME]` says, whether
//! it requests it or not, and nothing else. A trusted one holds what it requests as well, but for folders and
//! secrets that the operator has bound to nothing. Bounds are in `bounds.rs`: without trust a manifest only lowers
//! them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bounds::Bounds;
use super::definition::{Annotations, InspectedTool, Inspection, Tool, ToolDefinition, is_tool_name};
use super::entry::{Component, Holdings, ToolEntry};
use super::error::{CatalogError, DefinitionError};
use super::file::is_component_name;
use super::manifest::{Manifest, ToolText};
use super::operator::{Operator, ToolOverride};
use super::signature::Signed;
use super::{folded, looks};
use crate::limits;
use crate::task::{ComponentId, Effects};

/// A component that was read and inspected, not judged yet.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The file's name without its ending.
    pub name: String,
    pub id: ComponentId,
    pub manifest: Manifest,
    pub inspection: Inspection,
    /// Built here from its operator's own workspace, or served with `--trust`.
    pub trusted: bool,
    /// Who signed it, as far as that was looked at.
    pub signed: Option<Signed>,
}

impl Component {
    pub fn assemble(candidate: Candidate, operator: &Operator) -> Result<Self, CatalogError> {
        let Candidate { name: file_name, id, manifest, inspection, trusted, signed: _ } = candidate;
        let name = component_name(file_name, &manifest)?;
        let tools = inspection.tools.len();
        if tools == 0 {
            let skipped: Vec<_> =
                inspection.skipped.iter().map(|s| format!("\n  {} {}", s.export, s.reason)).collect();
            return Err(CatalogError::NoTools { component: name, skipped: skipped.concat() });
        }
        if tools > limits::MAX_TOOLS_PER_COMPONENT {
            return Err(CatalogError::TooManyTools { component: name, tools });
        }
        let holdings = holdings(&name, &manifest, &inspection, operator, trusted);
        let named = Names { component: &name, manifest: &manifest, operator }.settle(&inspection)?;
        let effects = Effects::from(manifest.effects.clone());
        let mut entries: Vec<Arc<ToolEntry>> = Vec::with_capacity(tools);
        for (tool, Named { name: tool_name, text }) in inspection.tools.into_iter().zip(named) {
            let over = operator.tools.get(&tool_name);
            let tool = Tool {
                definition: merged(tool.definition, tool_name, text, over, operator.dedupe_seconds),
                component: id.clone(),
                component_name: name.clone(),
                binding: tool.binding,
                limits: holdings.limits.clone(),
                grant: holdings.grant.clone(),
                retry: holdings.retry.clone(),
                effects: effects.clone(),
            };
            let entry = ToolEntry::new(tool)
                .map_err(|source| CatalogError::Definition { component: name.clone(), source })?;
            entries.push(Arc::new(entry));
        }
        Ok(Self {
            name,
            id,
            version: manifest.version,
            tools: entries,
            holdings,
            skipped: inspection.skipped,
            approval: None,
        })
    }
}

/// Grants go by a component's name, so it is the file's: a manifest that named itself freely could take
/// another's grant. It may spell it its own way.
fn component_name(file: String, manifest: &Manifest) -> Result<String, CatalogError> {
    if !is_component_name(&file) {
        return Err(CatalogError::ComponentName { name: file.escape_debug().to_string() });
    }
    match &manifest.name {
        Some(name) if folded(name) != folded(&file) => {
            Err(CatalogError::ManifestName { file, name: name.clone() })
        }
        Some(name) => Ok(name.clone()),
        None => Ok(file),
    }
}

fn holdings(
    name: &str,
    manifest: &Manifest,
    inspection: &Inspection,
    operator: &Operator,
    trusted: bool,
) -> Holdings {
    let table = operator.grants.get(name).cloned().unwrap_or_default();
    let requested = manifest.capabilities.as_grant();
    let granted = table.as_grant();
    let grant = if trusted { granted.and(requested.clone()).bound() } else { granted };
    let Bounds { limits, retry, refused } = Bounds::settle(manifest, &table, trusted);
    Holdings {
        limits,
        retry,
        refused,
        manifest_digest: manifest.digest.clone(),
        denied: requested.beyond(&grant),
        grant,
        requested,
        trusted,
        imports: inspection.imports.clone(),
        denied_imports: inspection.denied_imports.clone(),
        toolchain: inspection.toolchain.clone(),
        notes: inspection.notes.clone(),
    }
}

fn merged(
    of_component: ToolDefinition,
    name: String,
    of_manifest: Option<&ToolText>,
    of_operator: Option<&ToolOverride>,
    default_dedupe_seconds: Option<u64>,
) -> ToolDefinition {
    let (text, over) = (of_manifest.cloned().unwrap_or_default(), of_operator.cloned().unwrap_or_default());
    let (hints, said) = (of_component.annotations, text.annotations);
    ToolDefinition {
        name,
        title: text.title.or(of_component.title),
        description: text.description.unwrap_or(of_component.description),
        annotations: Annotations {
            read_only: said.read_only.or(hints.read_only),
            destructive: said.destructive.or(hints.destructive),
            idempotent: said.idempotent.or(hints.idempotent),
            open_world: said.open_world.or(hints.open_world),
        },
        reply: over.reply.or(text.reply).unwrap_or(of_component.reply),
        inline_wait_seconds: over
            .inline_wait_seconds
            .or(text.inline_wait_seconds)
            .or(of_component.inline_wait_seconds),
        ask_first: over.ask_first.or(text.ask_first).unwrap_or(of_component.ask_first),
        cancel_when_lost: over
            .cancel_when_lost
            .or(text.cancel_when_lost)
            .unwrap_or(of_component.cancel_when_lost),
        dedupe_seconds: over
            .dedupe_seconds
            .or(text.dedupe_seconds)
            .or(of_component.dedupe_seconds)
            .or(default_dedupe_seconds),
        ..of_component
    }
}

/// The name under which clients see a tool, and what the manifest says of it.
struct Named<'a> {
    name: String,
    text: Option<&'a ToolText>,
}

struct Names<'a> {
    component: &'a str,
    manifest: &'a Manifest,
    operator: &'a Operator,
}

impl<'a> Names<'a> {
    /// One for each tool of the inspection, in its order.
    fn settle(&self, inspection: &Inspection) -> Result<Vec<Named<'a>>, CatalogError> {
        let mut names: Vec<Option<&str>> = vec![None; inspection.tools.len()];
        for (name, export) in exports(self.manifest.tools.iter().map(|(n, t)| (n, t.export.as_ref()))) {
            let index = self.find_export(name, export, inspection)?;
            if names[index].replace(name).is_some() {
                return Err(CatalogError::ExportTwice {
                    component: self.component.to_owned(),
                    export: export.to_owned(),
                });
            }
        }
        let own = self.apart(inspection, &names);
        for (name, _) in self.manifest.tools.iter().filter(|(_, text)| text.export.is_none()) {
            if !own.contains(name) {
                return Err(CatalogError::NoSuchTool {
                    component: self.component.to_owned(),
                    tool: name.clone(),
                    there: own.join(", "),
                });
            }
        }
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        let mut settled = Vec::with_capacity(own.len());
        for (tool, own) in inspection.tools.iter().zip(own) {
            let text = self.manifest.tools.get(&own);
            let name = self.operators_name(tool).unwrap_or_else(|| self.prefixed(&own));
            if !is_tool_name(&name) {
                return Err(self.unnameable(name, tool));
            }
            let looks = looks(&name);
            if let Some(other) = looks.iter().find_map(|look| seen.get(look)).cloned() {
                return Err(CatalogError::ToolTwice {
                    component: self.component.to_owned(),
                    tool: name,
                    other,
                    export: tool.export.clone().unwrap_or_default(),
                });
            }
            seen.extend(looks.map(|look| (look, name.clone())));
            settled.push(Named { name, text });
        }
        Ok(settled)
    }

    /// The names that the component and its manifest give. Typed exports that would meet get their
    /// interface's name in front, unless the manifest has named them.
    fn apart(&self, inspection: &Inspection, renamed: &[Option<&str>]) -> Vec<String> {
        let named = |(tool, renamed): (&InspectedTool, &Option<&str>)| match renamed {
            Some(name) => (*name).to_owned(),
            // A plain command has no name of its own.
            None if tool.definition.name.is_empty() => self.component.replace(['-', '.'], "_"),
            None => tool.definition.name.clone(),
        };
        let plain: Vec<String> = inspection.tools.iter().zip(renamed).map(named).collect();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for name in &plain {
            *counts.entry(folded(name)).or_default() += 1;
        }
        let tools = inspection.tools.iter().zip(renamed);
        let apart = plain.iter().zip(tools).map(|(name, (tool, renamed))| {
            let alone = counts.get(&folded(name)) == Some(&1);
            match interface_of(tool) {
                Some(interface) if !alone && renamed.is_none() => format!("{interface}_{name}"),
                _ => name.clone(),
            }
        });
        apart.collect()
    }

    fn find_export(&self, name: &str, export: &str, inspection: &Inspection) -> Result<usize, CatalogError> {
        let fits = |tool: &InspectedTool| tool.export.as_deref().is_some_and(|there| same(export, there));
        let mut found = inspection.tools.iter().enumerate().filter(|(_, tool)| fits(tool));
        let exports = || inspection.tools.iter().filter_map(|tool| tool.export.as_deref());
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Ok(index),
            (Some(_), Some(_)) => Err(CatalogError::ExportVersions {
                component: self.component.to_owned(),
                export: export.to_owned(),
                there: exports().filter(|there| same(export, there)).collect::<Vec<_>>().join(", "),
            }),
            (None, _) => {
                let skipped = inspection.skipped.iter().find(|skipped| same(export, &skipped.export));
                Err(CatalogError::NoSuchExport {
                    component: self.component.to_owned(),
                    tool: name.to_owned(),
                    export: export.to_owned(),
                    why: match skipped {
                        Some(skipped) => format!("it {}", skipped.reason),
                        None if exports().next().is_none() => format!(
                            "the tools of this component are its own definitions, which no export names: {}",
                            inspection
                                .tools
                                .iter()
                                .map(|tool| tool.definition.name.as_str())
                                .collect::<Vec<_>>()
                                .join(", ")
                        ),
                        None => format!("there are: {}", exports().collect::<Vec<_>>().join(", ")),
                    },
                })
            }
        }
    }

    fn operators_name(&self, tool: &InspectedTool) -> Option<String> {
        let there = tool.export.as_deref()?;
        let mut named = exports(self.operator.tools.iter().map(|(n, t)| (n, t.export.as_ref())));
        named.find(|(_, export)| same(export, there)).map(|(name, _)| name.to_owned())
    }

    fn prefixed(&self, name: &str) -> String {
        match self.operator.components.get(self.component).and_then(|table| table.prefix.as_deref()) {
            None => name.to_owned(),
            Some(prefix) if prefix.ends_with(['_', '-']) => format!("{prefix}{name}"),
            Some(prefix) => format!("{prefix}_{name}"),
        }
    }

    fn unnameable(&self, name: String, tool: &InspectedTool) -> CatalogError {
        let component = self.component.to_owned();
        match tool.export.clone() {
            Some(export) => CatalogError::Unnameable { component, name, export },
            None => CatalogError::Definition { component, source: DefinitionError::Name(name) },
        }
    }
}

fn exports<'a>(
    tables: impl Iterator<Item = (&'a String, Option<&'a String>)>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    tables.filter_map(|(name, export)| Some((name.as_str(), export?.as_str())))
}

/// Whether the export that an author wrote is the one that is there. The version may be left out.
fn same(written: &str, there: &str) -> bool {
    written == there || (!written.contains('@') && written == unversioned(there))
}

/// `ns:pkg/iface@1.0.0#func` without `@1.0.0`.
fn unversioned(export: &str) -> String {
    let (path, function) = export.split_once('#').unwrap_or((export, ""));
    let path = path.split('@').next().unwrap_or(path);
    if function.is_empty() { path.to_owned() } else { format!("{path}#{function}") }
}

/// The interface of a typed export, in snake case.
fn interface_of(tool: &InspectedTool) -> Option<String> {
    let export = unversioned(tool.export.as_deref()?);
    let (path, _) = export.split_once('#')?;
    let (_, interface) = path.rsplit_once('/')?;
    Some(interface.replace('-', "_"))
}

#[cfg(test)]
mod tests;
