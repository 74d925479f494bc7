//! What replay finds where a guest does something else than before.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("replay diverged at record {record}: the journal has {expected}, the guest does {actual}")]
pub struct Divergence {
    /// Number of the record, from 0.
    pub record: u64,
    pub expected: String,
    pub actual: String,
}
