use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, READS, REPLACES, shown_as_it_is};
use crate::catalog::Annotations;
use crate::clock::rfc3339;
use crate::engine::{BlockView, TaskEngine};

/// Stop a component's tasks where they are, and take no calls of its tools.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolBlock {
    /// The component's name or digest, or the name of a tool of it.
    pub name: String,
}

/// Let the tasks of a blocked component go on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolUnblock {
    /// As it was named when it was blocked, or the name of a tool of it.
    pub name: String,
}

/// What is blocked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolBlocks {}

/// A component that is blocked, or was until now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDocument {
    /// Its name, or its digest.
    pub name: String,
    pub blocked_at: String,
    /// Its versions that are known, by their digests.
    pub components: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlocksListed {
    pub blocked: Vec<BlockDocument>,
}

shown_as_it_is!(BlockDocument, BlocksListed);

impl From<BlockView> for BlockDocument {
    fn from(block: BlockView) -> Self {
        Self {
            name: block.name,
            blocked_at: rfc3339(block.at),
            components: block.components.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Operation for ToolBlock {
    type Response = BlockDocument;

    const NAME: &'static str = "tool_block";
    const TITLE: &'static str = "Block a component";
    const DESCRIPTION: &'static str =
        "Stop the tasks of a component where they are, and refuse calls of its tools, until it is unblocked.";
    const HINTS: Annotations = REPLACES;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<BlockDocument, ApiError> {
        Ok(engine.block(caller.principal, &self.name).await?.into())
    }
}

impl Operation for ToolUnblock {
    type Response = BlockDocument;

    const NAME: &'static str = "tool_unblock";
    const TITLE: &'static str = "Unblock a component";
    const DESCRIPTION: &'static str = "Let the tasks of a blocked component go on where they were.";
    const HINTS: Annotations = REPLACES;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<BlockDocument, ApiError> {
        Ok(engine.unblock(caller.principal, &self.name).await?.into())
    }
}

impl Operation for ToolBlocks {
    type Response = BlocksListed;

    const NAME: &'static str = "tool_blocks";
    const TITLE: &'static str = "List blocked components";
    const DESCRIPTION: &'static str = "List the components that are blocked.";
    const HINTS: Annotations = READS;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, _: &Caller<'_>) -> Result<BlocksListed, ApiError> {
        Ok(BlocksListed { blocked: engine.blocked().into_iter().map(BlockDocument::from).collect() })
    }
}
