//! `travel_agent` and `research_agent` as their users meet them: real components over MCP, a person's answer, a model's.

use serde_json::{Value, json};

use crate::support::{Server, guest, said};

/// Killed while it asks; a command answers, over another connection: one booking, and no step twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_trip_is_booked_once_whoever_dies_meanwhile() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, tools) = (root.path().join("data"), [guest("travel_agent")]);
    let server = Server::start(&data, &tools);
    let client = server.client();
    let id = client.start("travel_agent", json!({}), None).await.expect("a link");
    client.asks(&id).await;
    let document = client.task(&id).await.expect("a task");
    assert_eq!(document["progress"], json!({"done": 50, "total": 100}));
    let question = &document["input_requests"]["price"];
    assert!(
        question["message"].as_str().is_some_and(|words| words.contains("Paris") && words.contains("$1200"))
    );
    server.kill();

    let server = Server::start(&data, &tools);
    server.answer(&id, &["confirm=true", "notes=a window seat"]);
    let client = server.client();
    assert_eq!(client.ended(&id).await.expect("an end")["progress"], json!({"done": 100, "total": 100}));
    let result = client.result(&id).await.expect("a result");
    assert_eq!((&result["booked"], &result["notes"]), (&json!(true), &json!("a window seat")));
    let booking = client.read(&format!("task://{id}/output/booking")).await.expect("a booking");
    assert_eq!(booking.matches("Paris").count(), 1);
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    for step in ["checking flights", "finding dates", "confirming prices", "booking"] {
        assert_eq!(log.matches(&format!("{step}: done")).count(), 1, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_that_is_declined_or_not_confirmed_is_not_booked() {
    let root = tempfile::tempdir().expect("a folder");
    let server = Server::start(&root.path().join("data"), &[guest("travel_agent")]);
    let client = server.client();
    let hands: [(&[&str], &str); 3] = [
        (&["--decline"], "declined"),
        (&["--cancel"], "put away without an answer"),
        (&["confirm=false"], "not confirmed"),
    ];
    for (words, seen) in hands {
        let id = client.start("travel_agent", json!({"destination": "Oslo"}), None).await.expect("a link");
        client.asks(&id).await;
        server.answer(&id, words);
        assert_eq!(client.ended(&id).await.expect("an end")["state"], "completed");
        let result = client.result(&id).await.expect("a result");
        assert_eq!((&result["booked"], &result["answer"]), (&json!(false), &json!(seen)));
        assert!(client.read(&format!("task://{id}/output/booking")).await.is_err(), "there is none");
    }
}

/// The question goes out in a call's first round; the next round comes to another process.
#[tokio::test(flavor = "multi_thread")]
async fn a_trip_is_confirmed_in_the_next_round_of_its_call() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, tools) = (root.path().join("data"), [guest("travel_agent")]);
    let capabilities = json!({"elicitation": {}});
    let server = Server::start(&data, &tools);
    let call = json!({"name": "travel_agent", "arguments": {}, "_meta": {}});
    let client = server.client().declaring(capabilities.clone());
    let (asked, mut next) = client.round(&call).await.expect("an answer").expect_err("it asks");
    let schema = &asked["price"]["params"]["requestedSchema"];
    assert_eq!(schema["properties"]["confirm"]["type"], "boolean", "{asked}");
    server.kill();

    let server = Server::start(&data, &tools);
    let client = server.client().declaring(capabilities);
    next["inputResponses"] =
        json!({"price": {"action": "accept", "content": {"confirm": true, "notes": ""}}});
    let result = client.round(&next).await.expect("an answer").expect("the end");
    assert_eq!(result["structuredContent"]["booked"], true, "{result}");
    let trips = client.structured("task_list", json!({"tool": "travel_agent"})).await;
    assert_eq!(trips["tasks"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn research_is_summarised_by_the_clients_model_or_goes_without() {
    let root = tempfile::tempdir().expect("a folder");
    let server = Server::start(&root.path().join("data"), &[guest("research_agent")]);
    let client = server.client().declaring(json!({"sampling": {}}));
    let result = client
        .in_rounds("research_agent", json!({"topic": "tides"}), |request| {
            assert_eq!(request["method"], "sampling/createMessage");
            assert!(request.to_string().contains("tides"), "{request}");
            said("They come and go.")
        })
        .await;
    let research = &result["structuredContent"];
    assert_eq!((&research["summary"], &research["model"]), (&json!("They come and go."), &json!("a-model")));
    let report = result["content"][0]["text"].as_str().expect("a report");
    assert!(report.starts_with("# tides\n\nThey come and go."), "{report}");

    // A client without a model need not wait for one.
    let result = server.client().in_rounds("research_agent", json!({}), |_| Value::Null).await;
    assert_eq!(
        (&result["structuredContent"]["topic"], &result["structuredContent"]["summary"]),
        (&json!("AI trends"), &Value::Null)
    );
}
