//! Variables of the server's environment that a component is granted: fixed with the task, whatever the server is started
//! with later, and no others.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Client, Server, command, guest};

struct House {
    root: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let house = Self { root: tempfile::tempdir().expect("a folder") };
        fs::create_dir(house.path("tools")).expect("a folder");
        fs::copy(guest("interpreter"), house.path("tools/interpreter.wasm")).expect("a copy");
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn start(&self, isolate: &str, variables: &[(&str, &str)]) -> Server {
        let config = self.path(&format!("{isolate}.toml"));
        let text = format!(
            "[engine]\nisolate = {isolate:?}\n[grants.interpreter]\n\
             env = [\"TEST_ONE\", \"TEST_TWO\", \"TEST_UNSET\", \"TEST_KEY\", \"TEST_LONG\"]\n\
             http = [\"https://secrets.example\"]\n\
             secrets = [{{ name = \"key\", host = \"secrets.example\", header = \"x-key\", from = \"env:TEST_KEY\" }}]\n\
             tools = [\"run_program\"]\n[cli]\nanswer_without_terminal = true\n"
        );
        fs::write(&config, text).expect("a configuration");
        let data = self.path(&format!("{isolate}-data"));
        Server::start_granted_with(&data, &[self.path("tools")], &config, variables)
    }
}

/// What the program printed of its environment, each time.
async fn seen(client: &Client, id: &str) -> Vec<String> {
    let document = client.ended(id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{document}");
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    log.lines().filter_map(|line| Some(line.split_once("environment ")?.1.to_owned())).collect()
}

fn look_twice() -> Value {
    json!([{"op": "environment"}, {"op": "receive", "names": ["go"]}, {"op": "environment"}])
}

async fn fixed_with_the_task(isolate: &str) {
    let house = House::new();
    let long = "x".repeat(longhaul::limits::MAX_ENVIRONMENT_BYTES);
    let first = [
        ("TEST_ONE", "1"),
        ("TEST_TWO", "two of-the-task"),
        ("TEST_OTHER", "0"),
        ("TEST_KEY", "of-the-host"),
        ("TEST_LONG", &long),
    ];
    let server = house.start(isolate, &first);
    let client = server.client();
    let id = client.start("run_program", json!({"program": look_twice()}), None).await.expect("a task");
    client.until(&id, |task| task["state"] == "waiting").await;
    assert!(server.said().contains("TEST_LONG"), "what is left out is named: {}", server.said());
    server.kill();

    let server = house.start(isolate, &[("TEST_ONE", "other"), ("TEST_UNSET", "set")]);
    let client = server.client();
    let go = json!({"task_id": id, "name": "go", "payload": {}});
    client.call("task_send", go, json!({})).await.expect("sent");
    assert_eq!(seen(&client, &id).await, ["TEST_ONE=1 TEST_TWO=two of-the-task"; 2]);

    // Its export replays with what it saw, on a machine that has none of it.
    let export = |name: &str, more: &[&str]| {
        let file = house.path(name);
        let words = [&["task", "export", &id, "-o", text(&file)], more].concat();
        let done = command(server.data(), &words).output().expect("longhaul runs");
        assert!(done.status.success(), "{done:?}");
        fs::read(&file).expect("an export")
    };
    let has = |bytes: &[u8], value: &str| bytes.windows(value.len()).any(|window| window == value.as_bytes());
    let redacted = export("redacted.task", &["--redact"]);
    assert!(has(&redacted, "TEST_TWO") && !has(&redacted, "of-the-task"));
    assert!(has(&export("whole.task", &[]), "of-the-task"));
    let replayed = command(&house.path("nowhere"), &["replay", text(&house.path("whole.task"))])
        .output()
        .expect("longhaul runs");
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));

    // A new task, and its child, see what is there now.
    let child =
        json!({"op": "call", "tool": "run_program", "arguments": {"program": [{"op": "environment"}]}});
    let id = client
        .start("run_program", json!({"program": [{"op": "environment"}, child]}), None)
        .await
        .expect("a task");
    let now = ["TEST_ONE=other TEST_UNSET=set"];
    assert_eq!(seen(&client, &id).await, now);
    let tasks = client.structured("task_list", json!({})).await;
    let child =
        tasks["tasks"].as_array().and_then(|tasks| tasks.iter().find(|task| task["parent"] == json!(id)));
    let child = child.and_then(|child| child["id"].as_str()).unwrap_or_else(|| panic!("{tasks}"));
    assert_eq!(seen(&client, child).await, now);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_environment_is_fixed_with_its_task() {
    fixed_with_the_task("none").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_environment_is_fixed_with_its_task_in_a_worker() {
    fixed_with_the_task("process").await;
}
