use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::authority::Grant;
use crate::catalog::assemble::Candidate;
use crate::catalog::bounds::RefusedBound;
use crate::catalog::definition::ToolDefinition;
use crate::catalog::entry::Component;
use crate::catalog::error::CatalogError;
use crate::catalog::operator::Operator;
use crate::catalog::signature::Signed;
use crate::task::{ComponentId, Effects, RetryPolicy, TaskLimits, canonical};

/// What an approval is of: all that a component and its manifest say and want, and what the operator grants it. How the
/// operator has its tools answered is no part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    pub component: ComponentId,
    pub version: Option<String>,
    /// Host interfaces, sorted.
    pub imports: Vec<String>,
    pub tools: BTreeMap<String, ToolDefinition>,
    pub requested: Grant,
    pub granted: Grant,
    #[serde(with = "super::stated_limits")]
    pub limits: TaskLimits,
    /// Bounds that are asked for and not given, in words.
    pub wanted: Vec<String>,
    pub retry: RetryPolicy,
    pub effects: Effects,
    /// By whom its bytes are signed, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

impl Statement {
    /// The candidate counts as one without trust, whether it is or not.
    pub fn of(candidate: Candidate, operator: &Operator) -> Result<Self, CatalogError> {
        let effects = Effects::from(candidate.manifest.effects.clone());
        let signed = candidate.signed.clone();
        let candidate = Candidate { trusted: false, ..candidate };
        let Component { id, version, tools, holdings, .. } =
            Component::assemble(candidate, &operator.for_approvals())?;
        let mut imports = holdings.imports;
        imports.sort();
        let definitions = tools.into_iter().map(|entry| entry.tool.definition.clone());
        Ok(Self {
            component: id,
            version,
            imports,
            tools: definitions.map(|definition| (definition.name.clone(), definition)).collect(),
            requested: holdings.requested,
            granted: holdings.grant,
            limits: holdings.limits,
            wanted: holdings.refused.iter().map(RefusedBound::to_string).collect(),
            retry: holdings.retry,
            effects,
            signed,
        })
    }

    /// `blake3:…` of the statement in canonical JSON: what a person has seen is named by it.
    pub fn digest(&self) -> String {
        // Maps with keys that are text, and nothing that fails to serialise.
        let text = serde_json::to_value(self).map(|value| canonical(&value)).unwrap_or_default();
        format!("blake3:{}", blake3::hash(text.as_bytes()).to_hex())
    }

    /// Whether it may do nothing but compute, and wants no power to do more. Bounds are none: those it asks for are not given.
    pub fn asks_for_nothing(&self) -> bool {
        self.requested.is_empty() && self.granted.is_empty()
    }
}
