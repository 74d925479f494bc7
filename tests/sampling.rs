//! `research_agent`, which asks a model, killed at every record of its journal and at each turn of its sample: for a
//! client of either era, and with the configured endpoint. A client that was asked is asked again only where the answer was
//! not on disk, and the end is that of an undisturbed run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{Endpoint, RpcError, Server, Session, copy_folder, guest, on_disk, said};

/// How the model is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// 2025-11-25: as a request on the call's stream, which the client takes up again.
    Session,
    /// 2026-07-28: in rounds of the call. The client repeats a round whose answer was lost.
    Rounds,
    /// 2026-07-28: as the task's input request, which `tasks/update` answers.
    Task,
    /// No client has a model.
    Endpoint,
}

const WORDS: &str = "They come and go.";

/// One client with all that it remembers from one life of the server to the next.
struct Caller {
    way: Way,
    session: Option<Session>,
    /// Of the call, or of its next round.
    params: Value,
    task: Option<String>,
    /// How often its model was asked.
    asked: usize,
}

impl Caller {
    fn new(way: Way) -> Self {
        let meta = match way {
            Way::Task => json!({"longhaul/idempotency-key": "k", "longhaul/reply": "task"}),
            Way::Endpoint => json!({"longhaul/idempotency-key": "k", "longhaul/reply": "link"}),
            Way::Session | Way::Rounds => json!({"longhaul/idempotency-key": "k"}),
        };
        let params = json!({"name": "research_agent", "arguments": {"topic": "tides"}, "_meta": meta});
        Self { way, session: None, params, task: None, asked: 0 }
    }

    /// To the call's result, from wherever it stands.
    async fn go_on(&mut self, server: &Server) -> Result<Value, RpcError> {
        match self.way {
            Way::Session => self.in_session(server).await,
            Way::Rounds => self.in_rounds(server).await,
            Way::Task => self.as_task(server).await,
            Way::Endpoint => self.with_link(server).await,
        }
    }

    /// What its model says to this request.
    fn sample(&mut self, request: &Value) -> Value {
        assert_eq!(request["method"], "sampling/createMessage");
        assert!(request["params"].to_string().contains("tides"), "{request}");
        self.asked += 1;
        said(WORDS)
    }

    async fn in_session(&mut self, server: &Server) -> Result<Value, RpcError> {
        let mut session = match self.session.take() {
            Some(session) => session.at(&server.url),
            None => Session::begin(&server.url, json!({"sampling": {}})).await?,
        };
        let ended = self.on_stream(&mut session).await;
        self.session = Some(session);
        ended
    }

    async fn on_stream(&mut self, session: &mut Session) -> Result<Value, RpcError> {
        session.call(self.params.clone()).await?;
        loop {
            let message = session.next().await?;
            if message.get("result").is_some() {
                return Ok(message["result"].clone());
            }
            if message["method"] == "sampling/createMessage" {
                let answer = self.sample(&message);
                session.reply(&message, answer).await?;
            }
        }
    }

    async fn in_rounds(&mut self, server: &Server) -> Result<Value, RpcError> {
        let client = server.client().declaring(json!({"sampling": {}}));
        loop {
            match client.round(&self.params).await? {
                Ok(result) => return Ok(result),
                Err((asked, next)) => {
                    self.params = next;
                    self.params["inputResponses"] = self.answers(&asked);
                }
            }
        }
    }

    async fn as_task(&mut self, server: &Server) -> Result<Value, RpcError> {
        let capabilities = json!({"sampling": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}});
        let client = server.client().declaring(capabilities);
        let id = match &self.task {
            Some(id) => id.clone(),
            None => {
                let created =
                    client.request("tools/call", Some("research_agent"), self.params.clone()).await?;
                created["taskId"].as_str().expect("a task").to_owned()
            }
        };
        self.task = Some(id.clone());
        loop {
            // Ends as soon as the task ends or asks.
            client.call("task_wait", json!({"task_id": id, "seconds": 30}), json!({})).await?;
            let task = client.request("tasks/get", Some(&id), json!({"taskId": id})).await?;
            match task["status"].as_str() {
                Some("completed") => return Ok(task["result"].clone()),
                Some("input_required") => {
                    let answers = self.answers(&task["inputRequests"]);
                    let update = json!({"taskId": id, "inputResponses": answers});
                    client.request("tasks/update", Some(&id), update).await?;
                }
                Some("working") => {}
                _ => panic!("{task}"),
            }
        }
    }

    fn answers(&mut self, asked: &Value) -> Value {
        let asked = asked.as_object().expect("requests").iter();
        asked.map(|(key, request)| (key.clone(), self.sample(request))).collect()
    }

    async fn with_link(&mut self, server: &Server) -> Result<Value, RpcError> {
        let client = server.client();
        let id = match &self.task {
            Some(id) => id.clone(),
            None => client.start("research_agent", self.params["arguments"].clone(), Some("k")).await?,
        };
        self.task = Some(id.clone());
        client.ended(&id).await?;
        client.call("task_result", json!({"task_id": id}), json!({})).await
    }
}

/// A data folder in which the agent is compiled already, to be copied for each kill.
struct Place {
    root: tempfile::TempDir,
    tools: Vec<PathBuf>,
    way: Way,
}

/// What a run came to.
#[derive(Debug, PartialEq)]
struct End {
    content: Value,
    structured: Value,
    report: String,
    log: String,
}

/// One kill, and how often a model was asked before it and behind it.
#[derive(Clone, Copy, Debug)]
struct Killed {
    before: usize,
    was_answered: bool,
    behind: usize,
}

impl Place {
    fn new(way: Way) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let tools = vec![guest("research_agent")];
        assert!(Server::start(&root.path().join("template"), &tools).stop().success());
        Self { root, tools, way }
    }

    fn copy(&self, name: &str) -> (PathBuf, Endpoint) {
        let data = self.root.path().join(name.replace(':', "-"));
        copy_folder(&self.root.path().join("template"), &data);
        let endpoint = Endpoint::start(&[]);
        if self.way == Way::Endpoint {
            endpoint.configure(&data);
        }
        (data, endpoint)
    }

    fn serve(&self, data: &Path, crash: Option<&str>) -> Server {
        let mut variables = Endpoint::ENVIRONMENT.to_vec();
        variables.extend(crash.map(|crash| ("LONGHAUL_CRASH", crash)));
        Server::start_with(data, &self.tools, &variables).expect("a server")
    }

    /// How often a model was asked: the endpoint's, or the client's.
    fn asked(&self, caller: &Caller, endpoint: &Endpoint) -> usize {
        if self.way == Way::Endpoint { endpoint.seen().len() } else { caller.asked }
    }

    /// The end, and how many records there were.
    async fn undisturbed(&self) -> (End, u64) {
        let (data, endpoint) = self.copy("undisturbed");
        let server = self.serve(&data, None);
        let mut caller = Caller::new(self.way);
        let result = caller.go_on(&server).await.expect("a result");
        assert_eq!(self.asked(&caller, &endpoint), 1);
        self.end(&server, result, "undisturbed").await
    }

    /// `None` where the run ended before it came to that point.
    async fn killed(&self, point: &str, undisturbed: &End) -> Option<Killed> {
        let (data, endpoint) = self.copy(point);
        let mut server = self.serve(&data, Some(point));
        let mut caller = Caller::new(self.way);
        if caller.go_on(&server).await.is_ok() {
            return None;
        }
        let status = server.died().expect("it is dying");
        assert_eq!(status.code(), None, "{point}: killed, not ended: {}", server.said());
        let before = self.asked(&caller, &endpoint);
        let (there, log) = on_disk(&data).await;
        let was_answered = !there.questions_answered.is_empty();
        let server = self.serve(&data, None);
        let result = caller.go_on(&server).await.expect("a result");
        let (end, _) = self.end(&server, result, point).await;
        assert_eq!(end, *undisturbed, "{point}: {}", server.said());
        assert!(
            end.log.starts_with(&log),
            "{point}: what was told before is a part of what is told in the end"
        );
        let seen = endpoint.seen();
        assert!(
            seen.iter().all(|one| !one.key().is_empty() && *one == seen[0]),
            "{point}: one key, one request"
        );
        let behind = self.asked(&caller, &endpoint) - before;
        Some(Killed { before, was_answered, behind })
    }

    /// One sample, answered once.
    async fn end(&self, server: &Server, result: Value, point: &str) -> (End, u64) {
        let client = server.client();
        let tasks = client.structured("task_list", json!({})).await;
        assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(1), "{point}: {tasks}");
        let id = tasks["tasks"][0]["id"].as_str().expect("an id");
        let document = client.task(id).await.expect("a task");
        let (channel, model) = match self.way {
            Way::Endpoint => ("endpoint", Endpoint::MODEL),
            Way::Session | Way::Rounds | Way::Task => ("mcp", "a-model"),
        };
        let answered = document["questions_answered"].as_array().expect("answers");
        let got: Vec<_> =
            answered.iter().map(|one| (&one["key"], &one["answered_by"]["channel"], &one["model"])).collect();
        assert_eq!(got, [(&json!("sample:1"), &json!(channel), &json!(model))], "{point}");
        let end = End {
            content: result["content"].clone(),
            structured: result["structuredContent"].clone(),
            report: client.read(&format!("task://{id}/output/report")).await.expect("a report"),
            log: client.read(&format!("task://{id}/log")).await.expect("a log"),
        };
        (end, document["steps"].as_u64().expect("a number"))
    }
}

/// So many servers are killed side by side; each mostly sleeps.
const LANES: usize = 4;

async fn survives_kills_at_each_point(way: Way) {
    let place = Arc::new(Place::new(way));
    let (undisturbed, records) = place.undisturbed().await;
    let words = if way == Way::Endpoint { Endpoint::WORDS } else { WORDS };
    assert_eq!(undisturbed.structured["summary"], words);
    let undisturbed = Arc::new(undisturbed);
    let mut points: Vec<String> = (1..=records).map(|number| format!("record:{number}")).collect();
    let turns: &[&str] = match way {
        Way::Endpoint => &["asking:1", "sampled:1", "answering:1", "answered:1", "answer_taken:1"],
        Way::Session | Way::Rounds | Way::Task => {
            &["asking:1", "answering:1", "answered:1", "answer_taken:1"]
        }
    };
    points.extend(turns.iter().map(|turn| (*turn).to_owned()));
    let (mut kills, mut asked_twice) = (0, 0);
    for some in points.chunks(LANES) {
        let lanes = some.iter().cloned().map(|point| {
            let (place, undisturbed) = (place.clone(), undisturbed.clone());
            tokio::spawn(async move { (place.killed(&point, &undisturbed).await, point) })
        });
        for (killed, point) in
            futures::future::join_all(lanes).await.into_iter().map(|lane| lane.expect("a lane"))
        {
            let Some(killed) = killed else { continue };
            kills += 1;
            asked_twice += usize::from(killed.before + killed.behind > 1);
            // In rounds the client repeats the answer that it has, in the others its model is asked again.
            let has_it = killed.was_answered || way == Way::Rounds && killed.before > 0;
            assert!(
                killed.before <= 1 && killed.behind == usize::from(!has_it),
                "{way:?} {point}: {killed:?}"
            );
        }
    }
    println!("{way:?}: {kills} kills at {} points, {asked_twice} with a lost answer", points.len());
    assert!(kills * 10 >= points.len() * 8, "too few points were reached: {kills} of {}", points.len());
    assert!(way == Way::Rounds || asked_twice > 0, "no answer was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn research_in_a_session_survives_a_kill_at_each_point() {
    survives_kills_at_each_point(Way::Session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn research_in_rounds_survives_a_kill_at_each_point() {
    survives_kills_at_each_point(Way::Rounds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn research_as_a_task_survives_a_kill_at_each_point() {
    survives_kills_at_each_point(Way::Task).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn research_with_the_endpoint_survives_a_kill_at_each_point() {
    survives_kills_at_each_point(Way::Endpoint).await;
}
