//! Plain functions of components that have asynchronous ones too, over MCP, killed in the middle of their work.

use std::path::Path;

use serde_json::json;

use crate::support::{Server, install};

/// The functions that are skipped, and the components that have them.
const OTHERS: [(&str, &str); 4] = [
    (
        "asyncs",
        r#"(core func $return (canon task.return (result u32))) (type $f (func async (param "n" u32) (result u32)))
           (func (export "other") (type $f)
               (canon lift (core func $i "begin") async (callback (func $i "callback"))))"#,
    ),
    (
        "streams",
        r#"(type $s (stream u8)) (core func $new (canon stream.new $s))
           (func (export "other") (result $s) (canon lift (core func $i "get")))"#,
    ),
    (
        "futures",
        r#"(type $s (future u8)) (func (export "other") (param "x" $s) (canon lift (core func $i "put")))"#,
    ),
    ("contexts", r#"(func (export "other") (result error-context) (canon lift (core func $i "get")))"#),
];

/// `NAME-run` draws a number, reports and sleeps three times, and tells the number.
fn component(name: &str, other: &str) -> String {
    format!(
        r#"(component
            (core func $join (canon waitable.join))
            (import "longhaul:tool/timers@0.1.0" (instance $timers (export "sleep" (func (param "ms" u64)))))
            (import "longhaul:tool/progress@0.1.0" (instance $progress (export "report"
                (func (param "done" u64) (param "total" (option u64)) (param "message" (option string))))))
            (import "wasi:random/random@0.2.6" (instance $random (export "get-random-u64" (func (result u64)))))
            (core module $libc (memory (export "memory") 1))
            (core instance $libc (instantiate $libc))
            (core func $sleep (canon lower (func $timers "sleep")))
            (core func $report (canon lower (func $progress "report") (memory $libc "memory")))
            (core func $draw (canon lower (func $random "get-random-u64")))
            (core module $m
                (import "host" "sleep" (func $sleep (param i64)))
                (import "host" "report" (func $report (param i64 i32 i64 i32 i32 i32)))
                (import "host" "draw" (func $draw (result i64)))
                (import "host" "join" (func $join (param i32 i32)))
                (func $tell (param $done i64) (param $number i64)
                    (call $report (local.get $done) (i32.const 1) (local.get $number) (i32.const 0) (i32.const 0) (i32.const 0)))
                (func (export "run") (result i64) (local $number i64) (local $done i64)
                    (local.set $number (i64.shr_u (call $draw) (i64.const 16)))
                    (loop $again
                        (local.set $done (i64.add (local.get $done) (i64.const 1)))
                        (call $tell (local.get $done) (local.get $number))
                        (call $sleep (i64.const 1000))
                        (br_if $again (i64.lt_u (local.get $done) (i64.const 3))))
                    (local.get $number))
                (func (export "plain") (result i32) i32.const 7)
                (func (export "get") (result i32) unreachable)
                (func (export "put") (param i32) unreachable)
                (func (export "begin") (param i32) (result i32) unreachable)
                (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
            (core instance $i (instantiate $m (with "host" (instance (export "sleep" (func $sleep))
                (export "report" (func $report)) (export "draw" (func $draw)) (export "join" (func $join))))))
            (func (export "{name}-plain") (result u32) (canon lift (core func $i "plain")))
            (func (export "{name}-run") (result u64) (canon lift (core func $i "run")))
            {other})"#
    )
}

fn installed(folder: &Path) -> Vec<std::path::PathBuf> {
    OTHERS.iter().map(|(name, other)| install(folder, name, &component(name, other), "")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_functions_among_asynchronous_ones_survive_a_kill() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, tools) = (root.path().join("data"), installed(root.path()));
    let server = Server::start(&data, &tools);
    let client = server.client();
    let listed = client.request("tools/list", None, json!({})).await.expect("a list");
    let names: Vec<_> = listed["tools"].as_array().expect("tools").iter().map(|tool| &tool["name"]).collect();
    assert!(!names.contains(&&json!("other")), "what is skipped is no tool: {names:?}");
    for (name, _) in OTHERS {
        let id = client.start(&format!("{name}_plain"), json!({}), None).await.expect("a link");
        client.ended(&id).await.expect("an end");
        assert_eq!(client.result(&id).await.expect("a result")["result"], 7, "{name}");
    }
    let mut runs = Vec::new();
    for (name, _) in OTHERS {
        runs.push(client.start(&format!("{name}_run"), json!({}), None).await.expect("a link"));
    }
    let mut drawn = Vec::new();
    for id in &runs {
        let document = client.until(id, |task| task["progress"]["done"].as_u64() >= Some(1)).await;
        drawn.push(document["progress"]["total"].clone());
    }
    server.kill();

    let server = Server::start(&data, &tools);
    let client = server.client();
    for (id, number) in runs.iter().zip(drawn) {
        let document = client.ended(id).await.expect("an end");
        assert_eq!(
            (&document["state"], &document["attempt"]),
            (&json!("completed"), &json!(2)),
            "{document}"
        );
        assert_eq!(document["progress"], json!({ "done": 3, "total": number }), "{document}");
        let result = client.result(id).await.expect("a result");
        assert_eq!(result["result"], number, "drawn before the kill: {result}");
    }
}
