//! A token as people read it.

use serde::{Deserialize, Serialize};

use crate::clock::rfc3339;
use crate::engine::TokenView;

/// A token, for people. The secret itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenDocument {
    pub name: String,
    pub tools: Vec<String>,
    pub state: Vec<String>,
    pub created_at: String,
}

impl From<TokenView> for TokenDocument {
    fn from(token: TokenView) -> Self {
        Self {
            name: token.name,
            tools: token.tools,
            state: token.state.iter().map(ToString::to_string).collect(),
            created_at: rfc3339(token.created_at),
        }
    }
}
