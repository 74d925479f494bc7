use serde::{Deserialize, Serialize};

/// What is known and wanted about a tool's effects on the outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    pub unknown_outcome: UnknownOutcome,
    /// Hosts that heed an idempotency key: a request to them may be sent again.
    pub idempotent_hosts: Vec<String>,
}

/// What to do about an effect that left and of which it is not known whether it arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownOutcome {
    /// The task fails, and its owner settles it.
    #[default]
    Fail,
    /// It is sent again.
    Retry,
    /// A person is asked.
    Ask,
}
