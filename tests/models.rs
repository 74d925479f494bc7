//! Models that the operator has configured, asked by a guest that is granted them, without any client: three interfaces,
//! endpoints that are busy, cut or wrong, kills, and a key that is found nowhere.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Reply, Script, Server, guest, stream};

const KEY: &str = "sk-canary-2b7d";

const APIS: [&str; 3] = ["openai-chat", "openai-responses", "anthropic"];

/// The same answer as each interface streams it, in these pieces.
fn says(api: &str, pieces: &[&str]) -> Reply {
    let mut events = begins(api, pieces);
    let text = pieces.concat();
    match api {
        "openai-chat" => {
            events.push(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}));
            events.push(json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}));
        }
        "openai-responses" => events.push(json!({"type": "response.completed", "response": {
            "model": "m-1", "status": "completed", "usage": {"input_tokens": 7, "output_tokens": 5},
            "output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}],
        }})),
        _ => {
            events.push(json!({"type": "content_block_stop", "index": 0}));
            events.push(json!({
                "type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5},
            }));
            events.push(json!({"type": "message_stop"}));
        }
    }
    let mut reply = stream(&events);
    if api == "openai-chat" {
        reply.body += "data: [DONE]\n\n";
    }
    reply
}

/// As far as its text.
fn begins(api: &str, pieces: &[&str]) -> Vec<Value> {
    let piece = |piece: &&str| match api {
        "openai-chat" => json!({"model": "m-1", "choices": [{"index": 0, "delta": {"content": piece}}]}),
        "openai-responses" => json!({"type": "response.output_text.delta", "delta": piece}),
        _ => json!({
            "type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece},
        }),
    };
    let mut events = Vec::new();
    if api == "anthropic" {
        let message = json!({"model": "m-1", "usage": {"input_tokens": 7, "output_tokens": 1}});
        events.push(json!({"type": "message_start", "message": message}));
        events.push(
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        );
        events.push(json!({"type": "ping"}));
    }
    events.extend(pieces.iter().map(piece));
    events
}

/// A guest that is granted one model, and a server that has it.
struct Place {
    root: tempfile::TempDir,
    tools: Vec<PathBuf>,
}

impl Place {
    fn new(api: &str, script: &Script, limits: &str) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let wasm = root.path().join("asker.wasm");
        fs::copy(guest("interpreter"), &wasm).expect("copied");
        let manifest = format!(
            "name = \"asker\"\n[capabilities]\nmodels = [\"fast\", \"absent\"]\n[limits]\n{limits}\n"
        );
        fs::write(root.path().join("asker.toml"), manifest).expect("written");
        let config = format!(
            "[models.fast]\napi = \"{api}\"\nurl = \"http://127.0.0.1:{}/v1\"\nmodel = \"m\"\nkey = \"env:TEST_KEY\"\n\
             headers = {{ x-team = \"a\" }}\n",
            script.port
        );
        let folder = root.path().join("data/longhaul");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("longhaul.toml"), config).expect("written");
        Self { root, tools: vec![wasm] }
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn serve(&self, crash: Option<&str>) -> Server {
        let mut variables = vec![("TEST_KEY", KEY), ("LONGHAUL_LOG", "trace")];
        variables.extend(crash.map(|crash| ("LONGHAUL_CRASH", crash)));
        Server::start_with(&self.data(), &self.tools, &variables).expect("a server")
    }
}

async fn start(server: &Server, op: Value) -> String {
    server.client().start("run_program", json!({"program": [op]}), None).await.expect("a link")
}

fn asks(output: bool) -> Value {
    let mut op = json!({"op": "model", "model": "fast", "prompt": "How is it?", "max_tokens": 50});
    if output {
        op["output"] = json!("draft");
    }
    op
}

/// The end of a task, and the text that it ends with: what it printed, or its error.
async fn end(server: &Server, id: &str) -> (Value, String) {
    let client = server.client();
    let document = client.ended(id).await.expect("an end");
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    let result = client.call("task_result", json!({"task_id": id}), json!({})).await.expect("a result");
    (document, format!("{log}{}", result["content"][0]["text"].as_str().unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_interface_is_asked_in_its_words_and_streams_into_an_output() {
    for api in APIS {
        let script = Script::start(vec![says(api, &["It is ", "fine", "."])]);
        let place = Place::new(api, &script, "");
        let server = place.serve(None);
        let id = start(&server, asks(true)).await;
        let (document, text) = end(&server, &id).await;
        assert_eq!(document["state"], "completed", "{document}");
        assert!(text.contains("model It is fine. (7 + 5)"), "{api}: {text}");
        assert_eq!(document["outputs"][0]["done"], true, "{document}");
        let draft = server.client().read(&format!("task://{id}/output/draft")).await.expect("an output");
        assert_eq!(draft, "It is fine.", "{api}");
        assert_eq!(document["questions_answered"][0]["tokens"], 12, "{document}");
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
        assert!(server.stop().success());
        assert_no_key(place.root.path());
    }
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
    let document = |body: &str| Reply::status("200 OK", "content-type: application/json\r\n", body);
    let line = format!("data: {}\n\n", "x".repeat(5 << 20));
    let long = Reply { body: line, ..stream(&[]) };
    let mark = "\n\n[the answer was cut here and begins again]\n\n";
    let table: Vec<(&str, Vec<Reply>, usize, &str, String)> = vec![
        ("busy", vec![busy(), words()], 2, "It is fine. (7 + 5)", "It is fine.".to_owned()),
        ("overloaded", vec![overloaded, words()], 2, "It is fine. (7 + 5)", "It is fine.".to_owned()),
        ("away", vec![away], 3, "status 503", String::new()),
        ("busy for long", vec![for_long], 1, "left alone for 86400 s", String::new()),
        ("cut, the same", vec![cut(&["It is"]), words()], 2, "It is fine. (7 + 5)", "It is fine.".to_owned()),
        (
            "cut, another",
            vec![cut(&["It was"]), words()],
            2,
            "It is fine. (7 + 5)",
            format!("It was{mark}It is fine."),
        ),
        (
            "refused",
            vec![Reply::status("401 Unauthorized", "", &echo)],
            1,
            "status 401: bad key [key]",
            String::new(),
        ),
        ("no JSON", vec![document("<html>")], 1, "is no JSON", String::new()),
        ("wrong", vec![document("{\"content\": [{\"type\": \"text\"}]}")], 1, "another shape", String::new()),
        ("empty", vec![document("{}")], 1, "holds no message", String::new()),
        ("long", vec![long], 1, "a line of its answer is longer than", String::new()),
    ];
    for (name, replies, asked, said, shown) in table {
        let script = Script::start(replies);
        let place = Place::new("anthropic", &script, "");
        let server = place.serve(None);
        let id = start(&server, asks(true)).await;
        let (document, text) = end(&server, &id).await;
        assert!(text.contains(said), "{name}: {text} {document}");
        assert_eq!(script.seen().len(), asked, "{name}");
        let draft = server.client().read(&format!("task://{id}/output/draft")).await.expect("an output");
        assert_eq!(draft, shown, "{name}");
        assert!(server.stop().success());
        assert_no_key(place.root.path());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_was_asked_when_the_server_was_killed_is_asked_again_and_paid_twice() {
    let held = stream(&begins("openai-chat", &["It is "])).held();
    let script = Script::start(vec![held, says("openai-chat", &["It is ", "fine."])]);
    let place = Place::new("openai-chat", &script, "sample_tokens = 100");
    let server = place.serve(None);
    let id = start(&server, asks(true)).await;
    let document = server.client().until(&id, |task| task["outputs"][0]["bytes"] == 6).await;
    assert_eq!((&document["input_requests"], &document["state"]), (&json!(null), &document["state"]));
    server.kill();
    let server = place.serve(None);
    let (document, text) = end(&server, &id).await;
    assert!(text.contains("It is fine. (7 + 5)"), "{text}");
    let draft = server.client().read(&format!("task://{id}/output/draft")).await.expect("an output");
    assert_eq!(draft, "It is fine.");
    // All that the lost answer may have cost, and what this one did.
    assert_eq!(document["questions_answered"][0]["tokens"], 62, "{document}");
    let seen = script.seen();
    let key = |head: &str| head.split("idempotency-key: ").nth(1).map(|rest| rest[..32].to_owned());
    assert_eq!((seen.len(), key(&seen[0].head)), (2, key(&seen[1].head)));
    assert!(server.stop().success());
    assert_no_key(place.root.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_kept_across_a_kill() {
    let script = Script::start(vec![says("openai-chat", &["It is fine."])]);
    // Enough for once, and not for what may have been paid already.
    let place = Place::new("openai-chat", &script, "sample_tokens = 99");
    let mut server = place.serve(Some("model_answered:1"));
    let id = start(&server, asks(false)).await;
    script.asked(1).await;
    server.died().expect("killed with the answer in its hands");
    let server = place.serve(None);
    let (_, text) = end(&server, &id).await;
    assert!(text.contains("'sample_tokens'") && text.contains("raise"), "{text}");
    assert_eq!(script.seen().len(), 1, "it is not asked beyond the budget");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_has_tools_used_turn_by_turn() {
    let uses = stream(&[
        json!({"type": "message_start", "message": {"model": "m-1", "usage": {"input_tokens": 3}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {
            "type": "tool_use", "id": "t1", "name": "look", "input": {},
        }}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{\"at\""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": ":2}"}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 4}}),
        json!({"type": "message_stop"}),
    ]);
    let script = Script::start(vec![uses, says("anthropic", &["Done."])]);
    let place = Place::new("anthropic", &script, "");
    let server = place.serve(None);
    let mut op = asks(false);
    op["tools"] = json!([{"name": "look", "description": "Looks.", "inputSchema": {"type": "object"}}]);
    let id = start(&server, op).await;
    let (_, text) = end(&server, &id).await;
    assert!(text.contains("model Done. (7 + 5)"), "{text}");
    let seen = script.seen();
    assert_eq!(seen[0].body["tools"][0]["input_schema"], json!({"type": "object"}));
    let messages = &seen[1].body["messages"];
    assert_eq!(messages[1]["content"][0]["input"], json!({"at": 2}), "{messages}");
    assert_eq!(messages[2]["content"][0]["tool_use_id"], "t1", "{messages}");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_not_configured_or_not_granted_is_refused_with_the_lines_to_write() {
    let script = Script::start(Vec::new());
    let place = Place::new("openai-chat", &script, "");
    let server = place.serve(None);
    for (model, line) in [("absent", "[models.absent]"), ("best", "models = [\"best\"]")] {
        let mut op = asks(false);
        op["model"] = json!(model);
        let id = start(&server, op).await;
        let (_, text) = end(&server, &id).await;
        assert!(text.contains(line), "{model}: {text}");
    }
    assert_eq!(script.seen().len(), 0);
    assert!(server.stop().success());
}

/// In no file of the server's: store, journal, audit, log.
fn assert_no_key(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            assert_no_key(&path);
        } else if let Ok(bytes) = fs::read(&path) {
            let found = bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes());
            assert!(!found, "the key is in {}", path.display());
        }
    }
}
