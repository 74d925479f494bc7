use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entry::StateDocument;
use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, READS};
use super::schema;
use crate::catalog::Annotations;
use crate::engine::TaskEngine;
use crate::limits;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateGet {
    /// a-z, 0-9, '.', '_' and '-'.
    #[schemars(length(min = 1, max = limits::MAX_STATE_NAMESPACE_BYTES))]
    pub namespace: String,
    #[schemars(length(min = 1, max = limits::MAX_STATE_KEY_BYTES))]
    pub key: String,
}

impl Operation for StateGet {
    type Response = StateDocument;

    const NAME: &'static str = "state_get";
    const TITLE: &'static str = "Read shared state";
    const DESCRIPTION: &'static str = "Read an entry of shared state; version 0 says that there is none.";
    const HINTS: Annotations = READS;
    const AUDIENCE: Audience = Audience::State;

    fn answers() -> Option<Value> {
        Some(schema::of_response::<StateDocument>())
    }

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<StateDocument, ApiError> {
        let entry = engine.state_get(caller.principal, &self.namespace, &self.key).await?;
        Ok(StateDocument::of(entry.as_ref()))
    }
}
