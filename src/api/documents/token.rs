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
    /// Requests a second, where its principal may have fewer than others; so are the following.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_mib: Option<u64>,
    pub created_at: String,
}

impl From<TokenView> for TokenDocument {
    fn from(token: TokenView) -> Self {
        Self {
            name: token.name,
            tools: token.tools,
            state: token.state.iter().map(ToString::to_string).collect(),
            rate: token.narrowed.rate,
            memory_mib: token.narrowed.memory_mib,
            tasks: token.narrowed.tasks,
            store_mib: token.narrowed.store_mib,
            created_at: rfc3339(token.created_at),
        }
    }
}
