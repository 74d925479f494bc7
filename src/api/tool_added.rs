use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, READS, shown_as_it_is};
use crate::catalog::Annotations;
use crate::engine::TaskEngine;

/// The components that were added, and where each is from.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolAdded {}

/// A component that was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedFrom {
    pub name: String,
    /// Its digest.
    pub component: String,
    /// Its file, or its place in a registry with the digest that it had there.
    pub from: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AddedListed {
    pub added: Vec<AddedFrom>,
}

shown_as_it_is!(AddedListed);

impl Operation for ToolAdded {
    type Response = AddedListed;

    const NAME: &'static str = "tool_added";
    const TITLE: &'static str = "List what was added";
    const DESCRIPTION: &'static str = "List the components that were added, and where each is from.";
    const HINTS: Annotations = READS;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, _: &Caller<'_>) -> Result<AddedListed, ApiError> {
        let added = engine.added().await?;
        let of = |added: crate::engine::Added| AddedFrom {
            name: added.name,
            component: added.version.component.to_string(),
            from: added.version.from.to_string_lossy().into_owned(),
        };
        Ok(AddedListed { added: added.into_iter().map(of).collect() })
    }
}
