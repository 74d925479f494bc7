//! Which protocol a request speaks: 2026-07-28, which has no sessions, or one before it.

use http::{HeaderMap, HeaderName};
use rmcp::RoleServer;
use rmcp::model::ProtocolVersion;
use rmcp::service::RequestContext;

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// Whether a request is of the protocol that has no sessions.
pub fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

/// The same by the head of an HTTP request.
pub fn is_modern_head(headers: &HeaderMap) -> bool {
    let version = headers.get(VERSION).and_then(|version| version.to_str().ok());
    version.is_some_and(|version| version >= ProtocolVersion::V_2026_07_28.as_str())
}
