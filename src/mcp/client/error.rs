use std::error::Error;

use rmcp::ServiceError;
use rmcp::model::ErrorCode;
use rmcp::service::ClientInitializeError;
use rmcp::transport::DynamicTransportError;
use rmcp::transport::streamable_http_client::{
    AuthRequiredError, HttpStatusError, InsufficientScopeError, StreamableHttpError,
};
use serde_json::Value;

/// What can go wrong with a server that is spoken to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("'{url}' is no address of a server such as http://127.0.0.1:1919/mcp: {why}")]
    BadUrl { url: String, why: String },
    #[error(
        "no server answers at {url} ({why}): start one with `longhaul serve`, or name another with --url"
    )]
    Unreachable { url: String, why: String },
    #[error("what answers at {url} speaks no MCP that is known here: {why}; check --url, which ends in /mcp")]
    NotMcp { url: String, why: String },
    #[error("the server at {url} refused the request: {why}")]
    Refused { url: String, why: String },
    /// The server's JSON-RPC error, in its own words.
    #[error("{message}")]
    Protocol { code: i32, message: String, data: Option<Value> },
    #[error("{message}")]
    NotFound { message: String },
    #[error("the connection to {url} ended ({why}); tasks go on: `longhaul task list` shows them")]
    Disconnected { url: String, why: String },
    #[error("the server at {url} gave an answer that is not understood: {what}")]
    Unexpected { url: String, what: String },
}

impl ClientError {
    pub(super) fn of_connecting(url: &str, error: &ClientInitializeError) -> Self {
        match error {
            ClientInitializeError::TransportError { error, .. } => Self::of_transport(url, error),
            ClientInitializeError::LegacyFallbackFailed { fallback, .. } => {
                Self::of_connecting(url, fallback)
            }
            ClientInitializeError::ConnectionClosed(why) => {
                Self::NotMcp { url: url.to_owned(), why: format!("it closed the connection: {why}") }
            }
            other => Self::NotMcp { url: url.to_owned(), why: other.to_string() },
        }
    }

    pub(super) fn of_service(url: &str, error: &ServiceError) -> Self {
        let url = || url.to_owned();
        match error {
            ServiceError::McpError(error) => {
                let message = error.message.clone().into_owned();
                let about_a_resource = error.code == ErrorCode::INVALID_PARAMS
                    && error.data.as_ref().is_some_and(|d| d.get("uri").is_some());
                if error.code == ErrorCode::RESOURCE_NOT_FOUND || about_a_resource {
                    return Self::NotFound { message };
                }
                Self::Protocol { code: error.code.0, message, data: error.data.clone() }
            }
            ServiceError::TransportSend(error) => Self::of_transport(&url(), error),
            ServiceError::TransportClosed => {
                Self::Disconnected { url: url(), why: "the server closed it".to_owned() }
            }
            ServiceError::Cancelled { reason } => Self::Disconnected {
                url: url(),
                why: reason.clone().unwrap_or_else(|| "the request was cancelled".to_owned()),
            },
            other => Self::Unexpected { url: url(), what: other.to_string() },
        }
    }

    fn of_transport(url: &str, error: &DynamicTransportError) -> Self {
        let url = url.to_owned();
        let mut cause: Option<&(dyn Error + 'static)> = Some(error.error.as_ref());
        let mut last = String::new();
        while let Some(current) = cause {
            last = current.to_string();
            // The library does not name the HTTP client's error as the source of its own.
            let wrapped = match current.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
                Some(StreamableHttpError::Client(http)) => Some(http),
                _ => None,
            };
            if let Some(http) = wrapped.or_else(|| current.downcast_ref::<reqwest::Error>()) {
                if http.is_connect() {
                    return Self::Unreachable { url, why: innermost(http) };
                }
                if http.is_request() || http.is_body() {
                    return Self::Disconnected { url, why: innermost(http) };
                }
            }
            if current.is::<AuthRequiredError>() || current.is::<InsufficientScopeError>() {
                return Self::Refused {
                    url,
                    why: "it wants a token, or another one: --token or LONGHAUL_TOKEN names it".to_owned(),
                };
            }
            if let Some(status) = current.downcast_ref::<HttpStatusError>() {
                return Self::Refused { url, why: status.to_string() };
            }
            cause = current.source();
        }
        // The library tells an HTTP status it did not expect in words only.
        if last.contains("403") { Self::Refused { url, why: last } } else { Self::NotMcp { url, why: last } }
    }
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
