//! The support desk and the research agent on two configured models, without any client that has one: killed at random
//! moments, each ticket and each topic comes to its one end, and what a model was asked under one key it answers once.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use crate::support::{Asked, Client, Dice, Reply, Script, Server, begins, guest, says, stream};

const TOOLS: [&str; 8] = [
    "support_desk",
    "sentiment_agent",
    "category_agent",
    "priority_agent",
    "history_agent",
    "support_team",
    "supervisor",
    "research_agent",
];

const PLAN: &str = "Here you are: {\"analysts\": [\"priority_agent\"], \"specialist\": \"tech_support\"}";

/// Of three requests that are new, one finds it busy and one is cut; what is asked again is answered.
fn moody(api: &'static str, text: &'static str) -> Script {
    let known = Mutex::new(HashSet::new());
    Script::saying(move |request, _| {
        let mut known = known.lock().expect("no thread panics with it");
        let is_new = known.insert(key_of(request));
        let words = [&text[..7], &text[7..]];
        Some(match (is_new, known.len() % 3) {
            (true, 0) => Reply::status("429 Too Many Requests", "retry-after: 0\r\n", "{}"),
            (true, 1) => stream(&begins(api, &words[..1])).cut(),
            _ => says(api, &words),
        })
    })
}

fn key_of(request: &Asked) -> String {
    request.key().to_owned()
}

fn configure(data: &Path, smart: &Script, fast: &Script) {
    let model = |name: &str, api: &str, script: &Script| {
        let url = format!("http://127.0.0.1:{}/v1", script.port);
        format!("[models.{name}]\napi = \"{api}\"\nurl = \"{url}\"\nmodel = \"m\"\noutput_price = 1\n")
    };
    let folder = data.join("longhaul");
    fs::create_dir_all(&folder).expect("a folder");
    let lines = model("smart", "anthropic", smart) + &model("fast", "openai-chat", fast);
    fs::write(folder.join("longhaul.toml"), lines).expect("written");
}

/// A ticket or a topic, by the key of its call.
async fn submit(client: &Client, key: &str) -> String {
    let (tool, arguments) = match key.strip_prefix("R-") {
        Some(topic) => ("research_agent", json!({"topic": topic})),
        None => ("supervisor", json!({"ticket_id": key, "message": "The app is slow"})),
    };
    client.start(tool, arguments, Some(key)).await.expect("a link")
}

async fn check(client: &Client, key: &str, id: &str) {
    let document = client.ended(id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{document}");
    assert_ne!(document["model_cost"], json!(null), "{document}");
    let result = client.result(id).await.expect("a result");
    if key.starts_with("R-") {
        assert_eq!(
            (&result["summary"], &result["model"]),
            (&json!("All is well."), &json!("m-1")),
            "{result}"
        );
        return;
    }
    assert_eq!(
        (&result["planned_by"], &result["route"]),
        (&json!("m-1"), &json!("tech_support")),
        "{result}"
    );
    assert_eq!((&result["outcome"], &result["summary"]), (&json!("resolved"), &json!("All is well.")));
    let mut called = BTreeMap::new();
    for child in document["children"].as_array().expect("children") {
        let child = client.task(child.as_str().expect("an id")).await.expect("a task");
        *called.entry(child["tool"].as_str().unwrap_or_default().to_owned()).or_insert(0) += 1;
    }
    let once = ["priority_agent", "save_ticket", "tech_support"].map(|tool| (tool.to_owned(), 1));
    assert_eq!(called, BTreeMap::from(once), "{key}");
}

/// 4 kills; 50 with `LONGHAUL_LONG=1`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_and_topics_are_worked_on_by_configured_models_under_random_kills() {
    let is_long = std::env::var("LONGHAUL_LONG").is_ok_and(|long| long == "1");
    let (smart, fast) = (moody("anthropic", PLAN), moody("openai-chat", "All is well."));
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    configure(&data, &smart, &fast);
    let tools: Vec<PathBuf> = TOOLS.iter().map(|name| guest(name)).collect();
    let (mut dice, mut tasks, mut kills) = (Dice::new(0x10de), Vec::new(), 0);
    for life in 0..if is_long { 50 } else { 4 } {
        let server = Server::start(&data, &tools);
        let client = server.client();
        for key in [format!("A-{life}"), format!("R-{life}")] {
            let id = submit(&client, &key).await;
            tasks.push((key, id));
        }
        // The moment of death is what is random here.
        tokio::time::sleep(Duration::from_millis(dice.roll(250))).await;
        let (_, last) = &tasks[tasks.len() - 2];
        kills += u32::from(client.task(last).await.expect("a task")["state"] != "completed");
        server.kill();
    }
    let server = Server::start(&data, &tools);
    let client = server.client();
    for (key, id) in &tasks {
        assert_eq!(submit(&client, key).await, *id, "the same call is the same task");
        check(&client, key, id).await;
    }
    assert!(server.stop().success());
    let keys = |script: &Script| script.seen().iter().map(key_of).collect::<HashSet<_>>().len();
    assert_eq!((keys(&smart), keys(&fast)), (tasks.len() / 2, tasks.len()), "one key for each ask");
    let asked = smart.seen().len() + fast.seen().len();
    println!("{} tasks, {kills} kills while the newest ticket was open, {asked} requests", tasks.len());
    assert!(kills > 0, "no kill came while a ticket was open");
}
