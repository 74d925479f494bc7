//! One run's players: tools, models and servers answer from the file, and what they were asked is kept.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::answers::Answers;
use crate::catalog::Inspection;
use crate::engine::questions::{ModelAnswer, ModelFault, ModelFlow, ModelTerms, Models, Sampled, Sampler};
use crate::engine::{Attempt, BoxFuture, InspectError, Outcome, Runner};
use crate::sandbox::{PlayedRequest, Player, Sandbox};
use crate::task::{ComponentId, ToolResult};

/// A request that was to leave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SentRequest {
    /// `METHOD URL`
    pub line: String,
    pub body: [u8; 32],
    pub key: Option<String>,
}

pub struct Play {
    answers: Arc<Answers>,
    /// The request that stays without an answer, from 1: the attempt ends while it is out.
    cut_at: Option<usize>,
    seen: Mutex<Seen>,
    /// Something is missing.
    pub news: Notify,
    /// The attempt is to end now.
    pub cut: Notify,
}

#[derive(Default)]
struct Seen {
    missing: BTreeSet<String>,
    requests: Vec<SentRequest>,
    of_entry: HashMap<usize, usize>,
    tools: BTreeSet<String>,
    samples: u64,
    has_sampled: bool,
    models: BTreeSet<String>,
}

impl Play {
    pub fn new(answers: Arc<Answers>, cut_at: Option<usize>) -> Self {
        Self { answers, cut_at, seen: Mutex::default(), news: Notify::new(), cut: Notify::new() }
    }

    /// The file has no answer for this: `entry` is what to write.
    pub fn lacks(&self, entry: String) {
        self.seen.lock().missing.insert(entry);
        self.news.notify_one();
    }

    pub fn missing(&self) -> Vec<String> {
        self.seen.lock().missing.iter().cloned().collect()
    }

    pub fn requests(&self) -> Vec<SentRequest> {
        self.seen.lock().requests.clone()
    }

    pub fn tools(&self) -> Vec<String> {
        self.seen.lock().tools.iter().cloned().collect()
    }

    pub fn samples(&self) -> u64 {
        self.seen.lock().samples
    }

    pub fn has_sampled(&self) -> bool {
        self.seen.lock().has_sampled
    }

    pub fn models(&self) -> Vec<String> {
        self.seen.lock().models.iter().cloned().collect()
    }

    fn message(&self, model: Option<&str>, request: &Value) -> Result<Value, String> {
        self.seen.lock().samples += 1;
        let Some(answer) = self.answers.sample(model, &request.to_string()) else {
            self.lacks("[[samples]]\ntext = \"…\"".to_owned());
            return Err("no answer for this sample".to_owned());
        };
        Ok(answer.message.clone().unwrap_or_else(|| {
            let text = answer.text.clone().unwrap_or_default();
            json!({
                "role": "assistant", "content": { "type": "text", "text": text }, "model": "played",
                "stopReason": "endTurn",
            })
        }))
    }

    fn tool(&self, name: &str) -> ToolResult {
        self.seen.lock().tools.insert(name.to_owned());
        let Some(answer) = self.answers.tools.get(name) else {
            self.lacks(format!("[tools.{}]\nresult = {{ … }}", toml_key(name)));
            return ToolResult::error("no answer for this tool");
        };
        match (&answer.result, &answer.text, &answer.error) {
            (Some(result), ..) => {
                ToolResult { structured: Some(result.to_string()), ..ToolResult::text(result.to_string()) }
            }
            (None, Some(text), _) => ToolResult::text(text.clone()),
            (None, None, error) => ToolResult::error(error.clone().unwrap_or_default()),
        }
    }

    fn http(&self, request: PlayedRequest) -> Option<Result<Value, String>> {
        let line = format!("{} {}", request.method, request.url);
        let found = self.answers.http(&line);
        let (turn, number) = {
            let mut seen = self.seen.lock();
            let body = *blake3::hash(&request.body).as_bytes();
            seen.requests.push(SentRequest { line: line.clone(), body, key: request.idempotency_key });
            let turn = found.map_or(0, |(entry, _)| {
                let turns = seen.of_entry.entry(entry).or_default();
                *turns += 1;
                *turns - 1
            });
            (turn, seen.requests.len())
        };
        if self.cut_at == Some(number) {
            self.cut.notify_one();
            return None;
        }
        let Some((_, answer)) = found else {
            self.lacks(format!(
                "[[http]]\nrequest = {}\nanswer = {{ status = 200, body = \"…\" }}",
                json!(line)
            ));
            return Some(Err("no answer for this request".to_owned()));
        };
        if let Some(why) = &answer.fails {
            return Some(Err(why.clone()));
        }
        let answers = answer.answers.as_deref().unwrap_or_default();
        let given = answer.answer.as_ref().or_else(|| answers.get(turn).or(answers.last()));
        Some(given.cloned().ok_or_else(|| "no answer for this request".to_owned()))
    }
}

/// As a key of TOML, quoted where it needs to be.
pub fn toml_key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.bytes().all(is_bare) { name.to_owned() } else { json!(name).to_string() }
}

impl Sampler for Play {
    fn sample(&self, request: Value, _key: String) -> BoxFuture<Result<Sampled, String>> {
        self.seen.lock().has_sampled = true;
        let message = self.message(None, &request);
        Box::pin(async move { Ok(Sampled { message: message?, tokens: None }) })
    }
}

/// Each name is there, and none costs anything.
impl Models for Play {
    fn terms(&self, _model: &str) -> Option<ModelTerms> {
        Some(ModelTerms::default())
    }

    fn ask(
        &self,
        model: String,
        request: Value,
        _key: String,
        flow: Arc<dyn ModelFlow>,
    ) -> BoxFuture<Result<ModelAnswer, ModelFault>> {
        let message = self.message(Some(&model), &request);
        self.seen.lock().models.insert(model);
        Box::pin(async move {
            let message = message.map_err(|why| ModelFault::Unavailable { why, may_be_paid: false })?;
            if let Some(text) = message["content"]["text"].as_str() {
                flow.said(text.to_owned()).await;
            }
            Ok(ModelAnswer { message, input_tokens: None, output_tokens: 0 })
        })
    }
}

/// The players of the present run; they outlive it, since what was compiled once serves all runs.
pub struct Switch {
    now: Mutex<Arc<Play>>,
}

impl Switch {
    pub fn new() -> Self {
        Self { now: Mutex::new(Arc::new(Play::new(Arc::default(), None))) }
    }

    pub fn set(&self, play: Arc<Play>) {
        *self.now.lock() = play;
    }

    fn play(&self) -> Arc<Play> {
        self.now.lock().clone()
    }
}

impl Player for Switch {
    fn answer(&self, request: PlayedRequest) -> BoxFuture<Result<Value, String>> {
        let answer = self.play().http(request);
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

/// Runs the component in the sandbox, and played tools from the file.
pub struct PlayedRunner {
    pub sandbox: Arc<Sandbox>,
    pub switch: Arc<Switch>,
}

/// Whose tools are played.
pub fn played_component() -> ComponentId {
    ComponentId::of_closures("played", "1")
}

impl Runner for PlayedRunner {
    fn inspect(&self, component: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>> {
        self.sandbox.inspect(component)
    }

    fn run(&self, attempt: Attempt) -> BoxFuture<Outcome> {
        if attempt.task.component != played_component() {
            return self.sandbox.run(attempt);
        }
        let result = self.switch.play().tool(&attempt.task.tool);
        Box::pin(std::future::ready(Outcome::Completed(result)))
    }

    fn describe(&self, kind: u8, payload: &[u8]) -> (&'static str, Option<String>) {
        self.sandbox.describe(kind, payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(text: &str, cut_at: Option<usize>) -> Play {
        Play::new(Arc::new(toml::from_str(text).expect("answers")), cut_at)
    }

    fn get(url: &str) -> PlayedRequest {
        PlayedRequest { method: "GET".into(), url: url.into(), body: Vec::new(), idempotency_key: None }
    }

    #[test]
    fn what_the_file_does_not_have_is_named_with_what_to_write() {
        let play = play("", None);
        assert!(play.tool("docs/search").is_error);
        assert!(matches!(play.http(get("http://a/")), Some(Err(_))));
        let missing = play.missing().join("\n");
        assert!(missing.contains("[tools.\"docs/search\"]"), "{missing}");
        assert!(missing.contains("request = \"GET http://a/\""), "{missing}");
    }

    #[test]
    fn several_answers_come_in_turn_and_the_last_again_and_again() {
        let text = "[[http]]\nrequest = \"GET http://a/\"\nanswers = [{status = 202}, {status = 200}]\n";
        let play = play(text, Some(4));
        let status =
            || play.http(get("http://a/")).map(|answer| answer.expect("an answer")["status"].clone());
        assert_eq!([status(), status(), status()], [Some(json!(202)), Some(json!(200)), Some(json!(200))]);
        assert_eq!(status(), None, "it is out when the attempt ends");
        assert_eq!(play.requests().len(), 4);
    }
}
