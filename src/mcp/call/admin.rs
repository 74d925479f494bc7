//! What the owner of this server does by its command line: tokens, pins and the audit. As tools that are never listed
//! and answer a person who holds the data folder alone; for anybody else there are none.

use std::sync::LazyLock;

use rmcp::RoleServer;
use rmcp::model::*;
use rmcp::service::RequestContext;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::engine::{AuditQuery, TokenGrant};
use crate::mcp::connection::Handler;
use crate::mcp::own::definition;
use crate::mcp::own::tools::OwnArguments;
use crate::mcp::wire::convert::document;
use crate::mcp::wire::error::{Refusal, refusal};

pub const TOKEN_NEW: &str = "token_new";
pub const TOKEN_LIST: &str = "token_list";
pub const TOKEN_REVOKE: &str = "token_revoke";
pub const AUDIT_LIST: &str = "audit_list";
pub const TOOL_PIN: &str = "tool_pin";

#[derive(Deserialize)]
struct NewArguments {
    name: String,
    #[serde(default)]
    tools: Vec<String>,
    #[serde(default)]
    state: Vec<String>,
}

#[derive(Deserialize)]
struct RevokeArguments {
    name: String,
}

#[derive(Deserialize)]
struct PinArguments {
    server: String,
}

static AUDIT_ARGUMENTS: LazyLock<OwnArguments> = LazyLock::new(|| {
    let (text, number) = (json!({ "type": ["string", "null"] }), json!({ "type": ["integer", "null"] }));
    OwnArguments::new(&definition::arguments(
        json!({
            "since": number, "principal": text, "tool": text, "verdict": text, "limit": { "type": "integer" },
            "cursor": text,
        }),
        &[],
    ))
});

impl Handler {
    /// `None` where the tool is none, or not for this caller.
    pub(in crate::mcp) async fn call_admin(
        &self,
        name: &str,
        arguments: &Value,
        context: &RequestContext<RoleServer>,
    ) -> Option<Result<CallToolResult, Refusal>> {
        if !self.is_by_person(context) {
            return None;
        }
        let (engine, by) = (self.server.engine(), self.connection.actor(context));
        let done = match name {
            TOKEN_NEW => match parsed::<NewArguments>(arguments) {
                Err(refusal) => Err(refusal),
                Ok(NewArguments { name, tools, state }) => {
                    let grant = TokenGrant { name: name.clone(), tools, state };
                    let token = engine.new_token(by, grant).await.map_err(refusal);
                    token.map(|token| json!({ "name": name, "token": token }))
                }
            },
            TOKEN_LIST => Ok(json!({ "tokens": document(&engine.tokens()) })),
            TOKEN_REVOKE => match parsed::<RevokeArguments>(arguments) {
                Err(refusal) => Err(refusal),
                Ok(RevokeArguments { name }) => {
                    let revoked = engine.revoke_token(by, &name).await.map_err(refusal);
                    revoked.map(|()| json!({ "name": name }))
                }
            },
            TOOL_PIN => match parsed::<PinArguments>(arguments) {
                Err(refusal) => Err(refusal),
                Ok(PinArguments { server }) => {
                    let pinned = engine.pin(by, &server).await.map_err(refusal);
                    pinned.map(|words| json!({ "words": words }))
                }
            },
            AUDIT_LIST => {
                match AUDIT_ARGUMENTS.accept(arguments.clone()).and_then(|taken| parsed::<AuditQuery>(&taken))
                {
                    Err(refusal) => Err(refusal),
                    Ok(query) => engine.audit(query).await.map_err(refusal).map(|page| document(&page)),
                }
            }
            _ => return None,
        };
        Some(done.map(|value| {
            let mut answer = CallToolResult::success(Vec::new());
            answer.structured_content = Some(value);
            answer
        }))
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(arguments: &Value) -> Result<T, Refusal> {
    T::deserialize(arguments).map_err(|error| Refusal::told(error.to_string()))
}
