//! Reads a client's message as far as JSON-RPC has it, and says what is wrong with one that cannot be read.

mod checked;
mod count;
mod id_scan;
mod lines;
#[cfg(test)]
mod tests;

use rmcp::ErrorData;
use rmcp::model::{ErrorCode, RequestId};
use serde_json::Value;

pub use id_scan::{IdScan, Scan};
pub use lines::{Line, Lines};

use self::checked::{Fields, Scalar, Top};
use super::error;
use crate::limits;

/// What a message is, apart from its contents.
#[derive(Debug, PartialEq, Eq)]
pub enum Envelope {
    Request(RequestId),
    Notification,
    /// An answer to a request of the server's.
    Response,
}

/// A message that is not served.
#[derive(Debug, PartialEq)]
pub enum Unreadable {
    /// It is answered, with the id of its request or null.
    Request { id: Value, error: Box<ErrorData> },
    /// An answer is never answered: two sides that answered errors with errors would not stop. It names the request
    /// of the server's that it was meant for, where that can be read.
    Response { id: Value, error: Box<ErrorData> },
}

impl Unreadable {
    fn of(fields: &Scan, error: ErrorData) -> Self {
        let (id, error) = (fields.id.clone().unwrap_or(Value::Null), Box::new(error));
        if fields.is_response { Self::Response { id, error } } else { Self::Request { id, error } }
    }

    pub fn too_long(scan: &Scan) -> Self {
        Self::of(scan, invalid(error::too_large()))
    }

    /// The body is well-formed, and yet no message of MCP's.
    pub fn unknown(body: &[u8], why: &serde_json::Error) -> Self {
        Self::of(&IdScan::of(beginning(body)), invalid(format!("the message is no message of MCP: {why}")))
    }

    /// The body of an answer over HTTP, where each message has one. One that names a request of the server's would
    /// be taken for the answer to a request of the client's.
    pub fn http_body(&self) -> Value {
        match self {
            Self::Request { id, error } => error::rpc_body(id, error),
            Self::Response { error, .. } => error::rpc_body(&Value::Null, error),
        }
    }
}

/// How many answers without an id a connection is still given. A side that answers each of them with something that
/// cannot be read is not answered for ever.
#[derive(Debug, Default)]
pub struct Patience {
    unnamed: usize,
}

impl Patience {
    /// A request was read.
    pub fn renew(&mut self) {
        self.unnamed = 0;
    }

    /// Whether an answer with this id is given.
    pub fn allows(&mut self, id: &Value) -> bool {
        self.unnamed += usize::from(id.is_null());
        let allowed = !id.is_null() || self.unnamed <= limits::MAX_UNNAMED_REFUSALS;
        if !allowed {
            tracing::warn!("one more message could not be read, and is not answered");
        }
        allowed
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// JSON may be declared to be UTF-8; nothing is lost without that.
pub fn without_mark(message: &[u8]) -> &[u8] {
    message.strip_prefix(BYTE_ORDER_MARK).unwrap_or(message)
}

/// Reads all of a message and keeps its envelope. Many messages share a pipe: wherever the id stands in one that cannot
/// be read, it is found.
pub fn envelope(message: &[u8]) -> Result<Envelope, Unreadable> {
    let message = without_mark(message);
    read(message, message)
}

/// The same for a body over HTTP, whose answer is known by its connection: the id of one that cannot be read is looked
/// for where clients write it, so that large ones cost little.
pub fn envelope_of_body(body: &[u8]) -> Result<Envelope, Unreadable> {
    let body = without_mark(body);
    read(body, beginning(body))
}

fn beginning(body: &[u8]) -> &[u8] {
    &body[..body.len().min(limits::MAX_SCANNED_BODY_BYTES)]
}

/// The id of a message that cannot be read is looked for in `scanned`.
fn read(message: &[u8], scanned: &[u8]) -> Result<Envelope, Unreadable> {
    let unreadable = |why: String| {
        let error = ErrorData::new(ErrorCode::PARSE_ERROR, why, None);
        Unreadable::of(&IdScan::of(scanned), error)
    };
    if let Err(error) = std::str::from_utf8(message) {
        let at = error.valid_up_to();
        let byte = message.get(at).copied().unwrap_or_default();
        return Err(unreadable(format!("the message is not UTF-8: its byte {} is 0x{byte:02X}", at + 1)));
    }
    // A mark is a byte, and a short message is not looked through.
    let most = limits::MAX_MESSAGE_VALUES;
    if message.len() > most && count::has_more_marks(message, most) {
        return Err(Unreadable::of(&IdScan::of(scanned), invalid(error::too_many_values())));
    }
    match serde_json::from_slice::<Top>(message) {
        Ok(Top::Object(fields)) => fields.envelope(),
        Ok(Top::Other(what)) => {
            let why = format!("the message is {what}: a request is one object, and each is sent by itself");
            Err(Unreadable::of(&Scan::default(), invalid(why)))
        }
        Err(error) => Err(unreadable(not_json(&error))),
    }
}

/// In words that say what to look for; the parser's are for its authors.
fn not_json(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let words = error.to_string();
    let why = words.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&words);
    let why = match why {
        "unexpected end of hex escape" | "lone leading surrogate in hex escape" => {
            "half of a surrogate pair, as of a text that was cut within a character"
        }
        "recursion limit exceeded" => "it is nested too deep",
        _ if error.is_eof() => "it breaks off",
        why => why,
    };
    format!("the message cannot be read as JSON: {why} (line {line}, column {column})")
}

fn invalid(why: impl Into<String>) -> ErrorData {
    ErrorData::invalid_request(why.into(), None)
}

impl Fields {
    fn envelope(self) -> Result<Envelope, Unreadable> {
        let has_answer = self.result || self.error;
        let is_response = self.method.is_none() && has_answer;
        let id = match &self.id {
            Some(Scalar::Text(_) | Scalar::Number(_)) if self.twice != Some("id") => {
                self.id.clone().and_then(Scalar::value)
            }
            _ => None,
        };
        let refuse = |why: String| Err(Unreadable::of(&Scan { id: id.clone(), is_response }, invalid(why)));
        if let Some(name) = self.twice {
            return refuse(format!("the message has \"{name}\" twice"));
        }
        match &self.jsonrpc {
            Some(Scalar::Text(version)) if version == "2.0" => {}
            Some(_) => return refuse("the message's \"jsonrpc\" is not \"2.0\"".to_owned()),
            None => return refuse("the message has no \"jsonrpc\": \"2.0\"".to_owned()),
        }
        if is_response {
            return match (self.result && self.error, &self.id) {
                (true, _) => refuse("the message has both a \"result\" and an \"error\"".to_owned()),
                // Of what the server could not be understood in, no id is known.
                (false, None | Some(Scalar::Null)) if self.error => Ok(Envelope::Response),
                (false, named) => match request_id(named.as_ref()) {
                    Ok(_) => Ok(Envelope::Response),
                    Err(why) => refuse(why),
                },
            };
        }
        match &self.method {
            Some(Scalar::Text(_)) if has_answer => {
                refuse("the message has a \"method\" and an answer".to_owned())
            }
            Some(Scalar::Text(_)) if self.id.is_none() => Ok(Envelope::Notification),
            Some(Scalar::Text(_)) => request_id(self.id.as_ref()).map(Envelope::Request).or_else(refuse),
            Some(_) => refuse("the message's \"method\" is no text".to_owned()),
            None => refuse("the message has no \"method\"".to_owned()),
        }
    }
}

fn request_id(id: Option<&Scalar>) -> Result<RequestId, String> {
    const WANTED: &str = "a text or a whole number is wanted";
    let wrong = |what: &str| format!("the message's \"id\" is {what}: {WANTED}");
    match id {
        None => Err(format!("the message has no \"id\": {WANTED}")),
        Some(Scalar::Null) => Err(wrong("null")),
        Some(Scalar::Other(what)) => Err(wrong(what)),
        Some(Scalar::Text(text)) => Ok(RequestId::String(text.as_str().into())),
        Some(Scalar::Number(number)) => {
            // rmcp knows which numbers it can carry.
            serde_json::from_value(Value::Number(number.clone())).map_err(|_| wrong(&number.to_string()))
        }
    }
}
