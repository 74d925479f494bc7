//! Components, manifests and texts that mean harm, made by generators of our own from fixed seeds. What must hold: the
//! server goes on, each ends within its bound with a reason that names it, an honest caller is served all the while, and
//! memory stays within its cap. `LONGHAUL_LONG=1` is the long form, ten times as many.
//!
//! What is run where, by the rows of the list of attacks:
//!
//! | Attack | Test |
//! |---|---|
//! | random modules and components, mutated good ones | `many` (20,000, in one process), `whole` (some hundred, in a server) |
//! | compile bombs at our own caps and below | `bombs`; each bound of the compiler by name: `start` |
//! | types and exports that cost more than they look | `bombs`; by name: the unit tests of `sandbox/inspect.rs` |
//! | what a result, or the memory it is read from, can cost | `bombs`, `rogues` |
//! | loops in `realloc`, in `post-return`, between functions | `bombs` |
//! | endless loops, also in a start function; deep recursion; `memory.fill` | `rogues` |
//! | memory, table and handle bombs; tables and memories in one component | `rogues`; `sandbox/tests/bounds.rs` |
//! | floods of host calls, polls, progress and log lines | `rogues` |
//! | bombs of sub-tasks, over a restart too | `children` |
//! | replays that differ | `divergence` |
//! | hostile manifests | `manifests` |
//! | hidden characters, orders to a model, look-alikes | `texts` |
//! | one byte of what was approved changed | `approvals` |
//! | hostile schemas of a component | the unit tests of `catalog/schema` |
//! | compiled code that was tampered with | `sandbox/tests/admission.rs` |

mod bombs;
mod good;
mod manifests;
mod many;
mod mutated;
mod random;
mod texts;
mod whole;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::support::{Client, RpcError, Server, Timing, export, install};

/// As the soak of shares judges: so many times what it was without the others, or a floor.
const TIMES: u32 = 3;
/// A build that is not optimised is judged by whether it serves at all.
const FLOOR: Duration = Duration::from_millis(if cfg!(debug_assertions) { 5_000 } else { 25 });
/// What the server may grow by whatever it is given to serve: page cache and log of the store, compiled code, threads, and
/// the memory of the few guests that run at once.
const GROWTH_MIB: u64 = 512;

/// So many, or ten times as many in the long form.
fn scaled(count: u64) -> u64 {
    if std::env::var("LONGHAUL_LONG").is_ok_and(|long| long == "1") { count * 10 } else { count }
}

/// A server that has an honest tool, an honest caller of it, and the owner, who adds what is hostile.
struct Ground {
    root: TempDir,
    server: Server,
    owner: Client,
    base_mib: u64,
}

/// What became of a component that was added.
#[derive(Debug)]
enum Added {
    Served,
    Waits,
    Refused(String),
}

impl Ground {
    /// All that is added is served at once.
    fn trusting() -> Self {
        Self::with(Server::start)
    }

    /// What is added stands for approval.
    fn asking() -> Self {
        Self::with(|data, tools| {
            let config = data.with_file_name("longhaul.toml");
            fs::write(&config, "").expect("written");
            Server::start_granted(data, tools, &config)
        })
    }

    fn with(start: impl FnOnce(&Path, &[PathBuf]) -> Server) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let quick = export("quick", "(result u32)", r#"(func (export "run") (result i32) i32.const 7)"#);
        let quick = install(root.path(), "quick", &quick, "[tools.quick]\nreply = \"inline\"");
        fs::create_dir(root.path().join("hostile")).expect("made");
        let server = start(&root.path().join("data"), &[quick]);
        let (owner, base_mib) = (server.owner(), server.resident_kib() >> 10);
        Self { root, server, owner, base_mib }
    }

    /// Where this component stands.
    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("hostile").join(format!("{name}.wasm"))
    }

    /// Writes it with its manifest, and adds it.
    async fn add(&self, name: &str, bytes: &[u8], manifest: &[u8]) -> Added {
        let path = self.path(name);
        fs::write(&path, bytes).expect("written");
        fs::write(path.with_extension("toml"), manifest).expect("written");
        let answer = self.by_person("tool_add", json!({ "path": path })).await;
        match answer {
            Ok(document) => match document["state"].as_str() {
                Some("ready") => Added::Served,
                Some("waits_for_approval") => Added::Waits,
                _ => panic!("{name}: {document}"),
            },
            Err(why) => {
                assert!(why.len() > 20, "{name} is refused without words: {why:?}");
                Added::Refused(why)
            }
        }
    }

    async fn by_person(&self, operation: &str, arguments: Value) -> Result<Value, String> {
        match self.owner.call(operation, arguments, json!({ "longhaul/by-person": true })).await {
            Ok(answer) if answer["isError"] == true => {
                Err(answer["content"][0]["text"].as_str().unwrap_or_default().to_owned())
            }
            Ok(answer) => Ok(answer["structuredContent"].clone()),
            Err(RpcError::Refused { message, .. }) => Err(message),
            Err(RpcError::Lost(why)) => panic!("the server is gone: {why}; it said: {}", self.server.said()),
        }
    }

    /// It is there, it serves, and has not grown beyond its cap.
    async fn goes_on(&self) {
        let served = self.server.client().structured("quick", json!({})).await;
        assert_eq!(served["result"], 7);
        let grown = (self.server.most_resident_kib() >> 10).saturating_sub(self.base_mib);
        println!("the server grew by {grown} MiB at most");
        assert!(grown < GROWTH_MIB, "{grown} MiB");
    }

    /// Calls the honest tool again and again.
    async fn neighbour(&self) -> Neighbour {
        let client = self.server.client();
        let calm = calls(&client, |count| count < 100).await;
        let stop: Arc<AtomicBool> = Arc::default();
        let stopped = stop.clone();
        let beside = tokio::spawn(async move { calls(&client, |_| !stopped.load(Ordering::Relaxed)).await });
        Neighbour { calm, stop, beside }
    }
}

/// An honest caller next to what is hostile.
struct Neighbour {
    calm: Timing,
    stop: Arc<AtomicBool>,
    beside: JoinHandle<Timing>,
}

impl Neighbour {
    /// It was served all the while, and about as fast as before.
    async fn was_served(self) {
        self.stop.store(true, Ordering::Relaxed);
        let beside = self.beside.await.expect("all of its calls were answered");
        println!("an honest caller: {}; before: {}", beside, self.calm);
        assert!(beside.count() > 10, "{beside}");
        let bound = (self.calm.percentile(99) * TIMES).max(FLOOR);
        assert!(beside.percentile(99) <= bound, "{beside}, and {bound:?} may be");
    }
}

async fn calls(client: &Client, goes_on: impl Fn(usize) -> bool) -> Timing {
    let mut timing = Timing::default();
    while goes_on(timing.count()) {
        let begun = Instant::now();
        let answer = client.structured("quick", json!({})).await;
        timing.add(begun.elapsed());
        assert_eq!(answer["result"], 7);
    }
    timing
}
