//! How a task's id stands in a request: as text, as its link gave it.

use serde::{Deserialize, Deserializer, Serializer, de};

use crate::task::TaskId;

pub fn serialize<S: Serializer>(id: &TaskId, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(id)
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TaskId, D::Error> {
    String::deserialize(from)?.parse().map_err(de::Error::custom)
}

/// The same where it may be left out.
pub mod option {
    use super::*;

    pub fn serialize<S: Serializer>(id: &Option<TaskId>, out: S) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => out.collect_str(id),
            None => out.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<TaskId>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
    }
}
