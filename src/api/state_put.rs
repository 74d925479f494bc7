use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, REPLACES, shown_as_it_is};
use super::schema;
use crate::catalog::Annotations;
use crate::engine::{StateWrite, TaskEngine};
use crate::limits;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatePut {
    /// a-z, 0-9, '.', '_' and '-'.
    #[schemars(length(min = 1, max = limits::MAX_STATE_NAMESPACE_BYTES))]
    pub namespace: String,
    #[schemars(length(min = 1, max = limits::MAX_STATE_KEY_BYTES))]
    pub key: String,
    /// What the entry holds.
    #[schemars(schema_with = "schema::any_json")]
    pub value: Value,
    /// Only if this is the entry's version; 0: only if there is no entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u64>,
    /// After this it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = limits::MAX_STATE_TTL_SECONDS))]
    pub ttl_seconds: Option<u64>,
}

/// The version that an entry has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Written {
    /// Grows with every write; 0: there is no entry.
    pub version: u64,
}

shown_as_it_is!(Written);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}", self.version)
    }
}

impl Operation for StatePut {
    type Response = Written;

    const NAME: &'static str = "state_put";
    const TITLE: &'static str = "Write shared state";
    const DESCRIPTION: &'static str = "Write an entry of shared state. With if_version it is only written where nobody else has written meanwhile; a \
         lost race is an error that tells the present version.";
    const HINTS: Annotations = REPLACES;
    const AUDIENCE: Audience = Audience::State;

    fn answers() -> Option<Value> {
        Some(schema::of_response::<Written>())
    }

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<Written, ApiError> {
        let Self { namespace, key, value, if_version, ttl_seconds } = self;
        let put = StateWrite::put(key, value.to_string()).ttl_seconds(ttl_seconds).if_version(if_version);
        Written::by(put, &namespace, engine, caller).await
    }
}

impl Written {
    pub(super) async fn by(
        write: StateWrite,
        namespace: &str,
        engine: &TaskEngine,
        caller: &Caller<'_>,
    ) -> Result<Self, ApiError> {
        let versions = engine.state_write(caller.principal, namespace, vec![write]).await?;
        Ok(Self { version: versions.first().copied().unwrap_or_default() })
    }
}
