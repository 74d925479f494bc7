//! A disk that others fill, and one that a caller fills, with `kill -9` in between: reads, cancels and deletes go on, new
//! work is refused, nothing acknowledged is lost, and all goes on by itself once there is room. In a mount namespace of
//! its own, where this machine lets a user have one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, Server, answer_of, command, guest};

const INSIDE: &str = "LONGHAUL_FULL_DISK";
const MIB: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test of this file again, in a namespace of its own; true there, where it goes on.
fn is_inside(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let may = Command::new("unshare").args(["-rm", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("left out: this machine gives users no namespaces of their own (unshare -rm)");
        return false;
    }
    let tests = std::env::current_exe().expect("this program");
    let mut again = Command::new("unshare");
    again.arg("-rm").arg(tests).args([&format!("full_disk::{name}"), "--exact", "--nocapture"]);
    let output = again.env(INSIDE, "1").output().expect("unshare runs");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// A small disk of its own, and what others keep on it.
struct Disk {
    root: tempfile::TempDir,
}

impl Disk {
    fn mount() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(root.path());
        assert!(mount.status().expect("mount runs").success());
        Self { root }
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn others(&self) -> PathBuf {
        self.root.path().join("others")
    }

    /// To the last byte.
    fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.others()).expect("a file");
        for bytes in [vec![0; MIB], vec![0; 4096]] {
            while file.write_all(&bytes).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.others()).expect("removed");
    }

    fn start(&self) -> Server {
        Server::start(&self.data(), &[guest("interpreter")])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.root.path()).status();
    }
}

fn program(ops: Value) -> Value {
    json!({"program": ops})
}

fn sleeper() -> Value {
    program(json!([{"op": "sleep", "ms": 600_000}]))
}

/// The call's answer says that there is no room, when to ask again, and that nothing was done.
async fn is_refused(client: &Client, tool: &str, arguments: Value) {
    let answer = client.call(tool, arguments, json!({})).await.expect("an answer");
    assert_eq!(answer["isError"], true, "{tool}: {answer}");
    assert_eq!(answer["_meta"]["longhaul/error"], "no_space", "{tool}: {answer}");
    assert!(answer["_meta"]["longhaul/retry-after-seconds"].as_u64() > Some(0), "{answer}");
    assert!(answer["content"][0]["text"].as_str().is_some_and(|text| text.contains("no room")), "{answer}");
}

/// The id of the task, unless the call is refused.
async fn try_start(client: &Client, arguments: Value) -> Option<String> {
    let meta = json!({"longhaul/reply": "link"});
    let answer = client.call("run_program", arguments, meta).await.expect("an answer");
    answer["structuredContent"]["task_id"].as_str().map(str::to_owned)
}

/// Until there is room.
async fn start_in_time(client: &Client, arguments: Value) -> String {
    let begun = Instant::now();
    loop {
        if let Some(id) = try_start(client, arguments.clone()).await {
            return id;
        }
        assert!(begun.elapsed() < PATIENCE, "it is still refused");
        tokio::task::yield_now().await;
    }
}

async fn state(client: &Client, id: &str) -> String {
    let task = client.task(id).await.expect("its link resolves");
    task["state"].as_str().expect("a state").to_owned()
}

async fn cancel(client: &Client, id: &str) {
    client.structured("task_cancel", json!({"task_id": id})).await;
    client.until(id, |task| task["state"] == "cancelled").await;
}

fn without_server(data: &Path, words: &[&str]) -> Value {
    answer_of(command(data, words))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_others_fill_takes_cancels_and_deletes_and_goes_on_once_there_is_room() {
    if !is_inside("a_disk_that_others_fill_takes_cancels_and_deletes_and_goes_on_once_there_is_room") {
        return;
    }
    let disk = Disk::mount();
    let server = disk.start();
    let client = server.client();
    let over = client.start("run_program", program(json!([])), None).await.expect("a task");
    client.ended(&over).await.expect("it ends");
    let mut sleepers = Vec::new();
    for _ in 0..5 {
        sleepers.push(client.start("run_program", sleeper(), None).await.expect("a task"));
    }
    let late =
        json!([{"op": "sleep", "ms": 500}, {"op": "output", "name": "late", "text": "x".repeat(2000)}]);
    let late = client.start("run_program", program(late), None).await.expect("a task");

    disk.fill();
    // Others may have filled it since the server has looked last.
    while let Some(id) = try_start(&client, sleeper()).await {
        sleepers.push(id);
        assert!(sleepers.len() < 50, "it was never refused");
    }
    is_refused(&client, "run_program", sleeper()).await;
    is_refused(&client, "state_put", json!({"namespace": "n", "key": "k", "value": 1})).await;
    assert_eq!(state(&client, &sleepers[0]).await, "waiting");
    cancel(&client, &sleepers[0]).await;
    client.structured("task_delete", json!({"task_id": over})).await;
    let page = server.page("metrics").await;
    assert!(page.contains("longhaul_store_disk_full 1") && !page.contains("no_space_total 0"), "{page}");
    assert!(server.said().contains("has no room"), "{}", server.said());

    // As full as before, after `kill -9`: it starts, says so, reads and cancels, also by the command line.
    server.kill();
    let server = disk.start();
    let client = server.client();
    assert!(server.said().contains("new work is refused"), "{}", server.said());
    is_refused(&client, "run_program", sleeper()).await;
    assert_eq!(state(&client, &sleepers[0]).await, "cancelled");
    cancel(&client, &sleepers[1]).await;
    server.longhaul(&["task", "cancel", &sleepers[2]]);
    client.until(&sleepers[2], |task| task["state"] == "cancelled").await;
    server.kill();

    // And without a server.
    let data = disk.data();
    assert_eq!(without_server(&data, &["task", "show", &sleepers[2]])["state"], "cancelled");
    without_server(&data, &["task", "cancel", &sleepers[3]]);
    assert_eq!(without_server(&data, &["task", "show", &sleepers[3]])["state"], "cancelled");

    let server = disk.start();
    let client = server.client();
    disk.make_room();
    let again = start_in_time(&client, program(json!([]))).await;
    client.ended(&again).await.expect("it ends");
    let done = client.until(&late, |task| task["state"] == "completed").await;
    assert_eq!(done["outputs"][0]["bytes"], 2000, "the task waited for room: {done}");
    for id in &sleepers[4..] {
        client.until(id, |task| task["state"] == "waiting").await;
    }
    assert!(server.page("metrics").await.contains("longhaul_store_disk_full 0"));
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_fills_the_disk_is_refused_before_it_is_full_and_deletes_make_room() {
    if !is_inside("a_caller_that_fills_the_disk_is_refused_before_it_is_full_and_deletes_make_room") {
        return;
    }
    let disk = Disk::mount();
    let mut server = disk.start();
    let mine = server.client().start("run_program", sleeper(), None).await.expect("a task");
    let mut acknowledged = Vec::new();
    let large = program(json!([{"op": "output", "name": "o", "text": "y".repeat(MIB)}]));
    for round in 0..3 {
        let client = server.client();
        while let Some(id) = try_start(&client, large.clone()).await {
            acknowledged.push(id);
            assert!(acknowledged.len() < 200, "it was never refused");
        }
        assert!(round > 0 || acknowledged.len() >= 5, "{} calls were taken", acknowledged.len());
        assert_eq!(state(&client, &mine).await, "waiting");
        server.kill();
        server = disk.start();
        let client = server.client();
        for id in &acknowledged {
            state(&client, id).await;
        }
    }
    let client = server.client();
    cancel(&client, &mine).await;
    for id in &acknowledged {
        if state(&client, id).await != "completed" {
            cancel(&client, id).await;
        }
        client.structured("task_delete", json!({"task_id": id})).await;
    }
    // Where the reserve had to be used, a start gives back what the file does not use.
    assert!(server.stop().success());
    let server = disk.start();
    start_in_time(&server.client(), large).await;
    assert!(server.stop().success());
}
