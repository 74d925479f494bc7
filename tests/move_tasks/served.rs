//! While the server runs, and what is approved by a person.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{alike, changed, count, done, other_header, other_words};
use crate::support::{Client, Server, command, copy_folder, guest};

const MANIFEST: &str = "name = \"interpreter\"\n[capabilities]\nstate = [\"vault\"]\nelicit = true\n";

/// A server that trusts nothing, with the interpreter, approved as its grant says.
pub struct Place {
    root: tempfile::TempDir,
}

impl Place {
    pub fn new(grant: &str) -> Self {
        Self::asking_for(MANIFEST, grant)
    }

    pub fn asking_for(manifest: &str, grant: &str) -> Self {
        let place = Self { root: tempfile::tempdir().expect("a folder") };
        let text = format!("{grant}\n[cli]\nanswer_without_terminal = true\n");
        fs::write(place.config(), text).expect("a configuration");
        for folder in ["tools", "next", "other", "header"] {
            fs::create_dir(place.root.path().join(folder)).expect("a folder");
            fs::write(place.root.path().join(folder).join("interpreter.toml"), manifest).expect("written");
        }
        let built = guest("interpreter");
        changed(&built, &place.file("tools"), <[u8]>::to_vec);
        changed(&built, &place.file("next"), alike);
        changed(&built, &place.file("other"), other_words);
        changed(&built, &place.file("header"), other_header);
        place
    }

    /// The same, while no server runs, as another place of its own.
    pub fn copied(&self) -> Self {
        let copy = Self { root: tempfile::tempdir().expect("a folder") };
        copy_folder(self.root.path(), copy.root.path());
        copy
    }

    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn config(&self) -> PathBuf {
        self.root.path().join("longhaul.toml")
    }

    pub fn file(&self, folder: &str) -> PathBuf {
        self.root.path().join(folder).join("interpreter.wasm")
    }

    pub fn tools(&self) -> PathBuf {
        self.root.path().join("tools")
    }

    /// The version in this folder is what a start finds.
    pub fn install(&self, folder: &str) {
        fs::copy(self.file(folder), self.file("tools")).expect("copied");
    }

    pub fn start(&self, variables: &[(&str, &str)]) -> Server {
        let tools = [self.tools()];
        Server::start_granted_with(&self.data(), &tools, &self.config(), variables)
    }

    /// `longhaul tool …`
    pub fn tool(&self, words: &[&str]) -> (Option<i32>, Value, String) {
        self.tool_with(words, &[])
    }

    pub fn tool_with(&self, words: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, Value, String) {
        let mut command = command(&self.data(), &[&["tool"], words].concat());
        command.env("LONGHAUL_CONFIG", self.config()).envs(variables.iter().copied());
        done(command)
    }

    /// Approves what waits, with these options; what was said.
    pub fn approve(&self, options: &[&str]) -> String {
        let (_, listed, said) = self.tool(&["approve"]);
        let digest =
            listed["waiting"][0]["digest"].as_str().unwrap_or_else(|| panic!("{listed} {said}")).to_owned();
        let (exit, _, said) =
            self.tool(&[&["approve", "interpreter", "--digest", &digest], options].concat());
        assert_eq!(exit, Some(0), "{said}");
        said
    }
}

/// Waits for a message, then writes an entry.
pub fn waiting(key: &str) -> Value {
    let put = json!({"op": "state_put", "namespace": "vault", "entries": [{"key": key, "value": 1}]});
    json!({"program": [{"op": "step", "name": "a"}, {"op": "receive", "names": ["go"]}, put, {"op": "step", "name": "b"}]})
}

pub async fn begin(client: &Client, arguments: Value) -> String {
    let id = client.start("run_program", arguments, None).await.expect("a task");
    client.until(&id, |task| task["state"] == "waiting").await;
    id
}

/// Lets it go on; how it ended.
pub async fn go(client: &Client, id: &str) -> Value {
    client.structured("task_send", json!({"task_id": id, "name": "go", "payload": 1})).await;
    client.ended(id).await.expect("a task")
}

async fn component(client: &Client, id: &str) -> Value {
    client.task(id).await.expect("a task")["component"].clone()
}

const GRANT: &str = "[grants.interpreter]\nstate = [\"vault\"]\nelicit = true\n";

/// A version that waits is tried while it waits, and moves nothing before a person has approved it; what the approval does
/// not give, a moved task has lost.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_moved_to_what_is_approved_alone_and_gain_nothing() {
    let place = Place::new(GRANT);
    let server = place.start(&[]);
    let client = server.owner();
    let (first, second) = (begin(&client, waiting("one")).await, begin(&client, waiting("two")).await);
    let asking = json!({"program": [{"op": "ask", "key": "price"}]});
    let asking = begin(&client, asking).await;
    let old = component(&client, &first).await;

    let next = place.file("next");
    let next = next.to_str().expect("text");
    let (exit, tried, said) = place.tool(&["update", "interpreter", next, "--try"]);
    assert_eq!((exit, count(&tried, "goes_on")), (Some(0), 3), "{tried} {said}");
    assert_eq!(place.tool(&["approve"]).1["waiting"], json!([]), "nothing was changed by it");
    let (exit, _, said) = place.tool(&["update", "interpreter", next, "--move-tasks"]);
    assert!(exit == Some(4) && said.contains("longhaul tool approve interpreter"), "{exit:?} {said}");
    let (exit, tried, said) = place.tool(&["update", "interpreter", "--try"]);
    assert_eq!((exit, count(&tried, "goes_on")), (Some(0), 3), "the one that waits: {tried} {said}");
    let (exit, _, said) = place.tool(&["update", "interpreter", "--move-tasks"]);
    assert!(exit == Some(4) && said.contains("approved first"), "{exit:?} {said}");
    assert_eq!(component(&client, &first).await, old);

    let said = place.approve(&["--without", "state"]);
    assert!(said.contains("3 would go on") && said.contains("tool update interpreter --try"), "{said}");
    assert_eq!(component(&client, &first).await, old, "an approval moves nothing");
    let (exit, moved, said) = place.tool(&["update", "interpreter", "--move-tasks"]);
    assert_eq!((exit, count(&moved, "moved")), (Some(0), 3), "{moved} {said}");
    let new = moved["component"].clone();
    for id in [&first, &second, &asking] {
        assert_eq!(component(&client, id).await, new);
    }
    let (exit, again, _) = place.tool(&["update", "interpreter", "--move-tasks"]);
    assert_eq!((exit, &again["tasks"]), (Some(0), &json!([])), "nothing is left");
    let ended = go(&client, &first).await;
    let log = client.read(&format!("task://{first}/log")).await.unwrap_or_default();
    assert!(!log.contains("state_put 1"), "it has lost that: {ended} {log}");
    server.answer(&asking, &["--key", "price", "n=7"]);
    assert_eq!(client.ended(&asking).await.expect("a task")["state"], "completed");

    // What the version is given later does not come back to what was moved without it.
    let (_, listed, _) = place.tool(&["approve"]);
    let digest = listed["approved"][0]["digest"].as_str().expect("a digest").to_owned();
    let (exit, _, said) = place.tool(&["approve", "interpreter", "--digest", &digest]);
    assert_eq!(exit, Some(0), "{said}");
    let fresh = begin(&client, waiting("three")).await;
    assert_eq!(go(&client, &fresh).await["state"], "completed");
    go(&client, &second).await;
    let entries = server.longhaul(&["state", "list", "vault"])["entries"].clone();
    let keys: Vec<&Value> = entries.as_array().expect("entries").iter().map(|entry| &entry["key"]).collect();
    assert_eq!(keys, ["three"], "a moved task never has more than it was moved with");
    assert!(server.stop().success());
}

/// What would differ stays, is named, and ends as it would have.
#[tokio::test(flavor = "multi_thread")]
async fn what_differs_stays_and_is_named() {
    let place = Place::new(GRANT);
    let server = place.start(&[]);
    let client = server.owner();
    let waits = begin(&client, waiting("one")).await;
    let asking =
        begin(&client, json!({"program": [{"op": "step", "name": "a"}, {"op": "ask", "key": "price"}]}))
            .await;
    let old = component(&client, &waits).await;
    let other = place.file("other");
    let (_, _, said) = place.tool(&["update", other.to_str().expect("text")]);
    let shown = place.approve(&[]);
    assert!(shown.contains("1 would go on, 1 differ"), "{shown} {said}");
    let (exit, moved, _) = place.tool(&["update", "interpreter", "--move-tasks"]);
    assert_eq!((exit, count(&moved, "moved"), count(&moved, "differs")), (Some(1), 1, 1), "{moved}");
    let group = &moved["groups"][0];
    assert_eq!(group["tasks"], json!([asking]), "{moved}");
    assert!(group["step"].is_u64() && group["guest"].as_str().expect("words").contains("elicit"), "{group}");
    assert_eq!(component(&client, &asking).await, old);
    assert_ne!(component(&client, &waits).await, old);
    assert_eq!(go(&client, &waits).await["state"], "completed");
    server.answer(&asking, &["--key", "price", "n=7"]);
    assert_eq!(client.ended(&asking).await.expect("a task")["state"], "completed");
    assert!(server.stop().success());
}

/// One that computes and records is left alone or moved between two of its steps, and does each of them once.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_at_work_loses_nothing() {
    let place = Place::new(GRANT);
    let server = place.start(&[]);
    let client = server.owner();
    let body = json!([{"op": "step", "name": "s"}, {"op": "nap", "ms": 5}]);
    let program =
        json!({"program": [{"op": "loop", "times": 200, "body": body}, {"op": "receive", "names": ["go"]}]});
    let id = client.start("run_program", program, None).await.expect("a task");
    client.until(&id, |task| task["steps"].as_u64() > Some(20)).await;
    let next = place.file("next");
    place.tool(&["update", next.to_str().expect("text")]);
    place.approve(&[]);
    let (_, moved, said) = place.tool(&["update", "interpreter", "--move-tasks"]);
    assert_eq!(count(&moved, "moved") + count(&moved, "busy"), 1, "{moved} {said}");
    client.until(&id, |task| task["state"] == "waiting").await;
    let (exit, _, said) = place.tool(&["update", "interpreter", "--move-tasks"]);
    assert_eq!(exit, Some(0), "{said}");
    assert_eq!(go(&client, &id).await["state"], "completed");
    let trace = client.read(&format!("task://{id}/output/trace")).await.expect("a trace");
    let expected: String = (1..=200).map(|number| format!("{number} s\n")).collect();
    assert_eq!(trace, expected);
    assert!(server.stop().success());
}
