//! Limits as a statement has them. One that was made before money was bounded says nothing of it, and its digest stays what it
//! was as long as the bound is everybody's.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::DEFAULT_MODEL_COST_CENTS;
use crate::task::TaskLimits;

#[derive(Serialize, Deserialize)]
struct Stated {
    #[serde(flatten)]
    limits: TaskLimits,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model_cost_cents: Option<u64>,
}

pub fn serialize<S: Serializer>(limits: &TaskLimits, serializer: S) -> Result<S::Ok, S::Error> {
    let cents = limits.model_cost_cents;
    let model_cost_cents = (cents != DEFAULT_MODEL_COST_CENTS).then_some(cents);
    Stated { limits: limits.clone(), model_cost_cents }.serialize(serializer)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TaskLimits, D::Error> {
    let Stated { limits, model_cost_cents } = Stated::deserialize(deserializer)?;
    Ok(TaskLimits { model_cost_cents: model_cost_cents.unwrap_or(DEFAULT_MODEL_COST_CENTS), ..limits })
}
