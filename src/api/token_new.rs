use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::operation::{ADDS, Audience, Caller, Operation, shown_as_it_is};
use crate::catalog::Annotations;
use crate::engine::{TaskEngine, TokenGrant};

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
        let Self { name, tools, state } = self;
        let grant = TokenGrant { name: name.clone(), tools, state };
        Ok(NewToken { name, token: engine.new_token(caller.principal, grant).await? })
    }
}
