use std::num::{NonZeroU32, NonZeroU64};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::operation::{ADDS, Audience, Caller, Operation, shown_as_it_is};
use crate::catalog::Annotations;
use crate::engine::{TaskEngine, TokenGrant};
use crate::shares::Narrowed;

/// A token for clients: what its principal is called, and what it may do.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenNew {
    pub name: String,
    /// Tools that it may call and see; globs.
    #[serde(default)]
    pub tools: Vec<String>,
    /// `NAMESPACE` or `NAMESPACE/KEY-GLOB`, either with `:read`.
    #[serde(default)]
    pub state: Vec<String>,
    /// Requests a second, where that is less than every principal has; so are the following.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<NonZeroU32>,
    /// Memory of its requests, answers and running tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<NonZeroU64>,
    /// Open tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<NonZeroU64>,
    /// What its tasks and its entries of shared state keep in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_mib: Option<NonZeroU64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewToken {
    pub name: String,
    /// The secret; nothing shows it again.
    pub token: String,
}

shown_as_it_is!(NewToken);

impl Operation for TokenNew {
    type Response = NewToken;

    const NAME: &'static str = "token_new";
    const TITLE: &'static str = "Make a token";
    const DESCRIPTION: &'static str = "Make a token for clients.";
    const HINTS: Annotations = ADDS;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<NewToken, ApiError> {
        let Self { name, tools, state, rate, memory_mib, tasks, store_mib } = self;
        let narrowed = Narrowed {
            rate: rate.map(NonZeroU32::get),
            memory_mib: memory_mib.map(NonZeroU64::get),
            tasks: tasks.map(NonZeroU64::get),
            store_mib: store_mib.map(NonZeroU64::get),
        };
        let grant = TokenGrant { name: name.clone(), tools, state, narrowed };
        Ok(NewToken { name, token: engine.new_token(caller.principal, grant).await? })
    }
}
