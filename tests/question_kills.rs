//! A question that reached a client, at every point where its server may die: the client answers under the id that it
//! heard, or another client or the command line answers first. Each question is heard under one id, one answer counts,
//! and the tool's result tells whose it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{RpcError, Server, Session, command, copy_folder, guest};

/// Who answers first. The client that was asked answers in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    TheClient,
    /// One of 2026-07-28, by `tasks/update`.
    AnotherClient,
    CommandLine,
}

impl Who {
    /// What is answered: the numbers tell them apart.
    fn number(self) -> u64 {
        match self {
            Self::TheClient => 1,
            Self::AnotherClient => 2,
            Self::CommandLine => 3,
        }
    }

    fn notes(self) -> String {
        format!("answer {}", self.number())
    }

    fn channel(self) -> &'static str {
        match self {
            Self::TheClient | Self::AnotherClient => "mcp",
            Self::CommandLine => "cli",
        }
    }
}

/// A tool that asks, in a data folder where it is compiled already.
struct Place {
    root: tempfile::TempDir,
    tools: Vec<PathBuf>,
    tool: &'static str,
    arguments: Value,
    /// Each question's message and key.
    questions: &'static [(&'static str, &'static str)],
}

impl Place {
    fn travel() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let arguments = json!({"destination": "Oslo"});
        let questions = &[("A trip to Oslo is estimated at $1200. Book it?", "price")];
        Self::prepared(root, guest("travel_agent"), "travel_agent", arguments, questions)
    }

    /// The interpreter, with leave to ask.
    fn two_questions() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let wasm = root.path().join("asker.wasm");
        fs::copy(guest("interpreter"), &wasm).expect("copied");
        let manifest = "name = \"asker\"\n[capabilities]\nelicit = true\n";
        fs::write(root.path().join("asker.toml"), manifest).expect("written");
        let program = json!([
            {"op": "step", "name": "before"}, {"op": "ask", "key": "a"}, {"op": "step", "name": "between"},
            {"op": "ask", "key": "b"},
        ]);
        let questions = &[("What is a?", "a"), ("What is b?", "b")];
        Self::prepared(root, wasm, "run_program", json!({"program": program}), questions)
    }

    fn prepared(
        root: tempfile::TempDir,
        tool_file: PathBuf,
        tool: &'static str,
        arguments: Value,
        questions: &'static [(&'static str, &'static str)],
    ) -> Self {
        let tools = vec![tool_file];
        assert!(Server::start(&root.path().join("template"), &tools).stop().success());
        Self { root, tools, tool, arguments, questions }
    }

    fn serve(&self, data: &Path, crash: Option<&str>) -> Server {
        let variables: Vec<_> = crash.iter().map(|crash| ("LONGHAUL_CRASH", *crash)).collect();
        Server::start_with(data, &self.tools, &variables).expect("a server")
    }

    /// The number of records of an undisturbed run, or of one that was killed; `None` where it ended before.
    async fn run(&self, who: Who, crash: Option<&str>) -> Option<u64> {
        let at = format!("{who:?} {}", crash.unwrap_or("undisturbed"));
        let data = self.root.path().join(at.replace([':', ' '], "-"));
        copy_folder(&self.root.path().join("template"), &data);
        let mut client = Client::new(self, who, &data);
        let mut server = self.serve(&data, crash);
        let mut ended = client.go_on(&server).await;
        if crash.is_some() {
            if ended.is_ok() {
                return None;
            }
            let status = server.died().expect("it is dying");
            assert_eq!(status.code(), None, "{at}: killed, not ended: {}", server.said());
            server = self.serve(&data, None);
            ended = client.go_on(&server).await;
        }
        let result = ended.unwrap_or_else(|error| panic!("{at}: {error:?} {}", server.said()));
        Some(client.check(&server, &result, &at).await)
    }
}

/// A client of 2025-11-25, with all that it remembers from one life of the server to the next.
struct Client<'a> {
    place: &'a Place,
    who: Who,
    data: &'a Path,
    session: Option<Session>,
    /// The ids under which each question was heard.
    heard: BTreeMap<String, BTreeSet<String>>,
    /// Questions whose answers were not acknowledged.
    open: Vec<Value>,
}

impl<'a> Client<'a> {
    fn new(place: &'a Place, who: Who, data: &'a Path) -> Self {
        Self { place, who, data, session: None, heard: BTreeMap::new(), open: Vec::new() }
    }

    /// To the call's result, from wherever it stands.
    async fn go_on(&mut self, server: &Server) -> Result<Value, RpcError> {
        let mut session = match self.session.take() {
            Some(session) => session.at(&server.url),
            None => Session::begin(&server.url, json!({"elicitation": {}})).await?,
        };
        let ended = self.in_session(server, &mut session).await;
        self.session = Some(session);
        ended
    }

    async fn in_session(&mut self, server: &Server, session: &mut Session) -> Result<Value, RpcError> {
        while let Some(asked) = self.open.first().cloned() {
            self.answer(server, session, &asked).await?;
            self.open.remove(0);
        }
        let meta = json!({"longhaul/idempotency-key": "k", "longhaul/reply": "inline"});
        let params = json!({"name": self.place.tool, "arguments": self.place.arguments, "_meta": meta});
        session.call(params).await?;
        loop {
            let message = session.next().await?;
            if message.get("result").is_some() {
                return Ok(message["result"].clone());
            }
            if message["method"] == "elicitation/create" {
                let id = message["id"].as_str().expect("a text").to_owned();
                self.heard.entry(message_of(&message)).or_default().insert(id);
                self.open.push(message.clone());
                self.answer(server, session, &message).await?;
                self.open.pop();
            }
        }
    }

    async fn answer(&self, server: &Server, session: &Session, asked: &Value) -> Result<(), RpcError> {
        match self.who {
            Who::TheClient => {}
            Who::AnotherClient => self.by_update(server, asked).await?,
            Who::CommandLine => self.by_command(asked)?,
        }
        session.reply(asked, content(Who::TheClient)).await
    }

    async fn by_update(&self, server: &Server, asked: &Value) -> Result<(), RpcError> {
        let id = asked["params"]["_meta"]["longhaul/task"].as_str().expect("a task");
        let capabilities = json!({"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}});
        let client = server.client().declaring(capabilities);
        let responses = json!({self.key(asked): content(self.who)});
        let update = json!({"taskId": id, "inputResponses": responses});
        client.request("tasks/update", Some(id), update).await.map(drop)
    }

    /// With the server, or without one where it has died.
    fn by_command(&self, asked: &Value) -> Result<(), RpcError> {
        let id = asked["params"]["_meta"]["longhaul/task"].as_str().expect("a task");
        let number = format!("n={}", self.who.number());
        let notes = format!("notes={}", self.who.notes());
        let content: &[&str] =
            if self.place.tool == "travel_agent" { &["confirm=true", &notes] } else { &[&number] };
        let words = [&["task", "answer", id, "--key", self.key(asked)], content].concat();
        let Output { status, stderr, .. } = command(self.data, &words).output().expect("longhaul runs");
        let said = || RpcError::Lost(String::from_utf8_lossy(&stderr).into_owned());
        if status.success() { Ok(()) } else { Err(said()) }
    }

    fn key(&self, asked: &Value) -> &'static str {
        let message = message_of(asked);
        let question = self.place.questions.iter().find(|(there, _)| *there == message);
        question.unwrap_or_else(|| panic!("{message} is no question of the tool")).1
    }

    /// How many records there were.
    async fn check(&self, server: &Server, result: &Value, at: &str) -> u64 {
        let client = server.client();
        let tasks = client.structured("task_list", json!({})).await;
        assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(1), "{at}: {tasks}");
        let id = tasks["tasks"][0]["id"].as_str().expect("an id");
        let document = client.task(id).await.expect("a task");
        assert_eq!(document["state"], "completed", "{at}: {document}");
        let answered = document["questions_answered"].as_array().expect("answers");
        let answered: Vec<_> =
            answered.iter().map(|one| (&one["key"], &one["answered_by"]["channel"])).collect();
        let (keys, channel): (Vec<Value>, _) =
            (self.place.questions.iter().map(|(_, key)| json!(key)).collect(), json!(self.who.channel()));
        let expected: Vec<_> = keys.iter().map(|key| (key, &channel)).collect();
        assert_eq!(answered, expected, "{at}: one answer each");
        let number = self.who.number();
        if self.place.tool == "travel_agent" {
            assert_eq!(result["structuredContent"]["notes"], json!(self.who.notes()), "{at}: {result}");
        } else {
            let log = client.read(&format!("task://{id}/log")).await.expect("a log");
            let seen: Vec<&str> = log.lines().filter_map(|line| line.split(" ask ").nth(1)).collect();
            assert_eq!(seen, [number.to_string(), number.to_string()], "{at}");
        }
        for (question, ids) in &self.heard {
            assert_eq!(ids.len(), 1, "{at}: {question} was asked under {ids:?}");
        }
        // In the last life of a run it may have been answered before this client heard it.
        let heard: BTreeSet<&str> = self.heard.keys().map(String::as_str).collect();
        let all: BTreeSet<&str> = self.place.questions.iter().map(|(message, _)| *message).collect();
        assert_eq!(heard, all, "{at}");
        document["steps"].as_u64().expect("a number")
    }
}

/// The question alone, without the line that says who asks.
fn message_of(asked: &Value) -> String {
    let message = asked["params"]["message"].as_str().unwrap_or_else(|| panic!("no message in {asked}"));
    message.lines().next().unwrap_or_default().to_owned()
}

/// An answer that fits every question here.
fn content(who: Who) -> Value {
    json!({"action": "accept", "content": {"confirm": true, "notes": who.notes(), "n": who.number()}})
}

/// So many servers are killed side by side; each mostly sleeps.
const LANES: usize = 4;

async fn survives(place: Place) {
    let place = Arc::new(place);
    let records = place.run(Who::TheClient, None).await.expect("it ends");
    let mut runs: Vec<(Who, String)> =
        (1..=records).map(|number| (Who::TheClient, format!("record:{number}"))).collect();
    for who in [Who::TheClient, Who::AnotherClient, Who::CommandLine] {
        for question in 1..=place.questions.len() {
            let points = ["asking", "replying", "answering", "answered", "replied", "answer_taken"];
            runs.extend(points.map(|point| (who, format!("{point}:{question}"))));
        }
    }
    let mut kills = 0;
    for some in runs.chunks(LANES) {
        let lanes = some.iter().cloned().map(|(who, point)| {
            let place = place.clone();
            tokio::spawn(async move { place.run(who, Some(&point)).await })
        });
        for lane in futures::future::join_all(lanes).await {
            kills += usize::from(lane.expect("no panic").is_some());
        }
    }
    println!("{}: {kills} kills at {} points", place.tool, runs.len());
    assert!(kills * 10 >= runs.len() * 8, "too few points were reached: {kills} of {}", runs.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_trip_is_booked_by_one_answer_wherever_its_server_dies() {
    survives(Place::travel()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_questions_have_one_answer_each_wherever_their_server_dies() {
    survives(Place::two_questions()).await;
}
