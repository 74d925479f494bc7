//! Messages to a running task: none lost, none twice, in order, whatever is killed between a send and its receive.

use std::time::Duration;

use serde_json::json;

use crate::support::{Client, Dice, Oracle, RpcError, Server, answer_of, command, guest, scale};

/// Sends what is not acknowledged yet, in order, until the server is gone; true when all is sent.
async fn send(client: &Client, id: &str, sent: &mut u64, all: u64) -> bool {
    while *sent < all {
        let number = *sent + 1;
        let arguments =
            json!({"task_id": id, "name": "go", "payload": {"n": number}, "key": format!("k{number}")});
        match client.call("task_send", arguments, json!({})).await {
            Ok(answer) => {
                assert_eq!(answer["structuredContent"], json!({"seq": number}), "{answer}");
                *sent = number;
            }
            Err(RpcError::Lost(_)) => return false,
            Err(error) => panic!("refused: {error:?}"),
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_is_received_once_and_in_order_under_kills() {
    let all = scale("LONGHAUL_MESSAGES", 1_000);
    let root = tempfile::tempdir().expect("a folder");
    let (data, tools) = (root.path().join("data"), vec![guest("interpreter")]);
    let program = vec![
        json!({"op": "loop", "times": all, "body": [{"op": "receive", "names": ["go"]}]}),
        json!({"op": "step", "name": "last"}),
    ];
    let mut dice = Dice::new(0x6e55);
    let (mut id, mut sent, mut kills) = (None, 0, 0u64);
    let client = loop {
        let server = Server::start(&data, &tools);
        let client = server.client();
        let id = match &id {
            Some(id) => String::clone(id),
            None => {
                let started = client.start("run_program", json!({"program": program}), None).await;
                id.insert(started.expect("a link")).clone()
            }
        };
        let sending = send(&client, &id, &mut sent, all);
        // The moment of death is what is random here.
        let life = Duration::from_millis(20 + dice.roll(200));
        match tokio::time::timeout(life, sending).await {
            Ok(true) => break (server, client),
            _ => {
                server.kill();
                kills += 1;
            }
        }
    };
    let (server, client) = client;
    let id = id.expect("started");
    let document = client.ended(&id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{document} {}", server.said());
    let result = client.result(&id).await.expect("a result");
    let oracle = Oracle::of(&program);
    assert_eq!(result["acc"], format!("{:016x}", oracle.acc).as_str());
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    let got: Vec<&str> = log.lines().filter_map(|line| line.split(" receive ").nth(1)).collect();
    let expected: Vec<String> = (1..=all).map(|number| format!("{number} go {{\"n\":{number}}}")).collect();
    assert_eq!(got, expected);
    println!("{all} messages, {kills} kills");
    assert!(kills > 2, "the kills must have come between");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_book_is_redirected_between_two_chapters_also_while_no_server_runs() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, tools) = (root.path().join("data"), vec![guest("book_agent")]);
    let server = Server::start(&data, &tools);
    let client = server.client();
    let book = json!({"topic": "rivers", "chapters": 3, "pause_ms": 60});
    let id = client.start("book_agent", book, None).await.expect("a link");
    client.until(&id, |document| document["outputs"].as_array().is_some_and(|all| all.len() >= 3)).await;
    // Of the chapter that is written just now, and of none that there is: both are only noted.
    for chapter in [1, 7] {
        let payload = json!({"chapter": chapter, "instruction": "too late"});
        let arguments = json!({"task_id": id, "name": "redirect", "payload": payload});
        client.call("task_send", arguments, json!({})).await.expect("sent");
    }
    server.kill();
    let sent =
        answer_of(command(&data, &["task", "send", &id, "redirect", "chapter=3", "instruction=salmon"]));
    assert_eq!(sent, json!({"seq": 3}));

    let server = Server::start(&data, &tools);
    let client = server.client();
    let sent = answer_of(command(&data, &["task", "send", &id, "note", "--args", "[1]", "--key", "n"]));
    assert_eq!(sent, json!({"seq": 4}), "another name stays where it is");
    let document = client.ended(&id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{document} {}", server.said());
    assert_eq!(client.result(&id).await.expect("a result")["redirected"], json!([3]));
    let chapter = client.read(&format!("task://{id}/output/chapter-3")).await.expect("a chapter");
    assert_eq!(chapter.matches("keeps to: salmon").count(), 1, "{chapter}");
    let late = json!({"task_id": id, "name": "redirect", "payload": 1});
    let refused = client.call("task_send", late, json!({})).await.expect("an answer");
    assert_eq!(refused["isError"], true, "{refused}");
}
