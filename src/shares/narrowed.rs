use serde::{Deserialize, Serialize};

/// What a token narrows its principal's shares to. What is not set is as for every other principal, and nothing here
/// widens a share. A row of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Narrowed {
    /// Requests a second.
    pub rate: Option<u32>,
    pub memory_mib: Option<u64>,
    /// Open tasks.
    pub tasks: Option<u64>,
    /// Bytes in the store. In a row of its own: the others' has a shape that earlier builds wrote.
    #[serde(skip)]
    pub store_mib: Option<u64>,
}

impl Narrowed {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
