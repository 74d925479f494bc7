use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, READS, shown_as_it_is};
use crate::catalog::{Annotations, RequestText};
use crate::engine::{EngineError, TaskEngine};
use crate::limits;

/// A component as it was added last, piece by piece.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolCopy {
    /// The component's name.
    pub name: String,
    /// Bytes.
    #[serde(default)]
    pub offset: u64,
}

/// A piece of it. Pieces with one digest are of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyPiece {
    pub base64: String,
    /// Of the whole.
    pub bytes: u64,
    pub component: String,
    /// What it requests, and its signature.
    pub requests: RequestText,
}

shown_as_it_is!(CopyPiece);

impl Operation for ToolCopy {
    type Response = CopyPiece;

    const NAME: &'static str = "tool_copy";
    const TITLE: &'static str = "Copy a component";
    const DESCRIPTION: &'static str =
        "Give the bytes of a component that was added, with what stands next to it.";
    const HINTS: Annotations = READS;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, _: &Caller<'_>) -> Result<CopyPiece, ApiError> {
        let Self { name, offset } = self;
        let added = engine.added().await?.into_iter().find(|added| added.name == name);
        let version = added.ok_or(EngineError::NotAdded(name))?.version;
        let whole = engine.component_bytes(&version.component).await?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len());
        let to = from.saturating_add(limits::MAX_COPY_PIECE_BYTES).min(whole.len());
        Ok(CopyPiece {
            base64: BASE64.encode(&whole[from..to]),
            bytes: whole.len() as u64,
            component: version.component.to_string(),
            requests: version.requests,
        })
    }
}
