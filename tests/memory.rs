//! The memory of the whole process, whatever its callers do: never more than what is set for them, and a quarter of a GiB.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Client, Server, guest};

/// `[shares] memory_mib`.
const CAP_MIB: u64 = 64;
/// What the process may have besides: its code, the store's cache and log, compiled components.
const BESIDES_MIB: u64 = 256;
const MIB: usize = 1 << 20;

/// A server that gives its callers so much, and the tool `analyze` once a day.
fn start(root: &Path) -> Server {
    let data = root.join("data");
    let folder = data.join("longhaul");
    fs::create_dir_all(&folder).expect("a folder");
    let text = format!(
        "[shares]\nmemory_mib = {CAP_MIB}\n[shares.principal]\nmemory_mib = {CAP_MIB}\n\
         [tools.analyze]\nrate = \"1/d\"\n"
    );
    fs::write(folder.join("longhaul.toml"), text).expect("a configuration");
    Server::start(&data, &[guest("text_stats"), guest("interpreter")])
}

fn assert_within(server: &Server, when: &str) {
    let most = server.most_resident_kib() / 1024;
    assert!(most <= CAP_MIB + BESIDES_MIB, "{most} MiB {when}");
}

/// A call of `mib` MiB that is answered with a link; the id of its task, `None` where there was no room for it.
async fn large(client: &Client, number: usize, mib: usize) -> Option<String> {
    let text = format!("{number} {}", "x ".repeat(mib * MIB / 2 - 64));
    client.start("analyze", json!({ "text": text }), None).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_calls_that_wait_take_no_memory_also_after_a_restart() {
    let root = tempfile::tempdir().expect("a folder");
    let server = start(root.path());
    let client = server.client();
    let mut waiting = Vec::new();
    // Together far more than the process may have.
    for number in 0..100 {
        waiting.extend(large(&client, number, 4).await);
    }
    assert!(waiting.len() > 90, "one after the other they find room: {}", waiting.len());
    assert_within(&server, "with calls that wait");
    server.kill();

    let server = start(root.path());
    let client = server.client();
    let view = client.task(waiting.last().expect("a task")).await.expect("a task");
    assert_eq!(view["state"], "queued", "{view}");
    let quick = client.call("run_program", json!({"program": []}), Value::Null).await;
    assert!(quick.is_ok(), "{quick:?}");
    assert_within(&server, "after a restart");
}
