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
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RevokedToken {
    pub name: String,
}

shown_as_it_is!(RevokedToken);

impl Operation for TokenRevoke {
    type Response = RevokedToken;

    const NAME: &'static str = "token_revoke";
    const TITLE: &'static str = "Revoke a token";
    const DESCRIPTION: &'static str = "Revoke a token. The tasks of its principal go on.";
    const HINTS: Annotations = REPLACES;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<RevokedToken, ApiError> {
        engine.revoke_token(caller.principal, &self.name).await?;
        Ok(RevokedToken { name: self.name })
    }
}
