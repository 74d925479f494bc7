//! Requests whose params do not fit their method. rmcp reads them as requests of a method that it does not know, and
//! "method not found" means to clients that the server cannot do that.

use rmcp::ErrorData;
use rmcp::model::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error;
use crate::limits;

/// What to answer to a request that rmcp did not understand.
pub fn not_understood(request: &CustomRequest, is_modern: bool) -> ErrorData {
    let method = request.method.as_str();
    let Some(fault) = reader(method, is_modern) else {
        return ErrorData::new(ErrorCode::METHOD_NOT_FOUND, error::shown(method), None);
    };
    let fault = match &request.params {
        Some(params) if !params.is_object() => Some("they are no object".to_owned()),
        params => fault(params.clone().unwrap_or_else(|| json!({}))),
    };
    // What a reader passes over is still what rmcp stumbled upon.
    let fault = fault.map(|fault| format!(": {fault}")).unwrap_or_default();
    error::bad_params(format!("the params of {method} are not as the protocol has them{fault}"))
}

/// A request as JSON-RPC has it, whose params are anything.
#[derive(Deserialize)]
pub struct AnyRequest {
    pub id: RequestId,
    #[serde(rename = "jsonrpc")]
    _version: JsonRpcVersion2_0,
    method: String,
    params: Option<Value>,
}

impl AnyRequest {
    /// `None` for what is no request.
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// What to answer to it where rmcp cannot read it, or does not say that it could not.
    pub fn fault(&self, is_modern: bool) -> ErrorData {
        let (method, params) = (self.method.clone(), self.params.clone());
        not_understood(&CustomRequest::new(method, params), is_modern)
    }

    /// The same where nothing says which protocol is spoken.
    pub fn fault_in_either(&self) -> ErrorData {
        let of_sessions = self.fault(false);
        if of_sessions.code == ErrorCode::METHOD_NOT_FOUND { self.fault(true) } else { of_sessions }
    }

    /// Whether it is a handshake whose params do not fit, which reaches no handler.
    pub fn is_bad_handshake(&self) -> bool {
        let params = self.params.clone().unwrap_or_default();
        self.method == InitializeResultMethod::VALUE && fault::<InitializeRequestParams>(params).is_some()
    }
}

/// A request for a list whose cursor is no text, with its cursor as text: no page gave that one either. rmcp takes
/// params of a list that it cannot read for none, and would answer with the first page. `None` leaves it as it is.
pub fn with_text_cursor(request: &[u8]) -> Option<Vec<u8>> {
    const CURSOR: &[u8] = b"\"cursor\"";
    if request.len() > limits::MAX_LISTEN_LINE_BYTES {
        return None;
    }
    request.windows(CURSOR.len()).find(|at| *at == CURSOR)?;
    let mut message: Value = serde_json::from_slice(request).ok()?;
    if !message.get("method")?.as_str()?.ends_with("/list") {
        return None;
    }
    let cursor = message.get_mut("params")?.get_mut("cursor")?;
    if cursor.is_string() || cursor.is_null() {
        return None;
    }
    *cursor = Value::String(cursor.to_string());
    let mut request = serde_json::to_vec(&message).ok()?;
    request.push(b'\n');
    Some(request)
}

type Reader = fn(Value) -> Option<String>;

/// How the params of a method are read, if the server has the method. It serves no prompts.
fn reader(method: &str, is_modern: bool) -> Option<Reader> {
    let of_both: Reader = match method {
        CallToolRequestMethod::VALUE => fault::<CallToolRequestParams>,
        ReadResourceRequestMethod::VALUE => fault::<ReadResourceRequestParams>,
        CompleteRequestMethod::VALUE => fault::<CompleteRequestParams>,
        ListToolsRequestMethod::VALUE
        | ListResourcesRequestMethod::VALUE
        | ListResourceTemplatesRequestMethod::VALUE => fault::<PaginatedRequestParams>,
        _ if is_modern => return modern_reader(method),
        _ => return legacy_reader(method),
    };
    Some(of_both)
}

fn modern_reader(method: &str) -> Option<Reader> {
    Some(match method {
        DiscoverRequestMethod::VALUE => fault::<JsonObject>,
        SubscriptionsListenRequestMethod::VALUE => fault::<SubscriptionsListenRequestParams>,
        GetTaskMethod::VALUE => fault::<GetTaskParams>,
        UpdateTaskMethod::VALUE => fault::<UpdateTaskParams>,
        CancelTaskMethod::VALUE => fault::<CancelTaskParams>,
        _ => return None,
    })
}

#[expect(deprecated, reason = "legacy clients log and subscribe by methods that 2026-07-28 removed")]
fn legacy_reader(method: &str) -> Option<Reader> {
    Some(match method {
        InitializeResultMethod::VALUE => fault::<InitializeRequestParams>,
        PingRequestMethod::VALUE => fault::<JsonObject>,
        SetLevelRequestMethod::VALUE => fault::<SetLevelRequestParams>,
        SubscribeRequestMethod::VALUE => fault::<SubscribeRequestParams>,
        UnsubscribeRequestMethod::VALUE => fault::<UnsubscribeRequestParams>,
        _ => return None,
    })
}

/// Where params cannot be read, and why.
fn fault<P: DeserializeOwned>(params: Value) -> Option<String> {
    serde_path_to_error::deserialize::<_, P>(params).err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_that_is_no_text_becomes_one() {
        let of =
            |method: &str, params: Value| json!({ "id": 1, "method": method, "params": params }).to_string();
        for (cursor, text) in [(json!(7), "7"), (json!({"a": [1]}), "{\"a\":[1]}"), (json!(true), "true")] {
            for method in ["tools/list", "resources/templates/list"] {
                let line =
                    with_text_cursor(of(method, json!({ "cursor": cursor })).as_bytes()).expect("another");
                assert_eq!(line, format!("{}\n", of(method, json!({ "cursor": text }))).as_bytes());
            }
        }
        for same in [
            of("tools/list", json!({ "cursor": "7" })),
            of("tools/list", json!({ "cursor": null })),
            of("tools/list", json!(["cursor"])),
            of("tools/call", json!({ "name": "t", "cursor": 7 })),
            "\"cursor\"".to_owned(),
            "{\"cursor\"".to_owned(),
        ] {
            assert_eq!(with_text_cursor(same.as_bytes()), None, "{same}");
        }
    }
}
