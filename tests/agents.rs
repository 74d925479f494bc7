//! The classic agents as their users meet them: real components over MCP, a person's answer, a model's, and a support
//! desk that goes on whatever is killed or missing.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Dice, Server, guest, scale};

const DESK: [&str; 7] = [
    "support_desk",
    "sentiment_agent",
    "category_agent",
    "priority_agent",
    "history_agent",
    "support_team",
    "supervisor",
];

const REFUND: &str = "I want a refund of $900 for this terrible invoice";

/// The desk's components without some of them.
fn desk(without: &[&str]) -> Vec<PathBuf> {
    DESK.iter().filter(|name| !without.contains(name)).map(|name| guest(name)).collect()
}

async fn supervise(client: &Client, ticket: &str, message: &str) -> String {
    let arguments = json!({"ticket_id": ticket, "message": message, "plan": "fixed"});
    client.start("supervisor", arguments, Some(ticket)).await.expect("a link")
}

async fn supervised(client: &Client, id: &str) -> Value {
    let document = client.ended(id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{document}");
    client.result(id).await.expect("a result")
}

async fn structured(client: &Client, tool: &str, arguments: Value) -> Value {
    let answer = client.call(tool, arguments, json!({})).await.expect("an answer");
    assert_ne!(answer["isError"], json!(true), "{answer}");
    answer["structuredContent"].clone()
}

/// The person's hand: `longhaul task answer`.
fn answer(server: &Server, id: &str, words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
    command.args(["task", "answer", id, "--url", &server.url]).args(words);
    let output = command.current_dir(std::env::temp_dir()).output().expect("longhaul runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// One round of a call; what its client is asked, if it is asked, and the next round's parameters.
async fn round(client: &Client, params: &Value) -> Result<Value, (Value, Value)> {
    let name = params["name"].as_str();
    let result = client.request("tools/call", name, params.clone()).await.expect("an answer");
    if result["resultType"] != "input_required" {
        return Ok(result);
    }
    let mut next = params.clone();
    next["requestState"] = result["requestState"].clone();
    Err((result["inputRequests"].clone(), next))
}

/// A whole call; `answer` is this client's hand, or its model.
async fn in_rounds(client: &Client, tool: &str, arguments: Value, answer: impl Fn(&Value) -> Value) -> Value {
    let mut params = json!({"name": tool, "arguments": arguments, "_meta": {}});
    loop {
        match round(client, &params).await {
            Ok(result) => return result,
            Err((asked, next)) => {
                params = next;
                params["inputResponses"] = json!({});
                for (key, request) in asked.as_object().expect("requests") {
                    params["inputResponses"][key] = answer(request);
                }
            }
        }
    }
}

/// What a client's model says.
fn said(text: &str) -> Value {
    json!({"model": "a-model", "role": "assistant", "content": {"type": "text", "text": text}})
}

/// Waits for a task of this tool that asks; its id.
async fn asking(client: &Client, tool: &str) -> String {
    let asks = async {
        loop {
            let arguments = json!({"tool": tool, "state": "waiting"});
            let listed = structured(client, "task_list", arguments).await;
            let asking = listed["tasks"].as_array().and_then(|tasks| {
                tasks.iter().find(|task| task["reason"] == "input").and_then(|task| task["id"].as_str())
            });
            if let Some(id) = asking {
                return id.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asks).await.expect("nobody asks")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_analysed_routed_and_resolved() {
    let root = tempfile::tempdir().expect("a folder");
    let server = Server::start(&root.path().join("data"), &desk(&[]));
    let client = server.client();
    let id = supervise(&client, "T-1", "The login is broken, please help now").await;
    let result = supervised(&client, &id).await;
    assert_eq!(result["planned_by"], "fixed");
    assert_eq!((&result["category"], &result["priority"]), (&json!("technical"), &json!("high")));
    assert_eq!(
        (&result["route"], &result["outcome"]),
        (&json!("tech_support"), &json!("resolved")),
        "{result}"
    );
    assert_eq!(result["failed"], json!([]));
    assert_eq!(result["analysis"].as_object().map(serde_json::Map::len), Some(4));

    // Each analyst wrote the same into its own namespace, and the tools outside the desk read it.
    let analysis = structured(&client, "get_all_analysis", json!({"ticket_id": "T-1"})).await;
    assert_eq!(analysis["tickets"]["T-1"], result["analysis"]);
    let ticket = structured(&client, "get_ticket", json!({"ticket_id": "T-1"})).await;
    assert_eq!((&ticket["status"], &ticket["version"]), (&json!("resolved"), &json!(2)));
    let status = structured(&client, "get_status", json!({})).await;
    assert_eq!((&status["total"], &status["resolved"]), (&json!(1), &json!(1)));

    // Every call is a task under the supervisor.
    let document = client.task(&id).await.expect("a task");
    let mut tools = Vec::new();
    for child in document["children"].as_array().expect("children") {
        let child = client.task(child.as_str().expect("an id")).await.expect("a task");
        assert_eq!(child["root"], json!(id));
        tools.push(child["tool"].as_str().expect("a name").to_owned());
    }
    assert_eq!(
        tools,
        [
            "sentiment_agent",
            "category_agent",
            "priority_agent",
            "history_agent",
            "save_ticket",
            "tech_support"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_gone_around_and_named() {
    let root = tempfile::tempdir().expect("a folder");
    // Priority is gone; category is too, which triage can do as well.
    let server = Server::start(&root.path().join("data"), &desk(&["priority_agent", "category_agent"]));
    let client = server.client();
    let id = supervise(&client, "T-2", "My invoice is wrong, explain the charge").await;
    let result = supervised(&client, &id).await;
    assert_eq!((&result["route"], &result["outcome"]), (&json!("billing"), &json!("resolved")), "{result}");
    let failed: Vec<&str> = result["failed"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|failed| failed["tool"].as_str())
        .collect();
    assert_eq!(failed, ["priority_agent"]);
    assert!(
        result["summary"].as_str().expect("words").ends_with("Went without: priority_agent."),
        "{result}"
    );
    assert_eq!(result["analysis"]["category"]["route"], "billing", "triage did it");
}

/// An analyst without its grant fails at its own work; a specialist that is gone is gone around.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_analyst_and_a_missing_specialist_end_with_a_person() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("tools");
    fs::create_dir(&folder).expect("a folder");
    for component in desk(&["support_team"]) {
        let name = component.file_name().expect("a name");
        fs::copy(&component, folder.join(name)).expect("a copy");
        let manifest = component.with_extension("toml");
        if name != "sentiment_agent.wasm" {
            fs::copy(&manifest, folder.join(manifest.file_name().expect("a name"))).expect("a copy");
        }
    }
    let server = Server::start(&root.path().join("data"), &[folder]);
    let client = server.client();
    let id = supervise(&client, "T-3", "What a bill!").await;
    let result = supervised(&client, &id).await;
    assert_eq!((&result["route"], &result["outcome"]), (&json!("escalate"), &json!("escalated")), "{result}");
    let failed: Vec<&str> = result["failed"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|failed| failed["tool"].as_str())
        .collect();
    assert_eq!(failed, ["sentiment_agent", "billing"]);
    let ticket = structured(&client, "get_ticket", json!({"ticket_id": "T-3"})).await;
    assert_eq!(ticket["status"], "escalated");
}

/// The supervisor, the agent and the question survive the server; another connection answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_approves_a_refund_after_a_crash() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    let server = Server::start(&data, &desk(&[]));
    let client = server.client();
    let id = supervise(&client, "T-4", REFUND).await;
    let question = asking(&client, "billing").await;
    let before = client.task(&id).await.expect("a task");
    server.kill();

    let server = Server::start(&data, &desk(&[]));
    let client = server.client();
    let refused = client
        .call(
            "task_answer",
            json!({"task_id": question, "action": "accept", "content": {"approve": true}}),
            json!({}),
        )
        .await;
    assert_eq!(refused.expect("an answer")["isError"], true, "a model does not decide on refunds");
    answer(&server, &question, &["approve=true", "note=Sorry!"]);
    let result = supervised(&client, &id).await;
    assert_eq!(result["resolution"], "Refunded $900, approved by a person. Sorry!", "{result}");
    let after = client.task(&id).await.expect("a task");
    assert_eq!(after["children"], before["children"], "it went on with the children that it had");
}

/// Two new tickets in each life of the server, which is killed while they are worked on: each is resolved once, by
/// one child per call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_are_resolved_once_under_random_kills() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    let messages = ["The login is broken", "Refund the $50 that you charged, thanks"];
    let (mut dice, mut tickets, mut kills) = (Dice::new(0xde5c), Vec::new(), 0);
    for life in 0..scale("LONGHAUL_DESK_KILLS", 6) {
        let server = Server::start(&data, &desk(&[]));
        let client = server.client();
        for (number, message) in messages.iter().enumerate() {
            let ticket = format!("A-{life}-{number}");
            let id = supervise(&client, &ticket, message).await;
            tickets.push((ticket, *message, id));
        }
        // The moment of death is what is random here.
        tokio::time::sleep(Duration::from_millis(dice.roll(60))).await;
        let (_, _, last) = tickets.last().expect("a ticket");
        kills += u64::from(client.task(last).await.expect("a task")["state"] != "completed");
        server.kill();
    }
    let server = Server::start(&data, &desk(&[]));
    let client = server.client();
    for (ticket, message, id) in &tickets {
        assert_eq!(supervise(&client, ticket, message).await, *id, "the same ticket is the same task");
        let result = supervised(&client, id).await;
        assert_eq!(result["outcome"], "resolved", "{result}");
        let shown = structured(&client, "get_ticket", json!({ "ticket_id": ticket })).await;
        assert_eq!(shown["version"], 2, "saved once, resolved once: {shown}");
        let document = client.task(id).await.expect("a task");
        assert_eq!(document["children"].as_array().map(Vec::len), Some(6), "{document}");
    }
    println!("{} tickets, {kills} kills while the newest was open", tickets.len());
    assert!(kills > 0, "no kill came while a ticket was open");
}

/// Killed while it asks; a command answers, over another connection: one booking, and no step twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_trip_is_booked_once_whoever_dies_meanwhile() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, tools) = (root.path().join("data"), [guest("travel_agent")]);
    let server = Server::start(&data, &tools);
    let client = server.client();
    let id = client.start("travel_agent", json!({}), None).await.expect("a link");
    assert_eq!(asking(&client, "travel_agent").await, id);
    let document = client.task(&id).await.expect("a task");
    assert_eq!(document["progress"], json!({"done": 50, "total": 100}));
    let question = &document["input_requests"]["price"];
    assert!(
        question["message"].as_str().is_some_and(|words| words.contains("Paris") && words.contains("$1200"))
    );
    server.kill();

    let server = Server::start(&data, &tools);
    answer(&server, &id, &["confirm=true", "notes=a window seat"]);
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
    for (words, told) in hands {
        let id = client.start("travel_agent", json!({"destination": "Oslo"}), None).await.expect("a link");
        assert_eq!(asking(&client, "travel_agent").await, id);
        answer(&server, &id, words);
        assert_eq!(client.ended(&id).await.expect("an end")["state"], "completed");
        let result = client.result(&id).await.expect("a result");
        assert_eq!((&result["booked"], &result["answer"]), (&json!(false), &json!(told)));
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
    let (asked, mut next) = round(&client, &call).await.expect_err("it asks");
    let schema = &asked["price"]["params"]["requestedSchema"];
    assert_eq!(schema["properties"]["confirm"]["type"], "boolean", "{asked}");
    server.kill();

    let server = Server::start(&data, &tools);
    let client = server.client().declaring(capabilities);
    next["inputResponses"] =
        json!({"price": {"action": "accept", "content": {"confirm": true, "notes": ""}}});
    let result = round(&client, &next).await.expect("the end");
    assert_eq!(result["structuredContent"]["booked"], true, "{result}");
    let trips = structured(&client, "task_list", json!({"tool": "travel_agent"})).await;
    assert_eq!(trips["tasks"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn research_is_summarised_by_the_clients_model_or_goes_without() {
    let root = tempfile::tempdir().expect("a folder");
    let server = Server::start(&root.path().join("data"), &[guest("research_agent")]);
    let client = server.client().declaring(json!({"sampling": {}}));
    let result = in_rounds(&client, "research_agent", json!({"topic": "tides"}), |request| {
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
    let result = in_rounds(&server.client(), "research_agent", json!({}), |_| Value::Null).await;
    assert_eq!(
        (&result["structuredContent"]["topic"], &result["structuredContent"]["summary"]),
        (&json!("AI trends"), &Value::Null)
    );
}

/// The client's model plans, with fewer analysts, and has the last word.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_plans_what_the_supervisor_does() {
    let root = tempfile::tempdir().expect("a folder");
    let server = Server::start(&root.path().join("data"), &desk(&[]));
    let client = server.client().declaring(json!({"sampling": {}}));
    let arguments = json!({"ticket_id": "T-5", "message": "The app is slow and I was charged"});
    let result = in_rounds(&client, "supervisor", arguments.clone(), |request| {
        let prompt = request.to_string();
        if prompt.contains("Plan how to handle") {
            assert!(prompt.contains("sentiment_agent") && prompt.contains("tech_support"), "{prompt}");
            said("Here you are: {\"analysts\": [\"priority_agent\"], \"specialist\": \"tech_support\"}")
        } else {
            said("All is well.")
        }
    })
    .await;
    let told = &result["structuredContent"];
    assert_eq!((&told["planned_by"], &told["route"]), (&json!("a-model"), &json!("tech_support")), "{told}");
    assert_eq!((&told["outcome"], &told["summary"]), (&json!("resolved"), &json!("All is well.")));
    assert_eq!(told["analysis"].as_object().map(serde_json::Map::len), Some(1));

    // What a model must not have is no plan: then the fixed one holds.
    let other = json!({"ticket_id": "T-6", "message": "The app is slow"});
    let result =
        in_rounds(&client, "supervisor", other, |_| said("{\"analysts\": [\"save_resolution\"]}")).await;
    assert_eq!(result["structuredContent"]["planned_by"], "fixed", "{result}");
}
