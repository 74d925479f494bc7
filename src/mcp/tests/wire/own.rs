//! What clients read of Longhaul's own tools.

use std::collections::BTreeMap;

use super::golden::compare;
use super::*;
use crate::api::Audience;
use crate::mcp::own::tools::OwnTools;

#[test]
fn own_tools_are_described_as_ever() {
    let tools = OwnTools::new(&OwnNames::default());
    let listed = tools.listed(Audience::Tasks).chain(tools.listed(Audience::State));
    let by_name: BTreeMap<String, Value> =
        listed.map(|tool| (tool.name.to_string(), sorted(&json!(tool)))).collect();
    let text = serde_json::to_string_pretty(&by_name).expect("serialised");
    compare("own-tools.json", &(text + "\n"));
}

/// Its fields by their names: their order says nothing.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<&String, Value> =
                fields.iter().map(|(name, field)| (name, sorted(field))).collect();
            json!(fields)
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        value => value.clone(),
    }
}
