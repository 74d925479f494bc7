//! A server answers at once, whatever it has to compile first, serves each component as soon as it is compiled, and
//! compiles in a process of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use longhaul::engine::{InspectError, Runner};
use longhaul::sandbox::{Compile, CompilerBounds, CompilerProgram, Sandbox, SandboxOptions};
use serde_json::{Value, json};

use crate::support::{Client, Server, answer_of, ballast, command, export, install};
#[cfg(target_os = "linux")]
use crate::support::{Watched, child_of, launcher_of};

const PROGRAM: &str = env!("CARGO_BIN_EXE_longhaul");

/// Exports `name`, and has so many functions besides that keep the compiler busy.
fn with_ballast(name: &str, functions: usize) -> String {
    let core = format!(r#"(func (export "run") (result i32) i32.const 7) {}"#, ballast(functions));
    export(name, "(result u32)", &core)
}

fn quick(name: &str) -> String {
    with_ballast(name, 0)
}

/// A server that nothing is awaited of but that it listens.
struct Starting {
    child: Child,
    url: String,
    said: BufReader<ChildStdout>,
    /// From its start to the line that says where it listens.
    took: Duration,
    began: Instant,
}

impl Starting {
    fn of(data: &Path, tools: &Path) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--http", "127.0.0.1:0", "--json", "--trust", "--data"]).arg(data);
        command.arg("--tools").arg(tools).env("XDG_CONFIG_HOME", data).current_dir(std::env::temp_dir());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let began = Instant::now();
        let mut child = command.spawn().expect("it runs");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it listens");
        let url =
            serde_json::from_str::<Value>(&line).expect("JSON")["url"].as_str().expect("a URL").to_owned();
        Self { child, url, said, took: began.elapsed(), began }
    }

    fn until_loaded(&mut self) {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("it goes on");
        assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON"), json!({ "loaded": true }));
    }

    async fn status(&self, page: &str) -> u16 {
        let url = self.url.replace("/mcp", page);
        reqwest::get(url).await.expect("an answer").status().as_u16()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `tool list` says of each component, sorted by name.
fn states(data: &Path) -> Vec<(String, String)> {
    let listed = answer_of(command(data, &["tool", "list"]));
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let components = listed["components"].as_array().expect("a list").iter();
    components.map(|it| (text(&it["name"]), text(&it["state"]))).collect()
}

async fn number(client: &Client, tool: &str) -> Value {
    client.structured(tool, json!({})).await["result"].clone()
}

#[tokio::test]
async fn the_first_answer_comes_while_twenty_components_are_compiled_and_each_is_served_once_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, tools) = (folder.path().join("data"), folder.path().join("tools"));
    fs::create_dir(&tools).expect("made");
    for number in 0..20 {
        // All inline, so that the answer is the result.
        let name = format!("tool-{number}");
        let manifest = format!("[tools.tool_{number}]\nreply = \"inline\"");
        install(&tools, &name, &with_ballast(&name, 60), &manifest);
    }
    let mut server = Starting::of(&data, &tools);
    let client = Client::new(&server.url);
    let tasks = client.structured("task_list", json!({})).await;
    let first = server.began.elapsed();
    assert_eq!(tasks["tasks"], json!([]));
    assert_eq!((server.status("/healthz").await, server.status("/readyz").await), (200, 503));
    let info: Value =
        serde_json::from_slice(&fs::read(data.join("server.json")).expect("it listens")).expect("JSON");
    let owner = client.clone().with_key(info["key"].as_str().expect("a key"));
    let by_person = json!({ "longhaul/by-person": true });
    let answer = owner.call("tool_components", json!({}), by_person).await.expect("an answer");
    let listed = &answer["structuredContent"];
    let components = listed["components"].as_array().expect("a list");
    let compiling = components.iter().filter(|it| it["state"] == "compiling").count();
    assert_eq!((components.len(), listed["loading"].as_bool()), (20, Some(true)));
    assert!(compiling > 0, "all were compiled before the first answer, {first:?} after the start");
    eprintln!("listens after {:?}, first answer after {first:?}, {compiling} to be compiled", server.took);
    // A call of one that is not there yet waits for it.
    assert_eq!(number(&client, "tool_19").await, 7);
    server.until_loaded();
    assert_eq!(server.status("/readyz").await, 200);
    let ready: Vec<_> = states(&data).into_iter().filter(|(_, state)| state == "ready").collect();
    assert_eq!(ready.len(), 20, "{ready:?}");
    drop(server);
    let code = code_of(&data);
    assert_eq!(code.len(), 20);
    // Now that they are compiled, none is again.
    let mut again = Starting::of(&data, &tools);
    again.until_loaded();
    assert_eq!(again.status("/readyz").await, 200);
    assert_eq!(code_of(&data), code);
}

/// What is compiled: files, and the file that each is.
fn code_of(data: &Path) -> BTreeMap<OsString, u64> {
    let files = fs::read_dir(data.join("compiled")).expect("listed").map(|file| file.expect("a file"));
    files.map(|file| (file.file_name(), file.metadata().expect("there").ino())).collect()
}

#[tokio::test]
async fn a_component_that_cannot_be_served_keeps_no_other_from_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let tools = folder.path().join("tools");
    fs::create_dir(&tools).expect("made");
    install(&tools, "good", &quick("good"), "[tools.good]\nreply = \"inline\"");
    fs::write(tools.join("a-module.wasm"), wat::parse_str("(module)").expect("a module")).expect("written");
    fs::write(tools.join("bad.wasm"), [&b"\0asm\x0d\0\x01\0"[..], &[0xff; 40]].concat()).expect("written");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[tools]);
    assert_eq!(number(&server.client(), "good").await, 7);
    let failed = |name: &str| (name.to_owned(), "failed".to_owned());
    assert_eq!(states(&data), [failed("a-module"), failed("bad"), ("good".to_owned(), "ready".to_owned())]);
    let listed = server.longhaul(&["tool", "list"]);
    let why = listed["components"][0]["why"].as_str().expect("a reason");
    assert!(why.contains("a-module.wasm") && why.contains("not a component"), "{why}");
    // A call of a tool that does not come is refused at once.
    let refused = server.client().call("never", json!({}), json!({})).await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
async fn of_two_with_one_tool_the_first_has_it_whichever_is_compiled_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let tools = folder.path().join("tools");
    fs::create_dir(&tools).expect("made");
    let seven = with_ballast("same", 200);
    install(&tools, "a", &seven, "[tools.same]\nreply = \"inline\"");
    let eight = quick("same").replace("i32.const 7", "i32.const 8");
    install(&tools, "b", &eight, "[tools.same]\nreply = \"inline\"");
    let data = folder.path().join("data");
    for start in ["nothing is compiled", "both are"] {
        let server = Server::start(&data, std::slice::from_ref(&tools));
        assert_eq!(number(&server.client(), "same").await, 7, "{start}");
        let said = server.said();
        assert!(said.contains("left out: ") && said.contains("[components.b]"), "{start}: {said}");
    }
}

#[tokio::test]
async fn an_open_task_waits_until_its_component_is_compiled_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let tools = folder.path().join("tools");
    fs::create_dir(&tools).expect("made");
    let spin =
        with_ballast("spin", 300).replace("(result i32) i32.const 7", "(result i32) (loop br 0) i32.const 7");
    install(&tools, "spin", &spin, "");
    let data = folder.path().join("data");
    let server = Server::start(&data, std::slice::from_ref(&tools));
    let task = server.client().start("spin", json!({}), None).await.expect("a task");
    server.kill();
    fs::remove_dir_all(data.join("compiled")).expect("it is there");
    let server = Starting::of(&data, &tools);
    let client = Client::new(&server.url);
    let first = client.task(&task).await.expect("it is there");
    assert_eq!(first["state"], "queued", "{first}");
    let goes_on = client.until(&task, |document| document["state"] != "queued").await;
    assert_eq!(goes_on["state"], "running", "{goes_on}");
}

/// A compiler like a server's, with other bounds.
fn compiler(bounds: CompilerBounds) -> Sandbox {
    let compile = Compile::Child(CompilerProgram {
        program: PROGRAM.into(),
        arguments: vec!["compile-component".to_owned()],
        bounds,
    });
    Sandbox::new(SandboxOptions { compile, ..SandboxOptions::default() }).expect("a sandbox")
}

async fn inspected(bounds: CompilerBounds, component: &str) -> Result<usize, InspectError> {
    let bytes: Arc<[u8]> = wat::parse_str(component).expect("a component").into();
    compiler(bounds).inspect(bytes).await.map(|inspection| inspection.tools.len())
}

#[tokio::test]
async fn each_bound_of_the_compiler_is_named_and_the_server_goes_on() {
    let heavy = with_ballast("run", 2_000);
    // All of it is kept in the machine code.
    let data = format!(r#"(memory 960) (data (i32.const 0) "{}")"#, "a".repeat(60 << 20));
    let large =
        quick("run").replacen(r#"(func (export "run")"#, &format!(r#"{data} (func (export "run")"#), 1);
    let bounds = CompilerBounds::default();
    assert_eq!(inspected(bounds, &quick("run")).await, Ok(1));
    for (component, bounds, bound) in [
        (&large, CompilerBounds { memory_mib: 220, ..bounds }, "220 MiB of memory (MAX_COMPILE_MEMORY_MIB)"),
        (
            &heavy,
            CompilerBounds { processor_seconds: 1, ..bounds },
            "1 s of the processor (MAX_COMPILE_PROCESSOR_SECONDS)",
        ),
        (&heavy, CompilerBounds { seconds: 1, ..bounds }, "1 s (MAX_COMPILE_SECONDS)"),
    ] {
        let seen = inspected(bounds, component).await.expect_err("refused").to_string();
        assert!(seen.contains(bound), "{bound}: {seen}");
    }
    let seen = inspected(bounds, "(module)").await.expect_err("refused");
    assert!(matches!(seen, InspectError::NotAComponent(_)), "{seen}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_compiler_has_nothing_of_the_environment_gives_way_and_ends_with_its_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let tools = folder.path().join("tools");
    fs::create_dir(&tools).expect("made");
    install(&tools, "heavy", &with_ballast("heavy", 3_000), "");
    let mut server = Starting::of(&folder.path().join("data"), &tools);
    let launcher = launcher_of(server.child.id());
    let compiler = compiler_of(launcher);
    let of = |name: &str| fs::read_to_string(format!("/proc/{compiler}/{name}")).expect("it lives");
    // But what its allocator is to keep to.
    let variables = of("environ");
    assert!(
        variables.split_terminator('\0').all(|variable| variable.starts_with("MIMALLOC_ARENA_")),
        "{variables}"
    );
    // Its walls stand before it bounds itself.
    assert!(of("status").contains("Seccomp:\t2\n"), "it compiles without walls");
    let stat = of("stat");
    let niceness =
        |stat: &str| stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(16)?.parse::<i32>().ok());
    let own = fs::read_to_string(format!("/proc/{}/stat", server.child.id())).expect("it lives");
    assert!(niceness(&stat) > niceness(&own), "{stat} {own}");
    let watched = [compiler, launcher].map(Watched::new);
    server.child.kill().expect("it was ours");
    assert!(watched.iter().all(Watched::ends), "one outlives the server");
}

/// The process that compiles, once it has bounded itself.
#[cfg(target_os = "linux")]
fn compiler_of(launcher: u32) -> u32 {
    child_of(launcher, "compile-component", &|pid| {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
        limits.lines().any(|line| line.starts_with("Max cpu time") && !line.contains("unlimited"))
    })
}
