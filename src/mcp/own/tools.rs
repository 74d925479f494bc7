//! Longhaul's operations as tools: how they are listed, and what they take.

use std::sync::Arc;

use rmcp::model::Tool;
use serde_json::Value;

use crate::api::{ApiError, Arguments, Audience, OPERATIONS, OwnOperation};
use crate::mcp::wire::convert;
use crate::mcp::wire::own_names::OwnNames;

/// The tools that are Longhaul's own, with their schemas compiled.
pub struct OwnTools {
    tools: Vec<OwnTool>,
}

pub struct OwnTool {
    pub operation: &'static OwnOperation,
    wire: Tool,
    arguments: Arguments,
}

impl OwnTools {
    /// As clients that call them so are to read of them.
    pub fn new(names: &OwnNames) -> Self {
        Self { tools: OPERATIONS.iter().map(|operation| OwnTool::new(operation, names)).collect() }
    }

    /// Those that are listed for this audience.
    pub fn listed(&self, audience: Audience) -> impl Iterator<Item = Tool> {
        let listed = self.tools.iter().filter(move |tool| tool.operation.audience == audience);
        listed.map(|tool| tool.wire.clone())
    }

    pub fn find(&self, name: &str) -> Option<&OwnTool> {
        self.tools.iter().find(|tool| tool.operation.name == name)
    }
}

impl OwnTool {
    fn new(operation: &'static OwnOperation, names: &OwnNames) -> Self {
        let object = |schema: Value| {
            let schema = with_names_within(schema, names);
            Arc::new(schema.as_object().cloned().unwrap_or_default())
        };
        let takes = operation.takes();
        let arguments = Arguments::new(&takes);
        let mut wire = Tool::new(operation.name, with_names(operation.description, names), object(takes));
        wire.title = Some(operation.title.to_owned());
        wire.output_schema = operation.answers().map(object);
        wire.annotations = convert::annotations(operation.hints);
        Self { operation, wire, arguments }
    }

    pub fn accept(&self, arguments: Value) -> Result<Value, ApiError> {
        self.arguments.accept(arguments)
    }
}

/// The text with the names of tools as clients have them, for `{task_wait}` and its like.
fn with_names(text: &str, names: &OwnNames) -> String {
    OPERATIONS.iter().fold(text.to_owned(), |text, operation| {
        text.replace(&format!("{{{}}}", operation.name), &names.of(operation.name))
    })
}

fn with_names_within(schema: Value, names: &OwnNames) -> Value {
    match schema {
        Value::String(text) => Value::String(with_names(&text, names)),
        Value::Array(items) => items.into_iter().map(|item| with_names_within(item, names)).collect(),
        Value::Object(fields) => {
            let named = |(name, field)| (name, with_names_within(field, names));
            Value::Object(fields.into_iter().map(named).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::Schema;

    #[test]
    fn every_schema_of_ours_compiles() {
        for operation in OPERATIONS {
            Schema::of_arguments(&operation.takes()).expect(operation.name);
            if let Some(output) = operation.answers() {
                assert_eq!(output["type"], "object");
                Schema::compile(&output).expect(operation.name);
            }
        }
    }

    #[test]
    fn no_host_chokes_on_a_schema_of_ours() {
        use crate::catalog::testing::complaints;
        for tool in OwnTools::new(&OwnNames::default()).tools {
            let schemas = std::iter::once(&tool.wire.input_schema).chain(&tool.wire.output_schema);
            for schema in schemas {
                assert_eq!(complaints(&json!(schema)), Vec::<String>::new(), "{}", tool.operation.name);
            }
        }
        assert_eq!(complaints(&crate::mcp::wire::schema::link_schema()), Vec::<String>::new());
    }

    #[test]
    fn wrong_arguments_are_told_with_their_path() {
        let tools = OwnTools::new(&OwnNames::default());
        let check = |name: &str, arguments| match tools.find(name).expect(name).accept(arguments) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        assert_eq!(check("task_list", json!({})), "");
        assert!(check("task_wait", json!({"task_id": "x", "seconds": 51})).contains("seconds"));
        let all = json!({"principal": "ann", "state": "queued", "parent": "", "limit": 2});
        assert_eq!(check("task_list_all", all), "");
        assert!(check("task_list_all", json!({"principal": "ann", "extra": 1})).contains("extra"));
        assert!(check("task_list_all", json!({"limit": 0})).contains("limit"));
        assert!(check("task_status", json!({})).contains("task_id"));
        assert!(check("task_status", json!({"task_id": "x", "extra": 1})).contains("extra"));
    }

    #[test]
    fn an_empty_text_for_an_optional_argument_is_left_out_and_any_other_stays() {
        let tools = OwnTools::new(&OwnNames::default());
        let taken = |name: &str, arguments: Value| match tools.find(name).expect(name).accept(arguments) {
            Ok(taken) => taken,
            Err(_) => panic!("{name} refuses them"),
        };
        let empty = json!({"state": "", "tool": "", "parent": null, "cursor": "", "limit": 2.0});
        assert_eq!(taken("task_list", empty), json!({"limit": 2}));
        assert_eq!(taken("task_wait", json!({"task_id": "t", "seconds": ""})), json!({"task_id": "t"}));
        assert_eq!(
            taken("state_put", json!({"namespace": "n", "key": "k", "value": null, "if_version": null})),
            json!({"namespace": "n", "key": "k", "value": null})
        );
        assert_eq!(taken("task_cancel", json!({"task_id": "t", "reason": ""})), json!({"task_id": "t"}));
        assert_eq!(
            taken("task_answer", json!({"task_id": "t", "key": "", "action": "accept", "content": ""})),
            json!({"task_id": "t", "action": "accept"})
        );
        assert_eq!(
            taken("task_send", json!({"task_id": "t", "name": "n", "payload": "", "key": ""})),
            json!({"task_id": "t", "name": "n", "payload": ""})
        );
        assert_eq!(
            taken("state_put", json!({"namespace": "n", "key": "k", "value": "", "ttl_seconds": 1e1})),
            json!({"namespace": "n", "key": "k", "value": "", "ttl_seconds": 10})
        );
        assert_eq!(
            taken("state_put", json!({"namespace": "n", "key": "k", "value": 1.0}))["value"],
            json!(1.0)
        );
        // What is wanted is wanted.
        assert!(
            tools
                .find("task_status")
                .expect("a tool")
                .accept(json!({"task_id": ""}))
                .is_ok_and(|taken| taken["task_id"] == "")
        );
        assert!(
            tools.find("state_get").expect("a tool").accept(json!({"namespace": "", "key": "k"})).is_err()
        );
    }
}
