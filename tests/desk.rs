//! The support desk: tickets from their first word to their end, whatever is killed, revoked or dead meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Dice, RpcError, Server, guest, said, scale};

const ANALYSTS: [&str; 4] = ["sentiment_agent", "category_agent", "priority_agent", "history_agent"];

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

/// A desk at which the analyst of feelings holds what the operator grants it, and nothing that it requests.
struct Desk {
    root: tempfile::TempDir,
    /// Another desk with such an analyst, which the supervisor asks too.
    branch: Option<Server>,
}

impl Desk {
    /// All its components but these.
    fn new(without: &[&str]) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("tools");
        fs::create_dir(&folder).expect("a folder");
        for component in desk(without) {
            let name = component.file_name().expect("a name");
            fs::copy(&component, folder.join(name)).expect("a copy");
            let manifest = component.with_extension("toml");
            if name != "sentiment_agent.wasm" {
                fs::copy(&manifest, folder.join(manifest.file_name().expect("a name"))).expect("a copy");
            }
        }
        Self { root, branch: None }
    }

    fn with_branch(&mut self) {
        let data = self.root.path().join("branch");
        self.branch = Some(Server::start(&data, &[guest("sentiment_agent")]));
    }

    /// The operator's configuration.
    fn configure(&self, analyst_is_granted: bool) {
        let mut text = String::new();
        if analyst_is_granted {
            text += "[grants.sentiment_agent]\nstate = [\"analysis.sentiment\"]\n";
        }
        if let Some(branch) = &self.branch {
            text += &format!(
                "[grants.supervisor]\ntools = [\"branch/*\"]\n[servers.branch]\nurl = {:?}\nretry = {{ attempts = 1 }}\n",
                branch.url
            );
        }
        let folder = self.root.path().join("data/longhaul");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("longhaul.toml"), text).expect("written");
    }

    fn open(&self) -> Server {
        Server::start(&self.root.path().join("data"), &[self.root.path().join("tools")])
    }
}

/// The tools whose failure a ticket's outcome names.
fn failed_of(result: &Value) -> Vec<&str> {
    let failed = result["failed"].as_array().expect("a list");
    failed.iter().map(|failed| failed["tool"].as_str().expect("a name")).collect()
}

/// What a task called, in that order.
async fn children(client: &Client, id: &str) -> Vec<Value> {
    let document = client.task(id).await.expect("a task");
    let mut children = Vec::new();
    for child in document["children"].as_array().expect("children") {
        children.push(client.task(child.as_str().expect("an id")).await.expect("a task"));
    }
    children
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
    let analysis = client.structured("get_all_analysis", json!({"ticket_id": "T-1"})).await;
    assert_eq!(analysis["tickets"]["T-1"], result["analysis"]);
    let ticket = client.structured("get_ticket", json!({"ticket_id": "T-1"})).await;
    assert_eq!((&ticket["status"], &ticket["version"]), (&json!("resolved"), &json!(2)));
    let status = client.structured("get_status", json!({})).await;
    assert_eq!((&status["total"], &status["resolved"]), (&json!(1), &json!(1)));

    // Every call is a task under the supervisor.
    let called = children(&client, &id).await;
    assert!(called.iter().all(|child| child["root"] == json!(id)), "{called:?}");
    let tools: Vec<&str> = called.iter().filter_map(|child| child["tool"].as_str()).collect();
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
    assert_eq!(failed_of(&result), ["priority_agent"]);
    assert!(
        result["summary"].as_str().expect("words").ends_with("Went without: priority_agent."),
        "{result}"
    );
    assert_eq!(result["analysis"]["category"]["route"], "billing", "triage did it");
}

/// An analyst without its grant fails at its own work; a specialist that is gone is gone around.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_analyst_and_a_missing_specialist_end_with_a_person() {
    let desk = Desk::new(&["support_team"]);
    let server = desk.open();
    let client = server.client();
    let id = supervise(&client, "T-3", "What a bill!").await;
    let result = supervised(&client, &id).await;
    assert_eq!((&result["route"], &result["outcome"]), (&json!("escalate"), &json!("escalated")), "{result}");
    assert_eq!(failed_of(&result), ["sentiment_agent", "billing"]);
    let ticket = client.structured("get_ticket", json!({"ticket_id": "T-3"})).await;
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
    // Billing is the sixth that it calls.
    let before =
        client.until(&id, |document| document["children"].as_array().is_some_and(|all| all.len() == 6)).await;
    let question = before["children"][5].as_str().expect("an id").to_owned();
    assert_eq!(client.asks(&question).await["tool"], "billing");
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
    server.answer(&question, &["approve=true", "note=Sorry!"]);
    let result = supervised(&client, &id).await;
    assert_eq!(result["resolution"], "Refunded $900, approved by a person. Sorry!", "{result}");
    let after = client.task(&id).await.expect("a task");
    assert_eq!(after["children"], before["children"], "it went on with the children that it had");
}

/// A bounded number of kills, which `LONGHAUL_DESK_KILLS` raises: see `under_kills`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_are_resolved_once_under_random_kills() {
    let desk = Desk::new(&[]);
    desk.configure(true);
    under_kills(&desk, Vec::new(), &[]).await;
}

/// The same while one analyst's grant is revoked and the server of another analyst is dead: each ticket names both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_are_resolved_once_under_random_kills_without_a_revoked_analyst_and_a_dead_server() {
    let mut desk = Desk::new(&[]);
    desk.with_branch();
    desk.configure(true);
    let server = desk.open();
    let client = server.client();
    let before = Ticket::submit(&client, "B-0", "The login is broken").await;
    let result = supervised(&client, &before.id).await;
    assert_eq!(
        (&result["failed"], &result["analysis"]["branch/sentiment"]["score"]),
        (&json!([]), &json!(0))
    );
    assert!(server.stop().success());

    // The operator takes the grant out of the configuration; what it is holds from the next start.
    desk.configure(false);
    drop(desk.branch.take());
    under_kills(&desk, vec![before], &["sentiment_agent", "branch/sentiment_agent"]).await;
    let rows = desk.open().longhaul(&["audit", "list", "--verdict", "admitted", "--limit", "10000"]);
    let revoked = |row: &&Value| row["deed"] == "grant" && row["reason"] == "component sentiment_agent";
    assert_eq!(rows["rows"].as_array().expect("rows").iter().filter(revoked).count(), 2, "given, and taken");
}

/// Two new tickets in each life of the server, which is killed while they are worked on, and 6 lives unless
/// `LONGHAUL_DESK_KILLS` says otherwise. In the end each of them is resolved once and names what `failed`; those of
/// `before` had nothing to name.
async fn under_kills(desk: &Desk, before: Vec<Ticket>, failed: &[&str]) {
    let messages = ["The login is broken", "Refund the $50 that you charged, thanks"];
    let (mut dice, mut tickets, mut kills) = (Dice::new(0xde5c), Vec::new(), 0);
    for life in 0..scale("LONGHAUL_DESK_KILLS", 6) {
        let server = desk.open();
        let client = server.client();
        for (number, message) in messages.iter().enumerate() {
            tickets.push(Ticket::submit(&client, &format!("A-{life}-{number}"), message).await);
        }
        // The moment of death is what is random here.
        tokio::time::sleep(Duration::from_millis(dice.roll(60))).await;
        let last = tickets.last().expect("a ticket");
        kills += u64::from(client.task(&last.id).await.expect("a task")["state"] != "completed");
        server.kill();
    }
    let server = desk.open();
    let client = server.client();
    for ticket in &tickets {
        let again = Ticket::submit(&client, &ticket.name, ticket.message).await;
        assert_eq!(again.id, ticket.id, "the same ticket is the same task");
        ticket.check(&client, failed).await;
    }
    for ticket in &before {
        ticket.check(&client, &[]).await;
    }
    let count = tickets.len() + before.len();
    let status = client.structured("get_status", json!({})).await;
    assert_eq!((&status["total"], &status["resolved"]), (&json!(count), &json!(count)));
    // Each began by one call, and the audit has it.
    let words = ["audit", "list", "--tool", "supervisor", "--verdict", "admitted", "--limit", "10000"];
    let rows = server.longhaul(&words);
    let called: Vec<&str> =
        rows["rows"].as_array().expect("rows").iter().filter_map(|row| row["task"].as_str()).collect();
    let ids: BTreeSet<&str> = tickets.iter().chain(&before).map(|ticket| ticket.id.as_str()).collect();
    assert_eq!((called.len(), called.into_iter().collect()), (count, ids));
    println!("{} tickets, {kills} kills while the newest was open", tickets.len());
    assert!(kills > 0, "no kill came while a ticket was open");
}

struct Ticket {
    name: String,
    message: &'static str,
    /// Of its supervisor's task.
    id: String,
}

impl Ticket {
    async fn submit(client: &Client, name: &str, message: &'static str) -> Self {
        Self { name: name.to_owned(), message, id: supervise(client, name, message).await }
    }

    /// It is resolved, by one child for each call and try, and every version of what is known of it was written by
    /// the task that says so.
    async fn check(&self, client: &Client, failed: &[&str]) {
        let result = supervised(client, &self.id).await;
        assert_eq!(
            (&result["outcome"], failed_of(&result)),
            (&json!("resolved"), failed.to_vec()),
            "{result}"
        );
        let summary = result["summary"].as_str().expect("words");
        assert!(failed.iter().all(|tool| summary.contains(tool)), "{summary}");

        let specialist = result["route"].as_str().expect("a name");
        let mut called = children(client, &self.id).await;
        let mut tries: BTreeMap<&str, usize> = ANALYSTS.iter().map(|analyst| (*analyst, 1)).collect();
        tries.extend([("save_ticket", 1), (specialist, 1)]);
        // Each was tried again, once.
        tries.extend(failed.iter().map(|tool| (*tool, 2)));
        let elsewhere = "branch/sentiment_agent";
        if result["analysis"]["branch/sentiment"].is_object() {
            tries.insert(elsewhere, 1);
        }
        assert_eq!(counted(&called), tries, "{}", self.name);
        let by_specialist = called.iter().find(|task| task["tool"] == specialist).expect("a specialist");
        let below = children(client, by_specialist["id"].as_str().expect("an id")).await;
        assert_eq!(counted(&below), BTreeMap::from([("get_ticket", 1), ("save_resolution", 1)]));
        called.extend(below);

        let mut versions = Vec::new();
        for tool in ["save_ticket", "save_resolution"] {
            let seen = client.result(id_of(&called, tool)).await.expect("a result");
            versions.push(seen["version"].as_u64());
        }
        assert_eq!(versions, [Some(1), Some(2)], "saved once, resolved once");
        let ticket = self.entry(client, "tickets").await.expect("a ticket");
        assert_eq!((ticket["version"].as_u64(), &ticket["by"]), (Some(2), &by(&called, "save_resolution")));
        for tool in ANALYSTS {
            let namespace = format!("analysis.{}", tool.trim_end_matches("_agent"));
            let found = self
                .entry(client, &namespace)
                .await
                .map(|found| (found["version"].clone(), found["by"].clone()));
            let expected = (!failed.contains(&tool)).then(|| (json!(1), by(&called, tool)));
            assert_eq!(found, expected, "{} in {namespace}", self.name);
        }
    }

    /// What a namespace holds of it.
    async fn entry(&self, client: &Client, namespace: &str) -> Option<Value> {
        match client.read(&format!("state://{namespace}/{}", self.name)).await {
            Ok(text) => Some(serde_json::from_str(&text).expect("an entry")),
            Err(RpcError::Refused { .. }) => None,
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn counted(tasks: &[Value]) -> BTreeMap<&str, usize> {
    let mut counted = BTreeMap::new();
    for task in tasks {
        *counted.entry(task["tool"].as_str().expect("a name")).or_default() += 1;
    }
    counted
}

/// The task that this tool was called by.
fn id_of<'a>(tasks: &'a [Value], tool: &str) -> &'a str {
    let task = tasks.iter().find(|task| task["tool"] == tool);
    task.and_then(|task| task["id"].as_str()).unwrap_or_else(|| panic!("no {tool}"))
}

fn by(tasks: &[Value], tool: &str) -> Value {
    json!(format!("task://{}", id_of(tasks, tool)))
}

/// The client's model plans, with fewer analysts, and has the last word.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_plans_what_the_supervisor_does() {
    let root = tempfile::tempdir().expect("a folder");
    let server = Server::start(&root.path().join("data"), &desk(&[]));
    let client = server.client().declaring(json!({"sampling": {}}));
    let arguments = json!({"ticket_id": "T-5", "message": "The app is slow and I was charged"});
    let result = client
        .in_rounds("supervisor", arguments.clone(), |request| {
            let prompt = request.to_string();
            if prompt.contains("Plan how to handle") {
                assert!(prompt.contains("sentiment_agent") && prompt.contains("tech_support"), "{prompt}");
                said("Here you are: {\"analysts\": [\"priority_agent\"], \"specialist\": \"tech_support\"}")
            } else {
                said("All is well.")
            }
        })
        .await;
    let seen = &result["structuredContent"];
    assert_eq!((&seen["planned_by"], &seen["route"]), (&json!("a-model"), &json!("tech_support")), "{seen}");
    assert_eq!((&seen["outcome"], &seen["summary"]), (&json!("resolved"), &json!("All is well.")));
    assert_eq!(seen["analysis"].as_object().map(serde_json::Map::len), Some(1));

    // What a model must not have is no plan: then the fixed one holds.
    let other = json!({"ticket_id": "T-6", "message": "The app is slow"});
    let result =
        client.in_rounds("supervisor", other, |_| said("{\"analysts\": [\"save_resolution\"]}")).await;
    assert_eq!(result["structuredContent"]["planned_by"], "fixed", "{result}");
}
