use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, REPLACES};
use super::schema;
use super::state_put::Written;
use crate::catalog::Annotations;
use crate::engine::{StateWrite, TaskEngine};
use crate::limits;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateDelete {
    /// a-z, 0-9, '.', '_' and '-'.
    #[schemars(length(min = 1, max = limits::MAX_STATE_NAMESPACE_BYTES))]
    pub namespace: String,
    #[schemars(length(min = 1, max = limits::MAX_STATE_KEY_BYTES))]
    pub key: String,
    /// Only if this is the entry's version; 0: only if there is no entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u64>,
}

impl Operation for StateDelete {
    type Response = Written;

    const NAME: &'static str = "state_delete";
    const TITLE: &'static str = "Delete shared state";
    const DESCRIPTION: &'static str = "Delete an entry of shared state. Written anew it goes on from the version that this gives; 0 says that there \
         was none.";
    const HINTS: Annotations = REPLACES;
    const AUDIENCE: Audience = Audience::State;

    fn answers() -> Option<Value> {
        Some(schema::of_response::<Written>())
    }

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<Written, ApiError> {
        let delete = StateWrite::delete(self.key).if_version(self.if_version);
        Written::by(delete, &self.namespace, engine, caller).await
    }
}
