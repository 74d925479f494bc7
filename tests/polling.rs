//! Clients that poll their tasks, with the real program: when they may ask again, in both eras, and that a poll of
//! what has not changed reads nothing.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Client, RpcError, Server, Session, answer_of, command, guest};

const DAY_MS: u64 = 86_400_000;

/// Polls at once, of which each would read the store.
const POLLS: usize = 20;

struct Place {
    root: tempfile::TempDir,
    server: Server,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let component = root.path().join("interpreter.wasm");
        fs::copy(guest("interpreter"), &component).expect("a copy");
        let manifest = "name = \"interpreter\"\n[capabilities]\nelicit = true\n";
        fs::write(root.path().join("interpreter.toml"), manifest).expect("a manifest");
        let server = Server::start(&root.path().join("data"), &[component]);
        Self { root, server }
    }

    /// A principal with a token, whose client takes tasks.
    fn caller(&self, name: &str) -> Client {
        let made = self.run(&["token", "new", name, "--tools", "*"]);
        takes_tasks(self.server.client().with_key(made["token"].as_str().expect("a token")))
    }

    fn run(&self, words: &[&str]) -> Value {
        answer_of(command(&self.root.path().join("data"), words))
    }

    async fn reads(&self) -> u64 {
        let page = self.server.page("metrics").await;
        let reads = page.lines().find_map(|line| line.strip_prefix("longhaul_store_reads_total "));
        reads.expect("a metric").parse().expect("a number")
    }

    /// The least that one of some bursts of polls read: other things read the store now and then.
    async fn read_by(&self, poll: impl AsyncFn()) -> u64 {
        let mut least = u64::MAX;
        for _ in 0..10 {
            let before = self.reads().await;
            for _ in 0..POLLS {
                poll().await;
            }
            least = least.min(self.reads().await - before);
            if least == 0 {
                break;
            }
        }
        least
    }
}

fn takes_tasks(client: Client) -> Client {
    client.declaring(json!({"extensions": {"io.modelcontextprotocol/tasks": {}}}))
}

async fn create(client: &Client, op: Value) -> Value {
    let arguments = json!({"program": [op]});
    client.call("run_program", arguments, json!({"longhaul/reply": "link"})).await.expect("a task")
}

async fn get(client: &Client, id: &str) -> Result<Value, RpcError> {
    client.request("tasks/get", Some(id), json!({"taskId": id})).await
}

async fn until(client: &Client, id: &str, interval: u64) -> Value {
    client.until(id, |task| task["poll_interval_ms"] == interval).await;
    get(client, id).await.expect("a task")
}

#[tokio::test(flavor = "multi_thread")]
async fn both_eras_learn_when_to_ask_again_and_a_poll_in_vain_reads_nothing() {
    let place = Place::new();
    let client = takes_tasks(place.server.client());
    let created = create(&client, json!({"op": "sleep", "ms": DAY_MS})).await;
    assert_eq!(created["pollIntervalMs"], 1_000, "{created}");
    let id = created["taskId"].as_str().expect("an id").to_owned();
    let resting = until(&client, &id, 60_000).await;
    assert_eq!((&resting["pollIntervalMs"], &resting["status"]), (&json!(60_000), &json!("working")));
    let status = client.structured("task_status", json!({"task_id": id})).await;
    assert_eq!(status["poll_interval_ms"], 60_000, "{status}");

    let mut legacy = Session::begin(&place.server.url, json!({})).await.expect("a session");
    legacy.call(json!({"name": "task_status", "arguments": {"task_id": id}})).await.expect("called");
    let answer = legacy.next().await.expect("an answer");
    assert_eq!(answer["result"]["structuredContent"]["poll_interval_ms"], 60_000, "{answer}");
    let by_extension = async || {
        get(&client, &id).await.expect("a task");
    };
    assert_eq!(place.read_by(by_extension).await, 0);
    let by_tool = async || {
        client.structured("task_status", json!({"task_id": id})).await;
    };
    assert_eq!(place.read_by(by_tool).await, 0);

    client.structured("task_cancel", json!({"task_id": id})).await;
    let over = get(&client, &id).await.expect("a task");
    assert_eq!((&over["status"], over.get("pollIntervalMs")), (&json!("cancelled"), None), "{over}");
    place.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_polled_slowly_and_its_answer_is_seen_at_once() {
    let place = Place::new();
    let client = takes_tasks(place.server.client());
    let created = create(&client, json!({"op": "ask", "key": "q"})).await;
    let id = created["taskId"].as_str().expect("an id").to_owned();
    let asking = until(&client, &id, 5_000).await;
    assert_eq!(asking["pollIntervalMs"], 5_000, "{asking}");
    place.server.answer(&id, &["--key", "q", "--decline"]);
    let after = client.task(&id).await.expect("a task");
    assert_eq!(after.get("input_requests"), None, "{after}");
    client.ended(&id).await.expect("an end");
    place.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_task_is_shown_to_its_principal_alone_and_not_after_its_token() {
    let place = Place::new();
    let (ann, bob) = (place.caller("ann"), place.caller("bob"));
    let created = create(&ann, json!({"op": "sleep", "ms": DAY_MS})).await;
    let id = created["taskId"].as_str().expect("an id").to_owned();
    until(&ann, &id, 60_000).await;
    let poll = async || {
        get(&ann, &id).await.expect("a task");
    };
    assert_eq!(place.read_by(poll).await, 0, "it is kept");
    let refused = get(&bob, &id).await;
    assert!(matches!(refused, Err(RpcError::Refused { code: -32602, .. })), "{refused:?}");
    place.run(&["token", "revoke", "ann"]);
    let refused = get(&ann, &id).await;
    assert!(refused.is_err(), "{refused:?}");
    place.server.stop();
}
