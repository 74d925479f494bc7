//! A whole server on a scratch store: engine, sandbox, MCP over HTTP, as `serve` wires them, and clients on a
//! thread of their own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use longhaul::authority::Principal;
use longhaul::catalog::{Candidate, Catalog, Component, Manifest, Operator};
use longhaul::engine::{EngineOptions, Submission, TaskEngine};
use longhaul::http::Options;
use longhaul::mcp::{HttpServer, McpOptions, McpServer};
use longhaul::sandbox::{Sandbox, SandboxOptions};
use longhaul::task::TaskId;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::client::Call;
use crate::clients;
use crate::measure::Sample;

/// The guests: one of the world `longhaul:tool` that does what its argument says, and an ordinary component.
const GUESTS: [&str; 2] = ["interpreter", "text_stats"];
/// The package of plain programs.
const PROGRAMS: &str = "programs";
/// A tool that computes until it may not any more, which is after a second.
pub const SPIN: &str = "spin";
const SPIN_COMPONENT: &str = r#"(component
    (core module $m (func (export "run") (loop br 0)))
    (core instance $i (instantiate $m))
    (func (export "spin") (canon lift (core func $i "run"))))"#;

pub struct Server {
    runtime: Runtime,
    engine: TaskEngine,
    http: HttpServer,
    _folder: TempDir,
}

impl Server {
    pub fn start(folder: &Path) -> Self {
        let runtime = crate::runtime();
        let scratch = tempfile::tempdir_in(folder).expect("a folder");
        let (engine, http) = runtime.block_on(async {
            let sandbox = Sandbox::new(SandboxOptions::default()).expect("a sandbox");
            let options = EngineOptions::default();
            let engine =
                TaskEngine::open(scratch.path(), Arc::new(sandbox), options).await.expect("an engine");
            let mut catalog = Catalog::default();
            for name in GUESTS {
                let component = install(&engine, name, component(name), "").await;
                catalog = catalog.with(component).expect("a catalog");
            }
            let spin = wat::parse_str(SPIN_COMPONENT).expect("a component").into();
            let spin = install(&engine, SPIN, spin, "[limits]\nrun_seconds = 1").await;
            catalog = catalog.with(spin).expect("a catalog");
            engine.set_catalog(Arc::new(catalog));
            engine.start().await.expect("started");
            let server = McpServer::new(engine.clone(), McpOptions::default());
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            let http = HttpServer::bind(server, Options::new(address)).await.expect("a server");
            (engine, http)
        });
        Self { runtime, engine, http, _folder: scratch }
    }

    pub fn call(&self, tool: &str, arguments: Value, reply: &str) -> Call {
        Call::new(self.http.address(), tool, arguments, reply)
    }

    /// Each client has one call under way, always. Every answer must hold `expected`.
    pub fn closed_loop(&self, clients: usize, call: &Call, expected: &str, span: Duration) -> Sample {
        clients::closed_loop(self.http.address(), clients, call, expected, span)
    }

    /// Starts tasks that run once this returns.
    pub fn begin(&self, tool: &str, arguments: &Value, count: usize) -> Vec<TaskId> {
        let begin = async || {
            let mut tasks = Vec::new();
            for _ in 0..count {
                let submission = Submission {
                    tool: tool.to_owned(),
                    arguments: arguments.clone(),
                    principal: Principal::local(),
                    idempotency_key: None,
                    trace: None,
                };
                tasks.push(self.engine.submit(submission).await.expect("a task").id);
            }
            tasks
        };
        let tasks = self.runtime.block_on(begin());
        while self.engine.metrics().running < tasks.len() as u64 {
            std::thread::sleep(Duration::from_millis(1));
        }
        tasks
    }

    pub fn cancel(&self, tasks: &[TaskId]) {
        self.runtime.block_on(async {
            for task in tasks {
                self.engine.cancel(&Principal::local(), *task, None).await.expect("cancelled");
            }
        });
        self.settle();
    }

    /// Until no task is open.
    pub fn settle(&self) {
        loop {
            let metrics = self.engine.metrics();
            if metrics.queued + metrics.running + metrics.waiting == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn stop(self) {
        let Self { runtime, engine, http, _folder } = self;
        runtime.block_on(async {
            http.shutdown().await;
            engine.shutdown().await;
        });
    }
}

async fn install(engine: &TaskEngine, name: &str, bytes: Arc<[u8]>, manifest: &str) -> Component {
    let manifest = Manifest::parse(Path::new(name), manifest).expect("a manifest");
    let inspection = engine.inspect(bytes.clone()).await.expect("a component");
    let id = engine.store_component(bytes, name).await.expect("stored");
    let candidate =
        Candidate { name: name.to_owned(), id, manifest, inspection, trusted: true, signed: None };
    Component::assemble(candidate, &Operator::default()).expect("tools")
}

/// A guest of `tools-wasm`, built by cargo once.
pub fn component(name: &str) -> Arc<[u8]> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(build);
    std::fs::read(folder.join(format!("{name}.wasm"))).expect("a built guest").into()
}

fn build() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools-wasm");
    let target = std::env::var_os("LONGHAUL_GUEST_TARGET_DIR");
    let target = target.map_or_else(|| workspace.join("target"), PathBuf::from);
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&workspace).args(["build", "--quiet", "--release", "--locked"]);
    cargo.args(["--target", "wasm32-wasip2", "--target-dir"]).arg(&target);
    for name in GUESTS.iter().chain(&[PROGRAMS]) {
        cargo.args(["--package", name]);
    }
    // What cargo set for this bench is not meant for the guests.
    for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_")) {
        cargo.env_remove(variable);
    }
    for variable in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        cargo.env_remove(variable);
    }
    let built = cargo.status().expect("cargo, which builds the guests");
    assert!(built.success(), "building the guests failed: cargo's own words are above");
    target.join("wasm32-wasip2/release")
}
