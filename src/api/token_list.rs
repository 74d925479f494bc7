use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::documents::TokenDocument;
use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, READS, shown_as_it_is};
use crate::catalog::Annotations;
use crate::engine::TaskEngine;

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenList {}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenListed {
    pub tokens: Vec<TokenDocument>,
}

shown_as_it_is!(TokenListed);

impl Operation for TokenList {
    type Response = TokenListed;

    const NAME: &'static str = "token_list";
    const TITLE: &'static str = "List tokens";
    const DESCRIPTION: &'static str = "List the tokens that are valid, without their secrets.";
    const HINTS: Annotations = READS;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, _: &Caller<'_>) -> Result<TokenListed, ApiError> {
        Ok(TokenListed { tokens: engine.tokens().into_iter().map(TokenDocument::from).collect() })
    }
}
