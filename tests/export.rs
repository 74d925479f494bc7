//! A failure is taken home: exported with a server or without, replayed elsewhere, and found out where it is another one.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use longhaul::catalog::RequestText;
use longhaul::clock::{Clock, ManualClock, SystemClock};
use longhaul::engine::{EngineOptions, Runner, TaskEngine, TrialVerdict};
use longhaul::sandbox::{Sandbox, SandboxOptions};
use serde_json::{Value, json};

use crate::support::{Server, Web, answer_of, command, guest};

/// A server with the interpreter, one of whose tasks failed.
struct Failed {
    root: tempfile::TempDir,
    data: PathBuf,
    tools: Vec<PathBuf>,
    web: Web,
    id: String,
}

impl Failed {
    /// The server runs.
    async fn new() -> (Self, Server) {
        let web = Web::start();
        let root = tempfile::tempdir().expect("a folder");
        let component = root.path().join("interpreter.wasm");
        std::fs::write(&component, padded(&guest("interpreter"))).expect("a copy");
        let manifest = format!("name = \"interpreter\"\n[capabilities]\nhttp = [{:?}]\n", web.url(""));
        std::fs::write(root.path().join("interpreter.toml"), manifest).expect("a manifest");
        let (data, tools) = (root.path().join("data"), vec![component]);
        let server = Server::start(&data, &tools);
        let program = json!([
            {"op": "print", "text": "before"}, {"op": "clock"}, {"op": "random", "bytes": 16},
            {"op": "http", "request": {"method": "GET", "url": web.url("/secretpage")}},
            {"op": "step", "name": "one"}, {"op": "sleep", "ms": 5}, {"op": "print", "text": "after"}, {"op": "trap"},
        ]);
        let client = server.client();
        let id = client.start("run_program", json!({ "program": program }), None).await.expect("a task");
        let ended = client.ended(&id).await.expect("an end");
        assert_eq!((&ended["state"], &ended["reason"]), (&json!("failed"), &json!("trap")), "{ended}");
        (Self { root, data, tools, web, id }, server)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn export(&self, name: &str, more: &[&str]) -> PathBuf {
        let file = self.file(name);
        let words = [&["task", "export", &self.id, "-o", text(&file)], more].concat();
        let answer = answer_of(command(&self.data, &words));
        assert_eq!(answer["bytes"].as_u64(), std::fs::metadata(&file).ok().map(|file| file.len()));
        file
    }
}

/// A component with a section that means nothing, so that what holds it comes in more than one piece.
fn padded(component: &Path) -> Vec<u8> {
    const PADDING: u32 = 5 * 1024 * 1024;
    let mut bytes = std::fs::read(component).expect("read");
    let section = wasm_encoder::CustomSection { name: "pad".into(), data: vec![0; PADDING as usize].into() };
    wasm_encoder::ComponentSection::append_to_component(&section, &mut bytes);
    bytes
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// On a machine that has nothing of the first one.
fn replay(file: &Path, more: &[&str]) -> (Option<i32>, Value, String) {
    let elsewhere = tempfile::tempdir().expect("a folder");
    let words = [&["replay", text(file)], more].concat();
    let Output { status, stdout, stderr } =
        command(elsewhere.path(), &words).output().expect("longhaul runs");
    let said = String::from_utf8_lossy(&[&stdout[..], &stderr[..]].concat()).into_owned();
    let left: Vec<_> = std::fs::read_dir(elsewhere.path()).expect("a folder").collect();
    assert!(left.is_empty(), "a replay touches no data folder: {left:?}");
    (status.code(), serde_json::from_slice(&stdout).unwrap_or_default(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_replayed_elsewhere_with_its_log_and_backtrace() {
    let (failed, server) = Failed::new().await;
    let with_server = failed.export("with.task", &[]);
    assert!(server.stop().success());
    let without = failed.export("without.task", &[]);
    let (asked, url) = (failed.web.seen().len(), failed.web.url("/secretpage"));
    assert_eq!(asked, 1);
    for file in [&with_server, &without] {
        let (exit, replayed, said) = replay(file, &[]);
        assert_eq!((exit, &replayed["end"]), (Some(0), &json!("trapped")), "{said}");
        let of = |name: &str| replayed["task"][name].clone();
        assert_eq!(
            (of("task"), of("tool"), of("state")),
            (json!(failed.id), json!("run_program"), json!("failed"))
        );
        assert_eq!(replayed["replayed"], of("records"), "{said}");
        let steps = replayed["steps"].as_array().expect("steps");
        assert!(steps.len() > 4 && steps.iter().all(|step| step["replayed"] == true), "{said}");
        let log = replayed["log"].as_str().expect("a log");
        assert!(log.contains("before") && log.contains("after"), "{log}");
        let detail = replayed["detail"].as_str().expect("a backtrace");
        assert!(detail.contains("wasm"), "{detail}");
        assert_eq!(replayed["task"]["error"]["message"], replayed["message"], "it fails as it did");
    }
    assert_eq!(failed.web.seen().len(), asked, "{url} is not asked again");
    let (exit, stopped, said) = replay(&with_server, &["--until", "2"]);
    assert_eq!(
        (exit, &stopped["end"], &stopped["replayed"]),
        (Some(0), &json!("stopped"), &json!(2)),
        "{said}"
    );
    // In words, from stdin.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let mut plain = std::process::Command::new(env!("CARGO_BIN_EXE_longhaul"));
    plain.args(["replay", "-"]).stdin(std::fs::File::open(&with_server).expect("there"));
    let output = plain.env("XDG_CONFIG_HOME", elsewhere.path()).output().expect("longhaul runs");
    let words = String::from_utf8(output.stdout).expect("text");
    assert!(words.contains("the tool traps") && words.contains("log:"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_its_owners_and_has_no_text_where_it_is_redacted() {
    let (failed, server) = Failed::new().await;
    let token = answer_of(command(&failed.data, &["token", "new", "ann", "--tools", "*"]));
    let token = token["token"].as_str().expect("a token").to_owned();
    let foreign = command(&failed.data, &["task", "export", &failed.id, "-o", text(&failed.file("foreign"))])
        .args(["--url", &server.url, "--token", &token])
        .output()
        .expect("longhaul runs");
    assert_eq!(foreign.status.code(), Some(3), "{}", String::from_utf8_lossy(&foreign.stderr));
    assert!(!failed.file("foreign").exists());
    let redacted = failed.export("redacted.task", &["--redact"]);
    let bytes = std::fs::read(&redacted).expect("read");
    let component = std::fs::read(&failed.tools[0]).expect("read");
    let at = bytes.windows(64).position(|window| window == &component[..64]).expect("the component is in it");
    let rest = [&bytes[..at], &bytes[at + component.len()..]].concat();
    for secret in ["secretpage", "before", "after", "http://"] {
        let there = rest.windows(secret.len()).any(|window| window == secret.as_bytes());
        // Its grant names where it may go, and nothing of what it did there.
        assert!(!there || secret == "http://", "{secret} is in the file");
    }
    let (_, replayed, said) = replay(&redacted, &[]);
    assert_eq!(replayed["task"]["redacted"], true, "{said}");
    assert!(replayed["steps"].as_array().is_some_and(|steps| steps.len() > 4), "{said}");
    // A file that is there stays.
    let again = command(&failed.data, &["task", "export", &failed.id, "-o", text(&redacted)]).output();
    assert_eq!(again.expect("longhaul runs").status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_none_or_was_changed_is_refused() {
    let (failed, server) = Failed::new().await;
    let file = failed.export("whole.task", &[]);
    assert!(server.stop().success());
    let whole = std::fs::read(&file).expect("read");
    let changed = failed.file("changed.task");
    let refused = |bytes: &[u8]| {
        std::fs::write(&changed, bytes).expect("written");
        let (exit, _, said) = replay(&changed, &[]);
        assert_eq!(exit, Some(2), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    };
    refused(b"");
    refused(b"no such thing");
    refused(&whole[..whole.len() / 2]);
    let mut flipped = whole.clone();
    flipped[whole.len() - 100] ^= 1;
    refused(&flipped);
    let mut newer = whole.clone();
    newer[14] = 200;
    refused(&newer);
    assert_eq!(replay(&failed.file("nowhere"), &[]).0, Some(3));
}

/// One that is under way comes to the end of its journal, and does nothing new there.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_task_is_replayed_up_to_where_it_waits() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, tools) = (root.path().join("data"), vec![guest("interpreter")]);
    let server = Server::start(&data, &tools);
    let program = json!([
        {"op": "step", "name": "one"}, {"op": "step", "name": "two"}, {"op": "sleep", "ms": 3_600_000},
        {"op": "print", "text": "never"},
    ]);
    let client = server.client();
    let id = client.start("run_program", json!({ "program": program }), None).await.expect("a task");
    client.until(&id, |task| task["state"] == "waiting").await;
    let file = root.path().join("open.task");
    answer_of(command(&data, &["task", "export", &id, "-o", text(&file)]));
    let (exit, replayed, said) = replay(&file, &[]);
    assert_eq!((exit, &replayed["end"]), (Some(0), &json!("live")), "{said}");
    assert_eq!(replayed["replayed"], replayed["task"]["records"], "{said}");
    assert!(!said.contains("never"), "{said}");
}

/// Which open tasks would go on with another component: nothing of it changes a task.
#[tokio::test(flavor = "multi_thread")]
async fn open_tasks_are_tried_with_another_component() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, tools) = (root.path().join("data"), vec![guest("sleep_loop")]);
    let server = Server::start_with(&data, &tools, &[("LONGHAUL_CRASH", "record:40")]);
    let mut server = server.expect("a server");
    let id = server.client().start("sleep_loop", json!({}), None).await.expect("a task");
    assert!(server.died().is_some());
    let sandbox: Arc<dyn Runner> = Arc::new(Sandbox::new(SandboxOptions::default()).expect("a sandbox"));
    // It stands still, and so does the task.
    let clock = Arc::new(ManualClock::starting_at(SystemClock::default().wall()));
    let options = EngineOptions { clock, ..EngineOptions::default() };
    let engine = TaskEngine::open(&data, sandbox.clone(), options).await.expect("the store opens");
    engine.start().await.expect("a start");
    let own = std::fs::read(guest("sleep_loop")).expect("read");
    let requests = RequestText::manifest(root.path().join("sleep_loop.toml"), String::new());
    let alike = [&own[..], b"\x00\x05\x04more"].concat();
    let other = std::fs::read(guest("other_program")).expect("read");
    for (bytes, goes_on) in [(alike, Some(true)), (other, Some(false)), (own, None)] {
        let version =
            engine.version_of_file("sleep_loop", bytes.into(), &requests).await.expect("a component");
        let page = engine.try_tasks(&version, None).await.expect("tried");
        assert_eq!(page.next, None);
        let Some(goes_on) = goes_on else {
            assert_eq!(page.tasks, [], "it has this version");
            continue;
        };
        assert_eq!(page.tasks.len(), 1);
        let trial = &page.tasks[0];
        assert_eq!((trial.task.to_string(), trial.tool.as_str()), (id.clone(), "sleep_loop"));
        let words = trial.verdict.words();
        assert_eq!(trial.verdict == TrialVerdict::GoesOn, goes_on, "{words}");
        assert!(goes_on || words.contains("step"), "{words}");
    }
    engine.shutdown().await;
}
