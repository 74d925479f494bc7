//! Tokens and the audit from the command line: with a server, without one, and beyond loopback.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use longhaul::engine::closures::Closures;
use longhaul::engine::{EngineOptions, TaskEngine};
use serde_json::{Value, json};

use crate::support::{Server, guest};

fn longhaul(data: &Path, arguments: &[&str], token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
    command.args(arguments).arg("--json").arg("--data").arg(data);
    command.env("XDG_CONFIG_HOME", data).env_remove("LONGHAUL_TOKEN").current_dir(std::env::temp_dir());
    command.envs(token.map(|token| ("LONGHAUL_TOKEN", token)));
    command.output().expect("longhaul runs")
}

fn seen(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

#[test]
fn tokens_are_made_before_the_first_start_and_asked_for_beyond_loopback() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    let beyond = ["serve", "--http", "0.0.0.0:0"];
    let refused = longhaul(&data, &beyond, None);
    assert_eq!(refused.status.code(), Some(4));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("longhaul token new"), "{words}");

    let made = seen(&longhaul(&data, &["token", "new", "ann", "--tools", "analyze*"], None));
    let token = made["token"].as_str().expect("a token").to_owned();
    assert_eq!(longhaul(&data, &["token", "new", "ann"], None).status.code(), Some(4), "there is one");
    assert_eq!(longhaul(&data, &["token", "new", "local"], None).status.code(), Some(2));
    // Whatever is logged, no secret is.
    let server =
        Server::start_with(&data, &[guest("text_stats")], &[("LONGHAUL_LOG", "trace")]).expect("a server");
    // With the server: its owner's commands get in by the key in the folder, a caller by its token.
    let listed = seen(&longhaul(&data, &["token", "list"], None));
    assert_eq!(
        (&listed["tokens"][0]["name"], &listed["tokens"][0]["tools"]),
        (&json!("ann"), &json!(["analyze*"]))
    );
    let tools = seen(&longhaul(&data, &["tool", "list"], Some(&token)));
    assert_eq!(tools["tools"].as_array().map(Vec::len), Some(2), "{tools}");
    let name = "analyze".to_owned();
    let called = longhaul(&data, &["call", &name, "text=two words"], Some(&token));
    let task = seen(&called)["task"]["id"].as_str().expect("a task").to_owned();
    seen(&longhaul(&data, &["task", "show", &task], None));
    seen(&longhaul(&data, &["task", "show", &task], Some(&token)));
    let narrow =
        ["token", "new", "bob", "--tools", "*", "--rate", "50", "--memory-mib", "128", "--store-mib", "7"];
    let of_server = seen(&longhaul(&data, &narrow, None));
    let of_server = of_server["token"].as_str().expect("a token").to_owned();
    seen(&longhaul(&data, &["tool", "list"], Some(&of_server)));
    let of_ann = longhaul(&data, &["task", "show", &task], Some(&of_server));
    assert_eq!(of_ann.status.code(), Some(3), "it is ann's");
    let listed = seen(&longhaul(&data, &["token", "list"], None));
    let share = |at: usize| {
        let token = &listed["tokens"][at];
        ["rate", "memory_mib", "store_mib"].map(|part| token[part].as_u64())
    };
    assert_eq!((share(0), share(1)), ([None; 3], [Some(50), Some(128), Some(7)]), "{listed}");
    assert_eq!(longhaul(&data, &["token", "new", "eve", "--tasks", "0"], None).status.code(), Some(2));
    let forbidden = longhaul(&data, &["token", "new", "eve", "--tools", "*"], Some(&token));
    assert_eq!(forbidden.status.code(), Some(4));
    seen(&longhaul(&data, &["token", "revoke", "ann"], None));
    let over = longhaul(&data, &["task", "show", &task], Some(&token));
    assert_eq!(over.status.code(), Some(4), "{}", String::from_utf8_lossy(&over.stderr));
    let rows = seen(&longhaul(&data, &["audit", "list"], None));
    let info = std::fs::read_to_string(data.join("server.json")).expect("where it listens");
    let info: Value = serde_json::from_str(&info).expect("JSON");
    let key = info["key"].as_str().expect("a key");
    let log = server.said();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "{log}");
    for secret in [token.as_str(), of_server.as_str(), key] {
        assert!(!log.contains(secret) && !rows.to_string().contains(secret), "{log}");
    }
    server.stop();

    // And from the closed store.
    let rows = seen(&longhaul(&data, &["audit", "list", "--since", "1h"], None));
    let rows = rows["rows"].as_array().expect("rows");
    let count = |deed: &str, principal: &str, verdict: &str| {
        let is_it = |row: &&Value| {
            (row["deed"].as_str(), row["principal"].as_str(), row["verdict"].as_str())
                == (Some(deed), Some(principal), Some(verdict))
        };
        rows.iter().filter(is_it).count()
    };
    for (deed, principal, verdict) in [
        ("token_new", "local", "admitted"),
        ("token_new", "local", "refused"),
        ("token_revoke", "local", "admitted"),
        ("grant", "local", "admitted"),
        ("call", "ann", "admitted"),
        ("authenticate", "", "refused"),
    ] {
        assert!(count(deed, principal, verdict) > 0, "{verdict} {deed} of '{principal}' in {rows:?}");
    }
    let is_call = |row: &&Value| row["deed"] == "call" && row["verdict"] == "admitted";
    let call = rows.iter().find(is_call).expect("a call");
    assert_eq!((&call["task"], &call["tool"]), (&json!(task), &json!(name)));
    let only = seen(&longhaul(&data, &["audit", "list", "--principal", "ann", "--limit", "1"], None));
    assert_eq!(only["rows"].as_array().map(Vec::len), Some(1));
    assert_eq!(longhaul(&data, &["audit", "list", "--since", "yesterday"], None).status.code(), Some(2));
}

/// What a killed server left says where it listened; a process that took its port since gets no secret, also while another
/// process has the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_or_a_key_never_goes_to_the_port_of_a_server_that_is_gone() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    let server = Server::start(&data, &[]);
    let url = server.url.clone();
    server.kill();
    let address = url.trim_start_matches("http://").trim_end_matches("/mcp");
    let port = std::net::TcpListener::bind(address).expect("its port is free");
    let tools = Arc::new(Closures::new());
    let holder = TaskEngine::open(&data, tools, EngineOptions::default()).await.expect("the store is free");
    let heads = std::thread::spawn(move || {
        let mut heads = Vec::new();
        loop {
            let (stream, _) = port.accept().expect("a connection");
            let mut head = String::new();
            let mut lines = BufReader::new(stream);
            while lines.read_line(&mut head).is_ok_and(|read| read > 2) {}
            if head.starts_with("END") {
                return heads;
            }
            heads.push(head.to_ascii_lowercase());
        }
    });
    let token = Some("lh_a-secret-of-this-test");
    for words in [&["task", "list"][..], &["tool", "list"], &["call", "anything"]] {
        let lost = longhaul(&data, words, token);
        assert_ne!(lost.status.code(), Some(0), "{words:?}");
    }
    // The address of the folder's own server would be shown the key.
    assert_ne!(longhaul(&data, &["task", "list", "--url", &url], None).status.code(), Some(0));
    let mut end = std::net::TcpStream::connect(address).expect("it listens");
    end.write_all(b"END\r\n\r\n").expect("sent");
    let heads = heads.join().expect("no panic");
    assert!(heads.iter().all(|head| !head.contains("authorization")), "{heads:?}");
    holder.shutdown().await;
}

#[test]
fn the_owners_key_stays_until_it_is_renewed_and_is_printed_for_its_own_server_alone() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    let key = || seen(&longhaul(&data, &["key"], None))["key"].as_str().expect("a key").to_owned();
    assert_eq!(longhaul(&data, &["key"], None).status.code(), Some(3), "no server runs");
    let server = Server::start(&data, &[]);
    let first = key();
    let headers = seen(&longhaul(&data, &["key", "--headers", "--url", &server.url], None));
    assert_eq!(headers, json!({ "Authorization": format!("Bearer {first}") }));
    for elsewhere in ["http://127.0.0.1:1/mcp", "http://localhost:1919/mcp", "https://far.example/mcp"] {
        let refused = longhaul(&data, &["key", "--headers", "--url", elsewhere], None);
        assert_eq!(refused.status.code(), Some(4), "{elsewhere}");
        assert!(!String::from_utf8_lossy(&refused.stdout).contains(&first), "{elsewhere}");
    }
    assert_eq!(longhaul(&data, &["key", "--renew"], None).status.code(), Some(4), "a server runs");
    server.stop();
    let server = Server::start(&data, &[]);
    assert_eq!(key(), first, "hosts keep it in their environment");
    server.stop();
    assert_eq!(longhaul(&data, &["key", "--renew"], None).status.code(), Some(0));
    let server = Server::start(&data, &[]);
    assert_ne!(key(), first);
    server.stop();
}

#[test]
fn a_token_keeps_no_more_in_the_store_than_it_says_and_goes_on_when_it_has_deleted_something() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    let server = Server::start(&data, &[guest("text_stats")]);
    let narrow = ["token", "new", "eve", "--state", "trips", "--store-mib", "1"];
    let made = seen(&longhaul(&data, &narrow, None));
    let token = made["token"].as_str().expect("a token");
    let value = format!("\"{}\"", "v".repeat(60_000));
    let put = |key: usize| longhaul(&data, &["state", "put", "trips", &key.to_string(), &value], Some(token));
    let kept = (0..40).take_while(|key| put(*key).status.success()).count();
    assert_eq!(kept, (1 << 20) / 60_200);
    let words = String::from_utf8_lossy(&put(kept).stderr).into_owned();
    assert!(words.contains("the share of eve is 1 MiB in the store (stored_bytes)"), "{words}");
    seen(&longhaul(&data, &["state", "get", "trips", "1"], Some(token)));
    seen(&longhaul(&data, &["state", "delete", "trips", "1"], Some(token)));
    seen(&put(kept));
    server.stop();
    let checked = longhaul(&data, &["doctor", "--check"], None);
    let checked: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    let counts =
        checked["checks"].as_array().and_then(|checks| checks.iter().find(|one| one["what"] == "counts"));
    assert_eq!(counts.map(|counts| &counts["ok"]), Some(&json!(true)), "{checked}");
}
