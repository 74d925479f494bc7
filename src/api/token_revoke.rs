use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, REPLACES, shown_as_it_is};
use crate::catalog::Annotations;
use crate::engine::TaskEngine;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRevoke {
    pub name: String,
    /// Cancel the open tasks of its principal too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_tasks: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RevokedToken {
    pub name: String,
    /// How many tasks were cancelled with it.
    #[serde(default)]
    pub cancelled: u64,
}

shown_as_it_is!(RevokedToken);

impl Operation for TokenRevoke {
    type Response = RevokedToken;

    const NAME: &'static str = "token_revoke";
    const TITLE: &'static str = "Revoke a token";
    const DESCRIPTION: &'static str =
        "Revoke a token. The tasks of its principal do nothing more in its name, or are cancelled.";
    const HINTS: Annotations = REPLACES;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<RevokedToken, ApiError> {
        let Self { name, cancel_tasks } = self;
        let cancelled = match cancel_tasks {
            true => engine.revoke_token_and_tasks(caller.principal, &name).await?,
            false => engine.revoke_token(caller.principal, &name).await.map(|()| 0)?,
        };
        Ok(RevokedToken { name, cancelled })
    }
}
