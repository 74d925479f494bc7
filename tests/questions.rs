//! Questions under kills: asked once, answered once, whatever dies between; and the endpoint that samples.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Client, Dice, Endpoint, Oracle, RpcError, Says, Server, answer_of, command, guest, scale,
};

/// The interpreter with leave to ask.
fn asker(folder: &Path) -> Vec<PathBuf> {
    let wasm = folder.join("asker.wasm");
    fs::copy(guest("interpreter"), &wasm).expect("copied");
    let manifest = "name = \"asker\"\n[capabilities]\nelicit = true\nsample = true\n";
    fs::write(folder.join("asker.toml"), manifest).expect("written");
    vec![wasm]
}

/// What is answered to a question: a number that its key stands for.
fn number(key: &str) -> u64 {
    key.bytes().map(u64::from).sum()
}

/// As a person would, by the command line.
async fn answer(client: &Client, id: &str, key: &str, more: Value) -> Result<Value, RpcError> {
    let mut arguments = json!({"task_id": id, "key": key});
    for (name, value) in more.as_object().expect("an object") {
        arguments[name] = value.clone();
    }
    client.call("task_answer", arguments, json!({"longhaul/by-person": true})).await
}

/// Answers whatever the task asks until it has ended or the server is gone. `held` is how long a question stays open.
async fn answer_all(client: &Client, id: &str, held: Duration) -> Result<Value, RpcError> {
    loop {
        let waited = client.call("task_wait", json!({"task_id": id, "seconds": 20}), json!({})).await?;
        let document = &waited["structuredContent"];
        if !document["input_requests"].is_null() {
            let stands = (&document["state"], &document["reason"]);
            assert_eq!(stands, (&json!("waiting"), &json!("input")), "{document}");
        }
        if matches!(document["state"].as_str(), Some("completed" | "failed" | "cancelled")) {
            return client.task(id).await;
        }
        for key in document["input_requests"].as_object().into_iter().flatten().map(|(key, _)| key) {
            tokio::time::sleep(held).await;
            let taken =
                answer(client, id, key, json!({"action": "accept", "content": {"n": number(key)}})).await?;
            assert_eq!(taken["isError"], false, "{taken}");
        }
    }
}

fn program() -> Vec<Value> {
    vec![
        json!({"op": "step", "name": "before"}),
        json!({"op": "ask", "key": "a"}),
        json!({"op": "step", "name": "between"}),
        json!({"op": "ask_many", "keys": ["b", "c"]}),
        json!({"op": "ask", "key": "a"}),
        json!({"op": "step", "name": "after"}),
    ]
}

/// Each was asked once and answered once, and nothing was run twice.
async fn check(client: &Client, id: &str, document: &Value, at: &str) {
    assert_eq!(document["state"], "completed", "{at}: {document}");
    let answered: Vec<&str> = document["questions_answered"]
        .as_array()
        .expect("answers")
        .iter()
        .map(|answered| {
            assert_eq!(answered["answered_by"]["principal"], "local");
            answered["key"].as_str().expect("a key")
        })
        .collect();
    assert_eq!(answered.len(), 4, "{at}: {answered:?}");
    assert_eq!(
        answered.iter().copied().collect::<BTreeSet<_>>(),
        BTreeSet::from(["a", "a-2", "b", "c"]),
        "{at}"
    );
    let oracle = Oracle::of(&program());
    assert_eq!(
        client.result(id).await.expect("a result")["acc"],
        format!("{:016x}", oracle.acc).as_str(),
        "{at}"
    );
    assert_eq!(
        client.read(&format!("task://{id}/output/trace")).await.expect("a trace"),
        oracle.trace,
        "{at}"
    );
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    let got: Vec<&str> = log.lines().filter_map(|line| line.split_once(" ask").map(|(_, got)| got)).collect();
    let expected = [
        format!(" {}", number("a")),
        format!("_many {} {}", number("b"), number("c")),
        format!(" {}", number("a-2")),
    ];
    assert_eq!(got, expected, "{at}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_each_record_around_its_questions() {
    let root = tempfile::tempdir().expect("a folder");
    let tools = asker(root.path());
    let data = root.path().join("undisturbed");
    let server = Server::start(&data, &tools);
    let client = server.owner();
    let id = client.start("run_program", json!({"program": program()}), None).await.expect("a link");
    let document = answer_all(&client, &id, Duration::ZERO).await.expect("an end");
    check(&client, &id, &document, "undisturbed").await;
    let records = document["steps"].as_u64().expect("a number");
    drop(server);

    let mut killed = 0;
    for record in 1..=records {
        let data = root.path().join(format!("record-{record}"));
        let crash = format!("record:{record}");
        let mut server = Server::start_with(&data, &tools, &[("LONGHAUL_CRASH", &crash)]).expect("a server");
        let client = server.owner();
        let key = Some("k");
        let run = async {
            let id = client.start("run_program", json!({"program": program()}), key).await?;
            answer_all(&client, &id, Duration::ZERO).await
        };
        if run.await.is_ok() {
            continue;
        }
        assert!(server.died().is_some(), "{}", server.said());
        killed += 1;
        let server = Server::start(&data, &tools);
        let client = server.owner();
        let id = client.start("run_program", json!({"program": program()}), key).await.expect("a link");
        let document = answer_all(&client, &id, Duration::ZERO).await.expect("an end");
        check(&client, &id, &document, &format!("killed at record {record}")).await;
    }
    println!("{killed} kills at {records} records");
    assert!(killed * 10 >= records * 8, "too few records were reached: {killed} of {records}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_while_a_question_is_open() {
    let root = tempfile::tempdir().expect("a folder");
    let tools = asker(root.path());
    let mut dice = Dice::new(0x0a5c);
    for round in 0..scale("LONGHAUL_QUESTION_KILLS", 3) {
        let data = root.path().join(format!("round-{round}"));
        let mut lives = 0;
        loop {
            let server = Server::start(&data, &tools);
            let client = server.owner();
            let id =
                client.start("run_program", json!({"program": program()}), Some("k")).await.expect("a link");
            // Long enough that a question's instance leaves memory now and then.
            let held = Duration::from_millis(dice.roll(700));
            let life = Duration::from_millis(100 + dice.roll(900));
            lives += 1;
            match tokio::time::timeout(life, answer_all(&client, &id, held)).await {
                Ok(document) => {
                    check(&client, &id, &document.expect("an end"), &format!("round {round}")).await;
                    break;
                }
                Err(_) => server.kill(),
            }
        }
        println!("round {round}: {lives} lives");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_end_a_question_reaches_the_guest() {
    let root = tempfile::tempdir().expect("a folder");
    let tools = asker(root.path());
    let data = root.path().join("data");
    let server = Server::start(&data, &tools);
    let client = server.owner();
    let program = json!([
        {"op": "ask", "key": "no"}, {"op": "ask", "key": "away"}, {"op": "ask", "key": "late", "seconds": 1},
        {"op": "ask", "key": "offline"},
    ]);
    let id = client.start("run_program", json!({"program": program}), None).await.expect("a link");
    let asks = async |key: &str| {
        client.until(&id, |document| document["input_requests"].get(key).is_some()).await;
    };
    asks("no").await;
    for wrong in [json!({"action": "accept", "content": {"n": "one"}}), json!({"action": "accept"})] {
        let refused = answer(&client, &id, "no", wrong).await.expect("an answer");
        assert_eq!(refused["isError"], true, "{refused}");
    }
    let by_model = json!({"task_id": id, "action": "accept", "content": {"n": 1}});
    let refused = client.call("task_answer", by_model, json!({})).await.expect("an answer");
    let got = refused["content"][0]["text"].as_str().expect("text");
    assert!(got.contains("asked of a person") && !got.contains("longhaul"), "{refused}");
    let by_shell = [&["--decline"][..], &["--key", "no", "n=1"], &["--args", "{\"n\": 1}"], &["--cancel"]];
    for words in by_shell {
        let output = without_terminal(&data, &[&["task", "answer", &id], words].concat());
        let got = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(4) && got.contains("no terminal"), "{words:?}: {got}");
    }
    let resolved = without_terminal(&data, &["task", "resolve", &id, "--step", "0", "--failed"]);
    assert_eq!(resolved.status.code(), Some(4), "{resolved:?}");
    answer_of(command(&data, &["task", "answer", &id, "--decline"]));
    asks("away").await;
    answer_of(command(&data, &["task", "answer", &id, "--key", "away", "--cancel"]));
    asks("late").await;
    // This one is not answered.
    asks("offline").await;
    server.kill();
    // The closed store is no way around it.
    assert_eq!(without_terminal(&data, &["task", "answer", &id, "n=7"]).status.code(), Some(4));
    let document = answer_of(command(&data, &["task", "answer", &id, "n=7"]));
    assert_eq!(document["questions_answered"][2]["answered_by"]["channel"], "cli", "{document}");
    let server = Server::start(&data, &tools);
    let client = server.owner();
    let document = client.ended(&id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{document} {}", server.said());
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    let got: Vec<&str> = log.lines().filter_map(|line| line.split(" ask ").nth(1)).collect();
    assert_eq!(got, ["decline", "cancel", "timeout", "7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configured_endpoint_samples_also_behind_a_kill() {
    let root = tempfile::tempdir().expect("a folder");
    let tools = asker(root.path());
    let data = root.path().join("data");
    let endpoint = Endpoint::start(&[Says::Nothing, Says::Busy]);
    endpoint.configure(&data);
    let server = Server::start_with(&data, &tools, &Endpoint::ENVIRONMENT).expect("a server");
    let client = server.owner();
    let program = json!([
        {"op": "step", "name": "before"}, {"op": "sample", "prompt": "How is it?", "max_tokens": 50},
    ]);
    let id = client.start("run_program", json!({"program": program}), None).await.expect("a link");
    endpoint.asked(1).await;
    server.kill();
    let server = Server::start_with(&data, &tools, &Endpoint::ENVIRONMENT).expect("a server");
    let client = server.owner();
    let document = client.ended(&id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{document} {}", server.said());
    let answered = &document["questions_answered"][0];
    assert_eq!(
        (&answered["model"], &answered["tokens"], &answered["answered_by"]["channel"]),
        (&json!("stand-in-1"), &json!(21), &json!("endpoint")),
        "{document}"
    );
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    assert!(log.contains("sample stand-in-1: It is fine."), "{log}");
    let seen = endpoint.seen();
    for one in &seen {
        assert_eq!(one.header("authorization"), Some("bearer k-1"));
        assert_eq!(one.key(), seen[0].key(), "each try bears the same key: {seen:?}");
        assert_eq!((&one.body["model"], &one.body["max_tokens"]), (&json!("stand-in"), &json!(50)));
        assert_eq!(one.body["messages"], json!([{"role": "user", "content": "How is it?"}]));
    }
    assert_eq!(seen.len(), 3);
}

/// A command in a session of its own, as an agent's shell starts it, and with no leave in its configuration.
fn without_terminal(data: &Path, words: &[&str]) -> Output {
    let longhaul = command(data, words);
    let mut alone = Command::new("setsid");
    alone.arg("--wait").arg(longhaul.get_program()).args(longhaul.get_args()).stdin(Stdio::null());
    alone.env("XDG_CONFIG_HOME", data).current_dir(std::env::temp_dir());
    // What an agent would try.
    alone.env("LONGHAUL_CLI_ANSWER_WITHOUT_TERMINAL", "true");
    alone.output().expect("setsid runs longhaul")
}
