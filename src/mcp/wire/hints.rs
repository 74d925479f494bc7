//! What 2026-07-28 wants to be said of results, and the protocols with sessions do not know: who answered, and how
//! long the answer may be kept.

use std::sync::LazyLock;

use rmcp::RoleServer;
use rmcp::model::*;
use rmcp::service::RequestContext;
use serde_json::{Value, json};

use crate::mcp::era::is_modern;

const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// As it stands in results: written once.
static INFO: LazyLock<Option<Value>> = LazyLock::new(|| serde_json::to_value(server_info()).ok());

pub fn server_info() -> Implementation {
    Implementation::new("longhaul", env!("CARGO_PKG_VERSION"))
        .with_title("Longhaul")
        .with_description("Durable tasks from sandboxed WebAssembly tools")
}

/// Says who answered.
pub fn stamp(meta: &mut Option<MetaObject>) {
    if let Some(info) = &*INFO {
        meta.get_or_insert_default().insert(SERVER_INFO.to_owned(), info.clone());
    }
}

/// The same for the answer to a `tasks/update` or `tasks/cancel`, to which rmcp adds nothing.
pub fn stamp_ack(result: &mut Value) -> bool {
    let is_ack = result["resultType"] == "complete" && result.get("_meta").is_none();
    if is_ack {
        result["_meta"] = json!({ SERVER_INFO: server_info() });
    }
    is_ack
}

/// A result that clients may keep.
pub trait Kept {
    fn set_hints(&mut self, ttl_ms: u64, scope: CacheScope);
    fn remove_hints(&mut self);
}

macro_rules! kept {
    ($($result:ty),*) => {$(
        impl Kept for $result {
            fn set_hints(&mut self, ttl_ms: u64, scope: CacheScope) {
                (self.ttl_ms, self.cache_scope) = (Some(ttl_ms), Some(scope));
                stamp(&mut self.meta);
            }

            fn remove_hints(&mut self) {
                (self.ttl_ms, self.cache_scope, self.meta) = (None, None, None);
            }
        }
    )*};
}

kept!(
    ListToolsResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ReadResourceResult
);

/// As the request's protocol has it.
pub fn in_era<R: Kept>(mut result: R, context: &RequestContext<RoleServer>) -> R {
    if !is_modern(context) {
        result.remove_hints();
    }
    result
}
