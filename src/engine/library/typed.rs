//! Closures of Rust types: their schemas come from the types, and so does what a call's result is read as.

use std::future::Future;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::catalog::ToolDefinition;
use crate::engine::runners::closures::{Closures, StepError, Steps};
use crate::task::{Content, RetryPolicy, TaskLimits, ToolResult};

/// The member that holds a result which is no object: MCP's structured content is one.
const RESULT: &str = "result";

impl Closures {
    /// Adds a tool as `name@version` whose arguments and result are Rust types. `A` is a struct: its schema is what
    /// callers see, and arguments that do not fit are refused before a task is made.
    #[must_use]
    pub fn typed<A, T, F, R>(self, name: &str, version: &str, description: &str, body: F) -> Self
    where
        A: DeserializeOwned + JsonSchema + Send + 'static,
        T: Serialize + JsonSchema + 'static,
        F: Fn(Steps, A) -> R + Send + Sync + Clone + 'static,
        R: Future<Output = Result<T, StepError>> + Send + 'static,
    {
        let definition = ToolDefinition::new(name, description, Value::Null);
        self.typed_with(definition, version, TaskLimits::default(), RetryPolicy::default(), body)
    }

    /// The same with a definition, bounds and a retry policy of its own; the definition's schemas are replaced.
    #[must_use]
    pub fn typed_with<A, T, F, R>(
        self,
        definition: ToolDefinition,
        version: &str,
        limits: TaskLimits,
        retry: RetryPolicy,
        body: F,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema + Send + 'static,
        T: Serialize + JsonSchema + 'static,
        F: Fn(Steps, A) -> R + Send + Sync + Clone + 'static,
        R: Future<Output = Result<T, StepError>> + Send + 'static,
    {
        let returned = schema_of::<T>(SchemaSettings::draft2020_12().for_serialize());
        let is_wrapped = returned["type"] != "object";
        let definition = ToolDefinition {
            input_schema: schema_of::<A>(SchemaSettings::draft2020_12()),
            output_schema: Some(if is_wrapped { in_object(returned) } else { returned }),
            ..definition
        };
        self.tool_with(definition, version, limits, retry, move |steps, arguments| {
            let body = body.clone();
            async move {
                let arguments = serde_json::from_value(arguments)
                    .map_err(|error| StepError::Tool(format!("the arguments do not fit: {error}")))?;
                let result = body(steps, arguments).await?;
                result_of(&result, is_wrapped)
                    .map_err(|error| StepError::Tool(format!("the result is no JSON value: {error}")))
            }
        })
    }
}

/// A result that was made of a `T`, or why it is none, as a clause.
pub fn value_of<T: DeserializeOwned>(result: &ToolResult) -> Result<T, String> {
    if result.is_error {
        let words = result.content.iter().find_map(|block| match block {
            Content::Text(text) => Some(text.as_str()),
            _ => None,
        });
        return Err(format!("the tool reports: {}", words.unwrap_or("an error without words")));
    }
    let text = result.structured.as_deref().ok_or("it has no structured content")?;
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let inner = value.as_object().filter(|object| object.len() == 1).and_then(|object| object.get(RESULT));
    // A type that is an object itself is not wrapped, whatever its members are called.
    match (serde_json::from_value(value.clone()), inner) {
        (Ok(value), _) => Ok(value),
        (Err(_), Some(inner)) => serde_json::from_value(inner.clone()).map_err(|error| error.to_string()),
        (Err(error), None) => Err(error.to_string()),
    }
}

fn result_of(result: &impl Serialize, is_wrapped: bool) -> Result<ToolResult, serde_json::Error> {
    let value = serde_json::to_value(result)?;
    let words = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let structured = if is_wrapped { json!({ (RESULT): value }) } else { value };
    Ok(ToolResult { structured: Some(structured.to_string()), ..ToolResult::text(words) })
}

fn schema_of<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let settings = settings.with(|settings| settings.meta_schema = None);
    SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value()
}

/// The schema of an object that holds what `schema` describes. Definitions stay at the root, where references point.
fn in_object(mut schema: Value) -> Value {
    let definitions = schema.as_object_mut().and_then(|schema| schema.remove("$defs"));
    let mut object = json!({
        "type": "object",
        "properties": { (RESULT): schema },
        "required": [RESULT],
    });
    if let Some(definitions) = definitions {
        object["$defs"] = definitions;
    }
    object
}
