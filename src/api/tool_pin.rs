use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, REPLACES, shown_as_it_is};
use crate::catalog::Annotations;
use crate::engine::TaskEngine;

/// Takes what another server offers now for what it is to offer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolPin {
    pub server: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pinned {
    /// What there is to say about it, in lines.
    pub words: Vec<String>,
}

shown_as_it_is!(Pinned);

impl Operation for ToolPin {
    type Response = Pinned;

    const NAME: &'static str = "tool_pin";
    const TITLE: &'static str = "Pin a server's tools";
    const DESCRIPTION: &'static str = "Take what another server offers now for what it is to offer.";
    const HINTS: Annotations = REPLACES;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<Pinned, ApiError> {
        Ok(Pinned { words: engine.pin(caller.principal, &self.server).await? })
    }
}
