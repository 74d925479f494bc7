//! Shared state as tools, for agents that are no component: off unless the operator says otherwise.

use rmcp::RoleServer;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use serde::Deserialize;
use serde_json::{Value, json};

use super::task_tools::parsed;
use crate::engine::{StateQuery, StateWrite, state_document};
use crate::mcp::connection::Handler;
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
