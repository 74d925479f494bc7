//! Models that the operator has configured, asked by a guest that is granted them, without any client: three interfaces,
//! endpoints that are busy, cut or wrong, kills, and a key that is found nowhere.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Reply, Script, Server, begins, guest, says, stream};

const KEY: &str = "sk-canary-2b7d";

const APIS: [&str; 3] = ["openai-chat", "openai-responses", "anthropic"];

/// A guest that is granted models, and a server that has them.
struct Place {
    root: tempfile::TempDir,
    tools: Vec<PathBuf>,
}

impl Place {
    /// With these lines for the limits of the guest.
    fn new(limits: &str) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let wasm = root.path().join("asker.wasm");
        fs::copy(guest("interpreter"), &wasm).expect("copied");
        let (models, folder) = (format!("{MODELS:?}"), root.path().join("data/longhaul"));
        let manifest = format!("name = \"asker\"\n[capabilities]\nmodels = {models}\n[limits]\n{limits}\n");
        fs::write(root.path().join("asker.toml"), manifest).expect("written");
        fs::create_dir_all(&folder).expect("a folder");
        // Next to the configuration.
        fs::write(folder.join("key"), format!("{KEY}\n")).expect("written");
        fs::write(folder.join("longhaul.toml"), "").expect("written");
        Self { root, tools: vec![wasm] }
    }

    /// The one model of most tests.
    fn with_fast(api: &str, script: &Script, limits: &str) -> Self {
        let place = Self::new(limits);
        place.configure("fast", api, script);
        place
    }

    fn configure(&self, model: &str, api: &str, script: &Script) {
        self.write(&format!(
            "[models.{model}]\napi = \"{api}\"\nurl = \"http://127.0.0.1:{}/v1\"\nmodel = \"m\"\nkey = \"file:key\"\n\
             headers = {{ x-team = \"a\" }}\ninput_price = 1000\noutput_price = 10_000\n",
            script.port
        ));
    }

    /// Adds to the configuration.
    fn write(&self, lines: &str) {
        let path = self.root.path().join("data/longhaul/longhaul.toml");
        let before = fs::read_to_string(&path).expect("a configuration");
        fs::write(path, before + lines).expect("written");
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn serve(&self, crash: Option<&str>) -> Server {
        let mut variables = vec![("LONGHAUL_LOG", "trace")];
        variables.extend(crash.map(|crash| ("LONGHAUL_CRASH", crash)));
        Server::start_with(&self.data(), &self.tools, &variables).expect("a server")
    }

    fn assert_no_key(&self) {
        assert_no_key(self.root.path());
    }
}

/// What the guest may ask for; the last is configured nowhere.
const MODELS: [&str; 15] =
    ["fast", "m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10", "m11", "m12", "absent"];

async fn start(server: &Server, op: Value) -> String {
    server.client().start("run_program", json!({"program": [op]}), None).await.expect("a link")
}

fn asks_of(model: &str, output: bool) -> Value {
    let mut op = json!({"op": "model", "model": model, "prompt": "How is it?", "max_tokens": 50});
    if output {
        op["output"] = json!("draft");
    }
    op
}

fn asks(output: bool) -> Value {
    asks_of("fast", output)
}

/// The end of a task, and the text that it ends with: what it printed, or its error.
async fn end(server: &Server, id: &str) -> (Value, String) {
    let client = server.client();
    let document = client.ended(id).await.expect("an end");
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    let result = client.call("task_result", json!({"task_id": id}), json!({})).await.expect("a result");
    (document, format!("{log}{}", result["content"][0]["text"].as_str().unwrap_or_default()))
}

async fn draft(server: &Server, id: &str) -> String {
    server.client().read(&format!("task://{id}/output/draft")).await.expect("an output")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_interface_is_asked_in_its_words_and_streams_into_an_output() {
    let place = Place::new("");
    let scripts: Vec<Script> =
        APIS.iter().map(|api| Script::start(vec![says(api, &["It is ", "fine", "."])])).collect();
    for ((number, api), script) in APIS.iter().enumerate().zip(&scripts) {
        place.configure(&format!("m{number}"), api, script);
    }
    let tools = Script::start(vec![uses_a_tool(), says("anthropic", &["Done."])]);
    place.configure("m3", "anthropic", &tools);
    let wants = json!({"error": {"message": "Unsupported parameter: use 'max_completion_tokens' instead."}});
    let wants = Reply::status("400 Bad Request", "content-type: application/json\r\n", &wants.to_string());
    let reasons = Script::start(vec![wants, says("openai-chat", &["Well."])]);
    place.configure("m4", "openai-chat", &reasons);
    let (half, rest) = KEY.split_at(5);
    let echoes = Script::start(vec![says("openai-responses", &["The key is ", half, rest, "."])]);
    place.configure("m5", "openai-responses", &echoes);
    let server = place.serve(None);

    for ((number, api), script) in APIS.iter().enumerate().zip(&scripts) {
        let id = start(&server, asks_of(&format!("m{number}"), true)).await;
        let (document, text) = end(&server, &id).await;
        assert_eq!(document["state"], "completed", "{document}");
        assert!(text.contains("model It is fine. (7 + 5)"), "{api}: {text}");
        assert_eq!(document["outputs"][0]["done"], true, "{document}");
        assert_eq!(draft(&server, &id).await, "It is fine.", "{api}");
        assert_eq!(document["questions_answered"][0]["tokens"], 12, "{document}");
        assert_eq!(document["model_cost"], "0.057", "{document}");
        assert_asked(api, script);
    }

    let mut op = asks_of("m3", false);
    op["tools"] = json!([{"name": "look", "description": "Looks.", "inputSchema": {"type": "object"}}]);
    let id = start(&server, op).await;
    let (_, text) = end(&server, &id).await;
    assert!(text.contains("model Done. (7 + 5)"), "{text}");
    let seen = tools.seen();
    assert_eq!(seen[0].body["tools"][0]["input_schema"], json!({"type": "object"}));
    let messages = &seen[1].body["messages"];
    assert_eq!(messages[1]["content"][0]["input"], json!({"at": 2}), "{messages}");
    assert_eq!(messages[2]["content"][0]["tool_use_id"], "t1", "{messages}");

    for _ in 0..2 {
        let id = start(&server, asks_of("m4", false)).await;
        let (document, text) = end(&server, &id).await;
        assert!(text.contains("model Well. (7 + 5)"), "{text}");
        assert_eq!(
            document["questions_answered"][0]["tokens"], 12,
            "what is refused is not paid: {document}"
        );
    }
    let bounds: Vec<[Value; 2]> = reasons
        .seen()
        .iter()
        .map(|seen| ["max_tokens", "max_completion_tokens"].map(|name| seen.body[name].clone()))
        .collect();
    let (old, new) = ([json!(50), json!(null)], [json!(null), json!(50)]);
    assert_eq!(bounds, [old, new.clone(), new], "it is refused once");

    let id = start(&server, asks_of("m5", true)).await;
    let (_, text) = end(&server, &id).await;
    let masked = format!("The key is {}.", "*".repeat(KEY.len()));
    assert!(text.contains(&masked), "{text}");
    assert_eq!(draft(&server, &id).await, masked);

    for (model, line) in [("absent", "[models.absent]"), ("best", "models = [\"best\"]")] {
        let id = start(&server, asks_of(model, false)).await;
        let (_, text) = end(&server, &id).await;
        assert!(text.contains(line), "{model}: {text}");
    }

    let metrics = metrics(&server).await;
    for line in ["model_calls_total{model=\"m4\"} 3", "model_tokens_total{model=\"m0\"} 12"] {
        assert!(metrics.contains(&format!("longhaul_{line}\n")), "{line}: {metrics}");
    }
    assert!(metrics.contains("longhaul_model_cost_nanos_total{model=\"m0\"} 57000000\n"), "{metrics}");
    assert!(!metrics.contains(KEY));
    assert!(server.stop().success());
    place.assert_no_key();
}

async fn metrics(server: &Server) -> String {
    let url = server.url.replace("/mcp", "/metrics");
    reqwest::get(url).await.expect("an answer").text().await.expect("a page")
}

fn assert_asked(api: &str, script: &Script) {
    let seen = script.seen();
    assert_eq!(seen.len(), 1, "{api}");
    let (path, key) = match api {
        "openai-chat" => ("/v1/chat/completions", format!("authorization: bearer {KEY}")),
        "openai-responses" => ("/v1/responses", format!("authorization: bearer {KEY}")),
        _ => ("/v1/messages", format!("x-api-key: {KEY}")),
    };
    assert_eq!(seen[0].path, path);
    for line in [key.as_str(), "idempotency-key: ", "x-team: a"] {
        assert!(seen[0].head.contains(line), "{api}: {line}");
    }
    let said = match api {
        "openai-responses" => &seen[0].body["input"][0]["content"][0]["text"],
        "openai-chat" => &seen[0].body["messages"][0]["content"],
        _ => &seen[0].body["messages"][0]["content"][0]["text"],
    };
    assert_eq!((said, &seen[0].body["stream"]), (&json!("How is it?"), &json!(true)));
}

/// As Anthropic's interface streams it.
fn uses_a_tool() -> Reply {
    let input = |part: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": part}});
    stream(&[
        json!({"type": "message_start", "message": {"model": "m-1", "usage": {"input_tokens": 3}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {
            "type": "tool_use", "id": "t1", "name": "look", "input": {},
        }}),
        input("{\"at\""),
        input(":2}"),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 4}}),
        json!({"type": "message_stop"}),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_busy_cut_or_wrong_comes_to_one_answer() {
    let words = || says("anthropic", &["It is ", "fine."]);
    let cut = |pieces: &[&str]| stream(&begins("anthropic", pieces)).cut();
    let busy = || Reply::status("429 Too Many Requests", "retry-after: 0\r\n", "{}");
    let overloaded =
        stream(&[json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})]);
    let away = Reply::status("503 Service Unavailable", "retry-after: 0\r\n", "");
    let for_long = Reply::status("529 Overloaded", "retry-after: 86400\r\n", "");
    let echo = format!("{{\"error\": {{\"message\": \"bad key {KEY}\"}}}}");
    let refused = format!("status 401: bad key {}", "*".repeat(KEY.len()));
    let document = |body: &str| Reply::status("200 OK", "content-type: application/json\r\n", body);
    let line = format!("data: {}\n\n", "x".repeat(5 << 20));
    let long = Reply { body: line, ..stream(&[]) };
    let mark = "\n\n[the answer was cut here and begins again]\n\n";
    let fine = "It is fine. (7 + 5)";
    let table: Vec<(&str, Vec<Reply>, usize, &str, String)> = vec![
        ("busy", vec![busy(), words()], 2, fine, "It is fine.".to_owned()),
        ("overloaded", vec![overloaded, words()], 2, fine, "It is fine.".to_owned()),
        ("away", vec![away], 3, "status 503", String::new()),
        ("busy for long", vec![for_long], 1, "left alone for 86400 s", String::new()),
        ("cut, the same", vec![cut(&["It is"]), words()], 2, fine, "It is fine.".to_owned()),
        ("cut, another", vec![cut(&["It will"]), words()], 2, fine, format!("It will{mark}It is fine.")),
        ("refused", vec![Reply::status("401 Unauthorized", "", &echo)], 1, refused.as_str(), String::new()),
        ("no JSON", vec![document("<html>")], 1, "is no JSON", String::new()),
        ("wrong", vec![document("{\"content\": [{\"type\": \"text\"}]}")], 1, "another shape", String::new()),
        ("empty", vec![document("{}")], 1, "holds no message", String::new()),
        ("long", vec![long], 1, "a line of its answer is longer than", String::new()),
    ];
    let place = Place::new("");
    let mut scripts = Vec::new();
    for (number, (_, replies, ..)) in table.iter().enumerate() {
        let script = Script::start(replies.clone());
        place.configure(&format!("m{number}"), "anthropic", &script);
        scripts.push(script);
    }
    let held = Script::start(vec![stream(&begins("anthropic", &["It is "])).held()]);
    place.configure("m11", "anthropic", &held);
    let server = place.serve(None);
    let given_up = start(&server, asks_of("m11", true)).await;
    let mut tasks = Vec::new();
    for number in 0..table.len() {
        tasks.push(start(&server, asks_of(&format!("m{number}"), true)).await);
    }
    for (((name, _, asked, said, shown), script), id) in table.iter().zip(&scripts).zip(&tasks) {
        let (document, text) = end(&server, id).await;
        assert!(text.contains(said), "{name}: {text} {document}");
        assert_eq!((script.seen().len(), &draft(&server, id).await), (*asked, shown), "{name}");
    }
    let client = server.client();
    client.until(&given_up, |task| task["outputs"][0]["bytes"] == 6).await;
    client.call("task_cancel", json!({"task_id": given_up}), json!({})).await.expect("a document");
    held.dropped().await;
    let (document, _) = end(&server, &given_up).await;
    assert_eq!(document["state"], "cancelled", "{document}");
    assert_ne!(document["model_cost"], json!(null), "it may be paid: {document}");
    let metrics = metrics(&server).await;
    assert!(metrics.contains("longhaul_model_cost_nanos_total{model=\"m11\"}"), "{metrics}");
    assert!(server.stop().success());
    place.assert_no_key();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_was_asked_when_the_server_was_killed_is_asked_again_and_paid_twice() {
    let held = stream(&begins("openai-chat", &["It is "])).held();
    let script = Script::start(vec![held, says("openai-chat", &["It is ", "fine."])]);
    let place = Place::with_fast("openai-chat", &script, "sample_tokens = 200");
    let server = place.serve(None);
    let id = start(&server, asks(true)).await;
    let document = server.client().until(&id, |task| task["outputs"][0]["bytes"] == 6).await;
    assert_eq!(document["input_requests"], json!(null), "{document}");
    server.kill();
    let server = place.serve(None);
    let (document, text) = end(&server, &id).await;
    assert!(text.contains("It is fine. (7 + 5)"), "{text}");
    assert_eq!(draft(&server, &id).await, "It is fine.");
    // All that the lost answer may have cost, and what this one did.
    let lost = document["questions_answered"][0]["tokens"].as_u64().expect("a count") - 12;
    assert!((51..100).contains(&lost), "{document}");
    // A token of the request costs a thousandth, one of an answer a hundredth.
    let cost: f64 = document["model_cost"].as_str().expect("a sum").parse().expect("a number");
    let expected = 0.057 + 0.5 + (lost - 50) as f64 / 1_000.0;
    assert!((cost - expected).abs() < 1e-9, "{cost} {expected}");
    let seen = script.seen();
    assert_eq!((seen.len(), seen[0].key()), (2, seen[1].key()));
    assert!(server.stop().success());
    place.assert_no_key();
}

/// Killed with an answer in its hands. Each bound allows one request, and not another one on top of what may have been
/// paid: of the task's tokens, of its money, and of the day of all.
#[tokio::test(flavor = "multi_thread")]
async fn each_budget_is_kept_across_a_kill() {
    for (limits, shares, name) in [
        ("sample_tokens = 110", "", "'sample_tokens'"),
        ("model_cost_cents = 60", "", "'model_cost_cents'"),
        ("", "[shares]\nmodel_tokens_per_day = 110\n", "[shares] model_tokens_per_day"),
    ] {
        let script = Script::start(vec![says("openai-chat", &["It is fine."])]);
        let place = Place::with_fast("openai-chat", &script, limits);
        place.write(shares);
        let mut server = place.serve(Some("model_answered:1"));
        let id = start(&server, asks(false)).await;
        script.asked(1).await;
        server.died().expect("killed with the answer in its hands");
        let server = place.serve(None);
        let (_, text) = end(&server, &id).await;
        assert!(text.contains(name) && text.contains("raise"), "{name}: {text}");
        assert_eq!(script.seen().len(), 1, "{name}: it is not asked beyond the budget");
        // Where the day is spent, it is for other tasks too.
        let id = start(&server, asks(false)).await;
        let (_, text) = end(&server, &id).await;
        assert_eq!(text.contains("model_tokens_per_day"), !shares.is_empty(), "{name}: {text}");
        assert!(server.stop().success());
    }
}

/// Killed behind the ask, before a request has left: the bounds allow one, and that one is made.
#[tokio::test(flavor = "multi_thread")]
async fn what_had_not_left_when_the_server_was_killed_is_asked_within_the_same_budget() {
    let script = Script::start(vec![says("openai-chat", &["It is fine."])]);
    let place = Place::with_fast("openai-chat", &script, "sample_tokens = 110\nmodel_cost_cents = 60");
    let mut server = place.serve(Some("model_asking:1"));
    let submit = async |server: &Server| {
        server.client().start("run_program", json!({"program": [asks(false)]}), Some("k")).await
    };
    // The link may have come before the kill.
    let before = submit(&server).await.ok();
    server.died().expect("killed behind the ask");
    assert_eq!(script.seen().len(), 0);
    let server = place.serve(None);
    let id = submit(&server).await.expect("a link");
    assert!(before.is_none_or(|before| before == id), "the same call is the same task");
    let (document, text) = end(&server, &id).await;
    assert!(text.contains("It is fine. (7 + 5)"), "{text}");
    assert_eq!((script.seen().len(), &document["model_cost"]), (1, &json!("0.057")), "{document}");
    assert!(server.stop().success());
}

/// In no file of the server's but the one that the configuration names: store, journal, audit, log.
fn assert_no_key(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            assert_no_key(&path);
        } else if let (Ok(bytes), false) = (fs::read(&path), path.ends_with("longhaul/key")) {
            let found = bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes());
            assert!(!found, "the key is in {}", path.display());
        }
    }
}
