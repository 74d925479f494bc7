//! What a bridge remembers of the two whose lines it carries, so that the host can go on with another server.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rmcp::model::RequestId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::options::BridgeOptions;
use crate::limits;
use crate::mcp::questions::respondent::ID_PREFIX;
use crate::mcp::wire::error;
use crate::mcp::wire::meta::KEY_META;
use crate::mcp::wire::reading::{Envelope, Line, Patience, Unreadable, envelope, without_mark};

/// Our own requests, which repeat what the host once asked for, are known by their ids.
const OWN_ID: &str = "longhaul-bridge-";
/// What can be asked twice without doing anything twice.
const HARMLESS: [&str; 15] = [
    "initialize",
    "server/discover",
    "ping",
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "tasks/get",
    "tasks/cancel",
];
const HARMLESS_TOOLS: [&str; 7] =
    ["task_list", "task_status", "task_wait", "task_result", "task_output", "state_get", "state_list"];

/// Lines, each with its end, for either side.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Carried {
    pub to_host: Vec<Vec<u8>>,
    pub to_server: Vec<Vec<u8>>,
}

#[derive(Default)]
pub struct Conversation {
    options: BridgeOptions,
    /// The handshake of a legacy host, once it was answered.
    initialize: Option<Value>,
    initialized: bool,
    log_level: Option<Value>,
    subscribed: BTreeSet<String>,
    /// Requests of the host that have no answer, by the JSON of their ids.
    pub(super) open: BTreeMap<String, Open>,
    /// What this server asked the host: the ids that the host knows, which are used once, and the server's.
    asked: BTreeMap<u64, Value>,
    last_asked: u64,
    /// Questions of tasks that the host has not answered. Their ids hold at every server of the folder.
    questions: VecDeque<String>,
    /// What the host answered to such: it may have been lost with a server, and the same again does no harm.
    answers: VecDeque<(String, Vec<u8>)>,
    /// What our own requests ask for again, by their ids.
    repeated: BTreeMap<String, Repeated>,
    last_own: u64,
    /// This server has had a request that decides what protocol is spoken; before, it takes no notification.
    begun: bool,
    /// The host says nothing more; it still gets its answers and what is reported of them, and nothing else.
    closing: bool,
    patience: Patience,
}

pub(super) struct Open {
    id: Value,
    kind: Kind,
}

enum Kind {
    Initialize(Value),
    /// Asked again should the server be lost.
    Again(Vec<u8>),
    /// `subscriptions/listen` that was acknowledged.
    Listens,
    Once,
}

enum Repeated {
    Handshake,
    Subscription(String),
    Other,
}

/// As much of a message as matters here.
#[derive(Default, Deserialize)]
struct Peek {
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Params,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    name: Value,
    uri: Value,
    level: Value,
    #[serde(rename = "requestId")]
    request_id: Value,
    #[serde(rename = "_meta")]
    meta: Value,
}

impl Conversation {
    pub fn new(options: BridgeOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// A line of the host's. One that cannot be read is answered here: the server may be another by then.
    pub fn host_said(&mut self, line: Line) -> Carried {
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong(scan) => return self.unreadable(Unreadable::too_long(&scan)),
        };
        let envelope = match envelope(&line) {
            Ok(envelope) => envelope,
            Err(unreadable) => return self.unreadable(unreadable),
        };
        // Params that are not as the protocol has them are the server's to refuse.
        let Peek { id, method, params } = peek(without_mark(&line));
        let method = method.unwrap_or_default();
        match envelope {
            Envelope::Request(id) => self.request(&method, &id, &params, line),
            Envelope::Notification => self.notification(&method, &params, line),
            Envelope::Response => match id {
                Some(id) => self.answer_of_host(&id, &line),
                None => to_server(line),
            },
        }
    }

    fn unreadable(&mut self, unreadable: Unreadable) -> Carried {
        match unreadable {
            Unreadable::Request { id, error } if self.patience.allows(&id) => {
                to_host(&error::rpc_body(&id, &error))
            }
            Unreadable::Request { .. } => Carried::default(),
            // The question it was meant for must not wait for ever.
            Unreadable::Response { id, error } => {
                let line = line_of(&error::rpc_body(&id, &error));
                self.answer_of_host(&id, &line)
            }
        }
    }

    fn request(&mut self, method: &str, id: &RequestId, params: &Params, line: Vec<u8>) -> Carried {
        self.patience.renew();
        let line = self.with_settings(method, &line).unwrap_or(line);
        let refusal = if self.open.contains_key(&key_of(id)) {
            Some(error::id_in_use(id))
        } else if self.open.len() >= limits::MAX_BRIDGED_REQUESTS {
            Some(error::too_many_unanswered(limits::MAX_BRIDGED_REQUESTS))
        } else {
            None
        };
        let key = key_of(id);
        let id = id.clone().into_json_value();
        if let Some(refusal) = refusal {
            return to_host(&error::rpc_body(&id, &refusal));
        }
        self.begun |= !matches!(method, "ping" | "server/discover");
        let harmless = match method {
            "tools/call" => {
                let tool = params.name.as_str().unwrap_or_default();
                HARMLESS_TOOLS.contains(&tool) || params.meta.get(KEY_META).is_some()
            }
            // Until it is acknowledged nothing was sent.
            "subscriptions/listen" => true,
            method => HARMLESS.contains(&method),
        };
        let uri = || params.uri.as_str().map(str::to_owned);
        match method {
            "resources/subscribe" => self.subscribed.extend(uri()),
            "resources/unsubscribe" => drop(uri().map(|uri| self.subscribed.remove(&uri))),
            "logging/setLevel" => self.log_level = Some(params.level.clone()),
            _ => {}
        }
        let handshake = (method == "initialize").then(|| serde_json::from_slice(&line).ok()).flatten();
        let kind = match handshake {
            Some(handshake) => Kind::Initialize(handshake),
            None if harmless && line.len() <= limits::MAX_RESENT_BYTES => Kind::Again(line.clone()),
            None => Kind::Once,
        };
        self.open.insert(key, Open { id, kind });
        to_server(line)
    }

    /// What the host set for itself goes along with each request whose answer it changes, unless that says otherwise.
    fn with_settings(&self, method: &str, line: &[u8]) -> Option<Vec<u8>> {
        const CHANGED: [&str; 3] = ["tools/call", "tasks/get", "subscriptions/listen"];
        let settings = self.options.client.in_meta();
        if settings.is_empty() || !CHANGED.contains(&method) {
            return None;
        }
        let mut message: Value = serde_json::from_slice(without_mark(line)).ok()?;
        let params = message.get_mut("params")?.as_object_mut()?;
        let meta = params.entry("_meta").or_insert_with(|| json!({})).as_object_mut()?;
        for (name, value) in settings {
            meta.entry(name).or_insert(value);
        }
        Some(line_of(&message))
    }

    fn notification(&mut self, method: &str, params: &Params, line: Vec<u8>) -> Carried {
        match method {
            "notifications/initialized" => self.initialized = true,
            // It may be answered or not.
            "notifications/cancelled" => {
                let id = serde_json::from_value(params.request_id.clone());
                drop(id.map(|id| self.open.remove(&key_of(&id))));
            }
            _ => {}
        }
        if self.begun { to_server(line) } else { Carried::default() }
    }

    /// The host answers what a server asked; if that was another server, nothing waits for it.
    fn answer_of_host(&mut self, id: &Value, line: &[u8]) -> Carried {
        if let Some(question) = id.as_str().filter(|id| id.starts_with(ID_PREFIX)) {
            self.questions.retain(|there| there != question);
            self.answers.retain(|(there, _)| there != question);
            if line.len() <= limits::MAX_RESENT_BYTES {
                keep_newest(&mut self.answers, (question.to_owned(), line.to_owned()));
            }
            return to_server(line.to_owned());
        }
        let asked = id.as_u64().and_then(|id| self.asked.remove(&id));
        let message = asked.and_then(|asked| with_id(line, asked));
        Carried { to_server: message.into_iter().collect(), ..Carried::default() }
    }

    /// The host has closed its end.
    pub fn closing(&mut self) {
        self.closing = true;
    }

    /// It has, and has all its answers.
    pub fn is_over(&self) -> bool {
        self.closing && self.open.is_empty()
    }

    /// A line of the server's.
    pub fn server_said(&mut self, line: Line) -> Carried {
        const OF_REQUESTS: [&str; 2] = ["notifications/progress", "notifications/message"];
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong(scan) => return self.too_long_of_server(scan.id),
        };
        let Ok(Peek { id, method, params }) = serde_json::from_slice(&line) else { return as_it_is(line) };
        match (method.as_deref(), id) {
            (Some(method), _) if self.closing && !OF_REQUESTS.contains(&method) => Carried::default(),
            (Some(_), Some(Value::String(id))) if id.starts_with(ID_PREFIX) => self.question(id, line),
            (Some(_), Some(id)) => {
                self.last_asked += 1;
                let Some(line) = with_id(&line, self.last_asked.into()) else { return Carried::default() };
                self.asked.insert(self.last_asked, id);
                as_it_is(line)
            }
            (Some("notifications/cancelled"), None) => self.given_up_by_server(&params.request_id, line),
            (Some("notifications/subscriptions/acknowledged"), None) => {
                let id = &params.meta["io.modelcontextprotocol/subscriptionId"];
                if let Some(open) = self.open.get_mut(&id.to_string()) {
                    open.kind = Kind::Listens;
                }
                as_it_is(line)
            }
            (None, Some(Value::String(id))) if id.starts_with(OWN_ID) => self.repeated(&id),
            (None, Some(id)) => {
                let answered = self.open.remove(&id.to_string());
                if let Some(Open { kind: Kind::Initialize(handshake), .. }) = answered {
                    self.initialize = Some(handshake);
                }
                as_it_is(line)
            }
            (Some(_), None) | (None, None) => as_it_is(line),
        }
    }

    /// The host waits for an answer, if it was one.
    fn too_long_of_server(&mut self, id: Option<Value>) -> Carried {
        tracing::error!(?id, "the server sent a line that is too long");
        let open = id.and_then(|id| self.open.remove(&id.to_string()));
        open.map_or_else(Carried::default, |Open { id, .. }| {
            to_host(&error::rpc_body(&id, &error::too_large_answer()))
        })
    }

    /// The host hears each once, whichever servers ask it.
    fn question(&mut self, id: String, line: Vec<u8>) -> Carried {
        let is_answered = self.answers.iter().any(|(there, _)| *there == id);
        if is_answered || self.questions.contains(&id) {
            return Carried::default();
        }
        keep_newest(&mut self.questions, id);
        as_it_is(line)
    }

    /// The server does not wait any more for an answer of the host's, or ends a subscription of the host's.
    fn given_up_by_server(&mut self, id: &Value, line: Vec<u8>) -> Carried {
        if let Some(question) = id.as_str().filter(|id| id.starts_with(ID_PREFIX)) {
            self.questions.retain(|there| there != question);
            return as_it_is(line);
        }
        let Some((known, _)) = self.asked.iter().find(|(_, asked)| *asked == id) else {
            self.open.remove(&id.to_string());
            return as_it_is(line);
        };
        let known = *known;
        self.asked.remove(&known);
        let Ok(mut message) = serde_json::from_slice::<Value>(&line) else { return as_it_is(line) };
        if let Some(id) = message.pointer_mut("/params/requestId") {
            *id = known.into();
        }
        to_host(&message)
    }

    /// The server answered what we repeated. What happened without a watcher is reported as a change.
    fn repeated(&mut self, id: &str) -> Carried {
        let changed = |method: &str| json!({ "jsonrpc": "2.0", "method": method });
        match self.repeated.remove(id) {
            Some(Repeated::Handshake) => Carried {
                to_host: vec![
                    line_of(&changed("notifications/tools/list_changed")),
                    line_of(&changed("notifications/resources/list_changed")),
                ],
                ..Carried::default()
            },
            Some(Repeated::Subscription(uri)) => {
                let mut updated = changed("notifications/resources/updated");
                updated["params"] = json!({ "uri": uri });
                to_host(&updated)
            }
            Some(Repeated::Other) | None => Carried::default(),
        }
    }

    /// Another server has taken the place of the one that is gone: what it has to be sent to stand where that one
    /// stood, and what the host has to know.
    pub fn replaced(&mut self) -> Carried {
        let mut carried = Carried::default();
        self.repeated.clear();
        self.begun = false;
        self.forget_questions(&mut carried);
        if let Some(mut handshake) = self.initialize.clone() {
            self.begun = true;
            handshake["id"] = self.own_request(Repeated::Handshake).into();
            carried.to_server.push(line_of(&handshake));
            if self.initialized {
                let notice = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
                carried.to_server.push(line_of(&notice));
            }
            let level = self.log_level.clone().map(|level| ("logging/setLevel", json!({ "level": level })));
            carried
                .to_server
                .extend(level.map(|(method, params)| self.again(Repeated::Other, method, params)));
            for uri in self.subscribed.clone() {
                let params = json!({ "uri": uri });
                let line = self.again(Repeated::Subscription(uri), "resources/subscribe", params);
                carried.to_server.push(line);
            }
        }
        carried.to_server.extend(self.answers.iter().map(|(_, line)| line.clone()));
        self.open.retain(|_, open| {
            match &open.kind {
                Kind::Initialize(handshake) => {
                    self.begun = true;
                    carried.to_server.push(line_of(handshake));
                }
                Kind::Again(line) => {
                    self.begun = true;
                    carried.to_server.push(line.clone());
                }
                Kind::Listens => carried.to_host.push(line_of(&listened(&open.id))),
                Kind::Once => {
                    let notice = error::rpc_body(&open.id, &error::server_replaced(&self.options.names));
                    carried.to_host.push(line_of(&notice));
                }
            }
            matches!(open.kind, Kind::Initialize(_) | Kind::Again(_))
        });
        carried
    }

    /// No server takes its place: every request is answered with that.
    pub fn abandoned(&mut self, why: &str) -> Vec<Vec<u8>> {
        let mut carried = Carried::default();
        self.forget_questions(&mut carried);
        carried.to_host.extend(self.questions.drain(..).map(|id| given_up(&id.into())));
        for Open { id, kind } in std::mem::take(&mut self.open).into_values() {
            carried.to_host.push(line_of(&match kind {
                Kind::Listens => listened(&id),
                _ => error::rpc_body(&id, &error::server_gone(why)),
            }));
        }
        carried.to_host
    }

    /// What a server that is gone asked on its own behalf, and no other waits for.
    fn forget_questions(&mut self, carried: &mut Carried) {
        carried.to_host.extend(std::mem::take(&mut self.asked).into_keys().map(|id| given_up(&id.into())));
    }

    fn again(&mut self, repeated: Repeated, method: &str, params: Value) -> Vec<u8> {
        let id = self.own_request(repeated);
        line_of(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
    }

    fn own_request(&mut self, repeated: Repeated) -> String {
        self.last_own += 1;
        let id = format!("{OWN_ID}{}", self.last_own);
        self.repeated.insert(id.clone(), repeated);
        id
    }
}

/// As much as can be read of a message that has an envelope.
fn peek(line: &[u8]) -> Peek {
    #[derive(Deserialize)]
    struct Named {
        id: Option<Value>,
        method: Option<String>,
    }
    serde_json::from_slice(line)
        .or_else(|_| {
            let named = serde_json::from_slice::<Named>(line);
            named.map(|Named { id, method }| Peek { id, method, params: Params::default() })
        })
        .unwrap_or_default()
}

/// The JSON of an id, by which the server's answer is known.
fn key_of(id: &RequestId) -> String {
    id.clone().into_json_value().to_string()
}

/// The server that asked is gone.
fn given_up(id: &Value) -> Vec<u8> {
    let params = json!({ "requestId": id, "reason": "the server was started again" });
    line_of(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }))
}

fn keep_newest<T>(all: &mut VecDeque<T>, one: T) {
    if all.len() == limits::MAX_BRIDGED_QUESTIONS {
        all.pop_front();
    }
    all.push_back(one);
}

/// As a server ends a subscription: the host listens again and reads.
fn listened(id: &Value) -> Value {
    let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
    json!({ "jsonrpc": "2.0", "id": id, "result": { "resultType": "complete", "_meta": meta } })
}

fn to_server(line: Vec<u8>) -> Carried {
    Carried { to_server: vec![line], ..Carried::default() }
}

fn as_it_is(line: Vec<u8>) -> Carried {
    Carried { to_host: vec![line], ..Carried::default() }
}

fn to_host(message: &Value) -> Carried {
    as_it_is(line_of(message))
}

fn with_id(line: &[u8], id: Value) -> Option<Vec<u8>> {
    let mut message: Value = serde_json::from_slice(line).ok()?;
    *message.get_mut("id")? = id;
    Some(line_of(&message))
}

pub fn line_of(message: &Value) -> Vec<u8> {
    format!("{message}\n").into_bytes()
}
