//! What is on the wire, in both eras, as files that were read through: an rmcp that says something else is seen in
//! a difference of them. `LONGHAUL_UPDATE_GOLDEN=1 cargo test --lib wire` writes them again.

mod golden;
mod legacy;
mod modern;
mod names;
mod own;

use std::fmt::Write as _;

use super::raw::Raw;
use super::*;
use crate::engine::questions::Ask;
use crate::task::By;
use golden::compare;
use names::Names;

/// Tools of these files alone: what other tests add changes nothing here.
fn wire_tools(gate: &Arc<Semaphore>) -> Closures {
    let anything = json!({"type": "object"});
    let gate = gate.clone();
    let mut asks = definition("asks", Reply::Inline, anything.clone(), None);
    asks.inline_wait_seconds = Some(0);
    let done = json!({"type": "object", "properties": {"done": {"type": "integer"}}, "required": ["done"]});
    quick_tools(Closures::new())
        .tool(
            definition("stages", Reply::Link, anything.clone(), Some(done)),
            "1",
            move |steps: Steps, arguments| {
                let gate = gate.clone();
                async move { stages(&steps, &gate, arguments["stages"].as_u64().unwrap_or_default()).await }
            },
        )
        .tool(asks, "1", |steps: Steps, _| async move {
            let schema = json!({"type": "object", "properties": {"confirm": {"type": "boolean"}}});
            let form = Ask::Form { message: "Shall it be?".to_owned(), schema: schema.to_string() };
            let asking = steps.ask(Some("sure"), By::Person, form, Duration::from_secs(86_400))?;
            steps.answer(asking).await?;
            Ok(ToolResult::text("so be it"))
        })
        .tool(definition("needs_tasks", Reply::Task, anything, None), "1", |_: Steps, _| async {
            Ok(ToolResult::text("as a task"))
        })
}

async fn wire_world() -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let gate = Arc::new(Semaphore::new(0));
    let closures = wire_tools(&gate);
    let catalog = Arc::new(closures.catalog().expect("a catalog"));
    let engine = TaskEngine::open(folder.path(), Arc::new(closures), EngineOptions::default()).await;
    let engine = engine.expect("an engine");
    engine.set_catalog(catalog);
    engine.start().await.expect("a start");
    // The words of our own tools are no matter of the wire.
    let options = McpOptions { task_tools: false, ..McpOptions::default() };
    let server = McpServer::new(engine.clone(), options);
    let http = HttpServer::bind(server, Options::new(loopback())).await.expect("a server");
    World { folder, engine, http, gate }
}

/// Sends requests, and writes down what goes out and what comes back.
struct Recorder {
    http: reqwest::Client,
    names: Names,
    text: String,
    /// A notification that is left out, since how often it comes depends on how fast others are.
    passes_over: &'static str,
}

/// An answer whose body is still to come, at least in part.
struct Answer {
    response: reqwest::Response,
    held: String,
    /// Of the event that was read last.
    last_id: String,
}

impl Recorder {
    fn new(raw: &Raw, title: &str) -> Self {
        Self {
            http: raw.http.clone(),
            names: Names::default(),
            text: format!("# {title}\n"),
            passes_over: "",
        }
    }

    /// One request and its whole answer; gives the last message.
    async fn exchange(&mut self, title: &str, request: reqwest::RequestBuilder) -> Value {
        let answer = self.send(title, request).await;
        self.rest(answer).await
    }

    /// One request and the head of its answer.
    async fn send(&mut self, title: &str, request: reqwest::RequestBuilder) -> Answer {
        let request = request.build().expect("a request");
        let _ = writeln!(self.text, "\n## {title}\n\n> {} {}", request.method(), request.url().path());
        self.headers('>', request.headers());
        if let Some(body) = request.body().and_then(reqwest::Body::as_bytes) {
            let body = std::str::from_utf8(body).expect("text").to_owned();
            self.body('>', "", &body);
        }
        let response = in_time(self.http.execute(request)).await.expect("an answer");
        let _ = writeln!(self.text, "\n< {}", response.status().as_u16());
        self.headers('<', response.headers());
        Answer { response, held: String::new(), last_id: String::new() }
    }

    /// The rest of an answer; gives the last message.
    async fn rest(&mut self, mut answer: Answer) -> Value {
        let is_stream = answer.response.headers().get("content-type");
        if is_stream.is_some_and(|kind| kind == "text/event-stream") {
            let mut last = Value::Null;
            while let Some(message) = self.event(&mut answer).await {
                last = message;
            }
            return last;
        }
        let body = in_time(answer.response.text()).await.expect("a body");
        self.body('<', "", &body);
        serde_json::from_str(&body).unwrap_or_default()
    }

    /// The events of a stream up to the first message that fits.
    async fn until(&mut self, answer: &mut Answer, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.event(answer).await.expect("more of the stream");
            if fits(&message) {
                return message;
            }
        }
    }

    /// The next event with its message; none is null.
    async fn event(&mut self, answer: &mut Answer) -> Option<Value> {
        let (event, message) = loop {
            let event = answer.event().await?;
            let data = event.lines().find_map(|line| line.strip_prefix("data:"));
            let message = data.filter(|data| !data.trim().is_empty());
            let message = message.map_or(Value::Null, |data| serde_json::from_str(data).expect("JSON"));
            if message["method"].as_str().is_none_or(|method| method != self.passes_over) {
                break (event, message);
            }
        };
        for line in event.lines() {
            match line.split_once(':') {
                Some(("id", id)) if !id.trim().is_empty() => {
                    let name = self.names.name("EVENT", id.trim());
                    answer.last_id = id.trim().to_owned();
                    let _ = writeln!(self.text, "< id: {name}");
                }
                Some(("data", data)) if !data.trim().is_empty() => {
                    self.body('<', "data: ", data);
                }
                _ => {
                    let _ = writeln!(self.text, "< {line}");
                }
            }
        }
        self.text.push_str("<\n");
        Some(message)
    }

    /// Those that say something: not lengths and times.
    fn headers(&mut self, mark: char, headers: &reqwest::header::HeaderMap) {
        let mut lines: Vec<String> = Vec::new();
        for (name, value) in headers {
            let value = value.to_str().expect("text");
            match name.as_str() {
                "date" | "content-length" | "host" => continue,
                "mcp-session-id" if value != "nonsense" => {
                    lines.push(format!("{name}: {}", self.names.name("SESSION", value)));
                }
                "last-event-id" if value != "nonsense" => {
                    lines.push(format!("{name}: {}", self.names.name("EVENT", value)))
                }
                _ => lines.push(format!("{name}: {}", self.names.clean(value))),
            }
        }
        lines.sort();
        for line in lines {
            let _ = writeln!(self.text, "{mark} {line}");
        }
    }

    fn body(&mut self, mark: char, before: &str, body: &str) {
        if body.trim().is_empty() {
            return;
        }
        let text = match serde_json::from_str::<Value>(body) {
            Ok(value) => serde_json::to_string_pretty(&self.names.clean_json(&value)).expect("JSON"),
            Err(_) => self.names.clean(body),
        };
        if before.is_empty() {
            let _ = writeln!(self.text, "{mark}");
        }
        for (number, line) in text.lines().enumerate() {
            let _ = writeln!(self.text, "{mark} {}{line}", if number == 0 { before } else { "" });
        }
    }
}

impl Answer {
    /// The lines of the next event; comments, which keep a stream alive, are none.
    async fn event(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.held.find("\n\n") {
                let event: String = self.held.drain(..end + 2).collect();
                let lines: Vec<&str> =
                    event.lines().filter(|l| !l.is_empty() && !l.starts_with(':')).collect();
                if !lines.is_empty() {
                    return Some(lines.join("\n"));
                }
                continue;
            }
            let chunk = in_time(self.response.chunk()).await.expect("a stream")?;
            self.held.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }
}

fn call(tool: &str, arguments: Value) -> Value {
    json!({"name": tool, "arguments": arguments})
}

fn with(mut params: Value, key: &str, value: Value) -> Value {
    params[key] = value;
    params
}

fn method<'a>(expected: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |message| message["method"] == expected
}
