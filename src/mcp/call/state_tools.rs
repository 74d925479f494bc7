//! Shared state as tools, for agents that are no component: off unless the operator says otherwise.

use rmcp::RoleServer;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use serde::Deserialize;
use serde_json::{Value, json};

use super::task_tools::parsed;
use crate::engine::{StateQuery, StateWrite, state_document};
use crate::limits;
use crate::mcp::own::tools::{Definition, READS, any_json, arguments, changes};
use crate::mcp::server::Handler;
use crate::mcp::wire::error::{Refusal, refusal};
use crate::mcp::wire::form::structured;

#[derive(Deserialize)]
struct EntryArguments {
    namespace: String,
    key: String,
    if_version: Option<u64>,
    ttl_seconds: Option<u64>,
}

#[derive(Deserialize)]
struct ListArguments {
    namespace: String,
    prefix: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl Handler {
    pub(in crate::mcp) async fn call_state_tool(
        &self,
        name: &str,
        mut arguments: Value,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Refusal> {
        let (engine, principal) = (self.server.engine(), self.connection.actor(context));
        if name == "state_list" {
            let ListArguments { namespace, prefix, limit, cursor } = parsed(arguments)?;
            let query =
                StateQuery { prefix: prefix.unwrap_or_default(), limit: limit.unwrap_or_default(), cursor };
            let page = engine.state_list(principal, &namespace, &query).map_err(refusal)?;
            return Ok(structured(page.document()));
        }
        // A value of null is a value.
        let value = arguments.get_mut("value").map(Value::take);
        let EntryArguments { namespace, key, if_version, ttl_seconds, .. } = parsed(arguments)?;
        if name == "state_get" {
            let entry = engine.state_get(principal, &namespace, &key).map_err(refusal)?;
            return Ok(structured(state_document(entry.as_ref())));
        }
        let write = match (name, value) {
            ("state_put", Some(value)) => StateWrite::put(key, value.to_string()).ttl_seconds(ttl_seconds),
            _ => StateWrite::delete(key),
        };
        let writes = vec![write.if_version(if_version)];
        let versions = engine.state_write(principal, &namespace, writes).await.map_err(refusal)?;
        Ok(structured(json!({ "version": versions.first() })))
    }
}

pub fn definitions() -> Vec<Definition> {
    let namespace = json!({
        "type": "string", "minLength": 1, "maxLength": limits::MAX_STATE_NAMESPACE_BYTES,
        "description": "a-z, 0-9, '.', '_' and '-'.",
    });
    let key = json!({ "type": "string", "minLength": 1, "maxLength": limits::MAX_STATE_KEY_BYTES });
    let if_version = json!({
        "type": "integer", "minimum": 0,
        "description": "Only if this is the entry's version; 0: only if there is no entry.",
    });
    let version =
        json!({ "type": "integer", "description": "Grows with every write; 0: there is no entry." });
    let written = json!({ "type": "object", "properties": { "version": version }, "required": ["version"] });
    let entry = |more: Value| {
        let mut properties = json!({
            "version": version, "updated_at": { "type": "string" }, "by": { "type": "string" },
        });
        if let (Some(properties), Value::Object(more)) = (properties.as_object_mut(), more) {
            properties.extend(more);
        }
        json!({ "type": "object", "properties": properties, "required": ["version"] })
    };
    vec![
        Definition {
            name: "state_get",
            title: "Read shared state",
            description: "Read an entry of shared state; version 0 says that there is none.".to_owned(),
            input: arguments(json!({ "namespace": namespace, "key": key }), &["namespace", "key"]),
            output: Some(entry(json!({ "value": { "description": "Any JSON." } }))),
            hints: READS,
        },
        Definition {
            name: "state_put",
            title: "Write shared state",
            description:
                "Write an entry of shared state. With if_version it is only written where nobody else \
                 has written meanwhile; a lost race is an error that tells the present version."
                    .to_owned(),
            input: arguments(
                json!({
                    "namespace": namespace,
                    "key": key,
                    "value": any_json("What the entry holds."),
                    "if_version": if_version,
                    "ttl_seconds": {
                        "type": "integer", "minimum": 1, "maximum": limits::MAX_STATE_TTL_SECONDS,
                        "description": "After this it is gone.",
                    },
                }),
                &["namespace", "key", "value"],
            ),
            output: Some(written.clone()),
            hints: changes(true),
        },
        Definition {
            name: "state_list",
            title: "List shared state",
            description: "List the entries of a namespace in the order of their keys, without their values."
                .to_owned(),
            input: arguments(
                json!({
                    "namespace": namespace,
                    "prefix": { "type": "string", "maxLength": limits::MAX_STATE_KEY_BYTES },
                    "limit": { "type": "integer", "minimum": 1, "maximum": limits::MAX_PAGE_ROWS },
                    "cursor": { "type": "string", "description": "next_cursor of the page before." },
                }),
                &["namespace"],
            ),
            output: Some(json!({
                "type": "object",
                "properties": {
                    "entries": { "type": "array", "items": entry(json!({ "key": { "type": "string" } })) },
                    "next_cursor": { "type": "string" },
                },
                "required": ["entries"],
            })),
            hints: READS,
        },
        Definition {
            name: "state_delete",
            title: "Delete shared state",
            description:
                "Delete an entry of shared state. Written anew it goes on from the version that this gives; \
                 0 says that there was none."
                    .to_owned(),
            input: arguments(
                json!({ "namespace": namespace, "key": key, "if_version": if_version }),
                &["namespace", "key"],
            ),
            output: Some(written),
            hints: changes(true),
        },
    ]
}
