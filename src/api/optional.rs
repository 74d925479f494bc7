//! A field of any JSON that may be left out: there, null is a value.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}
