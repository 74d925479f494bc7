use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entry::ListedEntry;
use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, READS, shown_as_it_is};
use super::schema;
use crate::catalog::Annotations;
use crate::engine::{StateQuery, TaskEngine};
use crate::limits;

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateList {
    /// a-z, 0-9, '.', '_' and '-'.
    #[schemars(length(min = 1, max = limits::MAX_STATE_NAMESPACE_BYTES))]
    pub namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_STATE_KEY_BYTES))]
    pub prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = limits::MAX_PAGE_ROWS))]
    pub limit: Option<usize>,
    /// next_cursor of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StateListed {
    pub entries: Vec<ListedEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

shown_as_it_is!(StateListed);

impl Operation for StateList {
    type Response = StateListed;

    const NAME: &'static str = "state_list";
    const TITLE: &'static str = "List shared state";
    const DESCRIPTION: &'static str =
        "List the entries of a namespace in the order of their keys, without their values.";
    const HINTS: Annotations = READS;
    const AUDIENCE: Audience = Audience::State;

    fn answers() -> Option<Value> {
        Some(schema::of_response::<StateListed>())
    }

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<StateListed, ApiError> {
        let Self { namespace, prefix, limit, cursor } = self;
        let query =
            StateQuery { prefix: prefix.unwrap_or_default(), limit: limit.unwrap_or_default(), cursor };
        let page = engine.state_list(caller.principal, &namespace, &query).await?;
        let entries = page.entries.into_iter().map(ListedEntry::from).collect();
        Ok(StateListed { entries, next_cursor: page.next_cursor })
    }
}
