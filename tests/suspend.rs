//! A machine that is suspended: what waits is due by the time that has passed, what computes by the time it ran.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Server, guest};

/// What a suspend does to the clocks: those of the wall and of the boot go on, the monotonic one stood still. Preloaded
/// into the server, it adds the seconds that a file tells.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static volatile long long *suspended;
__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("SUSPENDED_SECONDS");
  int file = path ? open(path, O_RDONLY) : -1;
  if (file < 0) return;
  void *at = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
  if (at != MAP_FAILED) suspended = at;
  close(file);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = syscall(SYS_clock_gettime, clock, now);
  if (!result && suspended && (clock == CLOCK_REALTIME || clock == CLOCK_BOOTTIME)) now->tv_sec += *suspended;
  return result;
}
"#;

/// The library, and the file that it reads.
struct Clocks {
    library: PathBuf,
    file: PathBuf,
}

impl Clocks {
    fn new(folder: &Path) -> Self {
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        fs::write(&source, CLOCK).expect("a source");
        // rustc links with it too.
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
        assert!(built.expect("cc runs").success());
        let clocks = Self { library, file: folder.join("suspended") };
        fs::write(&clocks.file, 0i64.to_le_bytes()).expect("a file");
        clocks
    }

    /// As if the machine had been suspended so long in all. In place: the server has mapped the file.
    fn suspend(&self, seconds: i64) {
        let mut file = fs::OpenOptions::new().write(true).open(&self.file).expect("the file");
        file.write_all(&seconds.to_le_bytes()).expect("written");
    }
}

fn serve(folder: &Path, clocks: &Clocks) -> Server {
    let component = folder.join("interpreter.wasm");
    fs::copy(guest("interpreter"), &component).expect("a copy");
    let manifest = "name = \"interpreter\"\n[capabilities]\nelicit = true\nstate = [\"s\"]\n";
    fs::write(folder.join("interpreter.toml"), manifest).expect("a manifest");
    let (library, file) = (clocks.library.to_string_lossy(), clocks.file.to_string_lossy());
    let variables = [("LD_PRELOAD", &*library), ("SUSPENDED_SECONDS", &*file)];
    Server::start_with(&folder.join("data"), &[component], &variables).expect("a server")
}

/// What a task that has completed has printed last.
async fn printed(client: &Client, id: &str) -> String {
    let ended = client.ended(id).await.expect("an end");
    assert_eq!(ended["state"], "completed", "{ended}");
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    log.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_are_over_when_the_machine_wakes_and_computing_has_lost_nothing() {
    const HOUR: i64 = 3_600;
    let root = tempfile::tempdir().expect("a folder");
    let clocks = Clocks::new(root.path());
    let server = serve(root.path(), &clocks);
    let client = server.client();
    let start = async |program: Value| {
        client.start("run_program", json!({"program": program}), None).await.expect("a link")
    };
    let waiting = async |id: &str| {
        client.until(id, |task| task["state"] == "waiting").await;
    };
    let put = json!({"op": "state_put", "namespace": "s", "entries": [{"key": "k", "value": 1, "ttl_seconds": HOUR}]});
    let received = start(json!([{"op": "receive", "names": ["go"], "timeout_ms": HOUR * 1_000}])).await;
    let asked = start(json!([{"op": "ask", "key": "a", "seconds": HOUR}])).await;
    let watched =
        start(json!([put, {"op": "state_watch", "namespace": "s", "key": "k", "version": 1}])).await;
    let endless = start(json!([{"op": "receive", "names": ["go"]}])).await;
    for id in [&received, &asked, &watched, &endless] {
        waiting(id).await;
    }
    let computing = start(json!([{"op": "compute", "rounds": 1_u64 << 60}])).await;
    client.until(&computing, |task| task["state"] == "running").await;
    let inline = {
        let client = client.clone();
        tokio::spawn(async move {
            let sleep = json!({"program": [{"op": "sleep", "ms": 24 * HOUR * 1_000}]});
            let waits = json!({"longhaul/reply": "inline", "longhaul/inline-wait-seconds": HOUR});
            client.call("run_program", sleep, waits).await.expect("an answer")
        })
    };
    // Its answer is awaited by then.
    let tasks = async || client.structured("task_list", json!({"state": "waiting"})).await["tasks"].clone();
    while tasks().await.as_array().map(Vec::len) < Some(5) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    clocks.suspend(HOUR);
    assert!(printed(&client, &received).await.ends_with("receive timeout"));
    assert!(printed(&client, &asked).await.ends_with("timeout"));
    assert!(printed(&client, &watched).await.ends_with("none"));
    let link = inline.await.expect("an answer");
    assert!(link["structuredContent"]["task_id"].is_string(), "{link}");
    // It may compute for five minutes, and did so for a few seconds.
    assert_eq!(client.task(&computing).await.expect("a task")["state"], "running");
    assert_eq!(client.task(&endless).await.expect("a task")["state"], "waiting");

    clocks.suspend(8 * 24 * HOUR);
    for id in [&endless, &computing] {
        let ended = client.ended(id).await.expect("an end");
        assert_eq!((&ended["state"], &ended["reason"]), (&json!("failed"), &json!("timeout")), "{ended}");
    }
}
