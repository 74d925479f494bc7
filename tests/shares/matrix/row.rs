//! What is peculiar to each pool: how the server is set, how it is refused, and what one unit of it is.

use longhaul::shares::Pool;
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::wire::{Caller, Outcome};

/// How the taker hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// 429, before the request is read.
    Http,
    /// 503, before there is a request.
    Connection,
    /// In the answer of a call.
    Answer,
    /// Not at all: its tasks wait, a tool hears of it, or the connection ends where its answer would have begun.
    Inside,
}

pub struct Row {
    pub pool: Pool,
    pub config: &'static str,
    pub refused: Refused,
    /// What the taker tries to hold at once.
    pub at_once: usize,
    /// The same, as its share allows.
    pub within: usize,
}

/// An eighth of each is a principal's share.
const SMALL: &str = "[shares]\nmemory_mib = 1024\nsessions = 80\nlisteners = 64\nsamples = 64\nquestions = 64\n\
     [shares.principal]\nmemory_mib = 128\n[engine]\nlive_instances = 32\n";
const FEW_CONNECTIONS: &str = "[shares]\nconnections = 160\n";
const FEW_ARRIVALS: &str = "[shares]\nnew_connections = 40\n";
const FEW_REQUESTS: &str = "[shares]\nrequests = 64\n";
const LITTLE_MEMORY: &str = "[shares]\nmemory_mib = 1024\n[shares.principal]\nmemory_mib = 40\n";
const FEW_TASKS: &str = "[shares.principal]\ntasks = 20\n";
/// With room for 2,048 of them.
const LITTLE_FOR_TASKS: &str = "[shares.principal]\nmemory_mib = 8\nrate = 2000\n";
const LITTLE_STORE: &str = "[shares.principal]\nstore_mib = 8\n";
const FEW_ENTRIES: &str = "[shares.principal]\nstate_entries = 20\n";
const LOW_RATE: &str = "[shares.principal]\nrate = 60\n";

impl Row {
    pub fn of(pool: Pool) -> Self {
        let (config, refused, at_once, within) = match pool {
            Pool::Connections => (FEW_CONNECTIONS, Refused::Http, 60, 15),
            Pool::Requests => (FEW_REQUESTS, Refused::Http, 24, 6),
            Pool::Memory => (LITTLE_MEMORY, Refused::Inside, 6, 1),
            Pool::RequestBytes => (SMALL, Refused::Http, 6, 1),
            Pool::AnswerBytes => (SMALL, Refused::Inside, 12, 2),
            // More than its share ever has: its guests fail, and say so.
            Pool::GuestMemory => (LITTLE_MEMORY, Refused::Inside, 8, 1),
            Pool::TaskMemory => (LITTLE_FOR_TASKS, Refused::Answer, 8, 1),
            Pool::Sampling => (SMALL, Refused::Inside, 24, 6),
            Pool::StoredBytes => (LITTLE_STORE, Refused::Answer, 4, 1),
            Pool::StateEntries => (FEW_ENTRIES, Refused::Answer, 4, 1),
            Pool::Sessions => (SMALL, Refused::Http, 30, 8),
            Pool::Subscribers => (SMALL, Refused::Http, 24, 6),
            Pool::Instances => (SMALL, Refused::Inside, 12, 2),
            Pool::OpenTasks => (FEW_TASKS, Refused::Answer, 60, 15),
            Pool::Samples => (SMALL, Refused::Inside, 24, 6),
            Pool::Questions => (SMALL, Refused::Inside, 24, 6),
            Pool::Rate => (LOW_RATE, Refused::Http, 16, 1),
            Pool::NewConnections => (FEW_ARRIVALS, Refused::Connection, 16, 1),
        };
        Self { pool, config, refused, at_once, within }
    }

    /// One caller takes one unit, uses it and gives it back.
    pub async fn take_one(&self, caller: &Caller) -> Result<(), String> {
        let served = |outcome: Outcome| match outcome {
            Outcome::Served(result) => Ok(result),
            other => Err(other.words()),
        };
        match self.pool {
            Pool::Sessions => {
                let id = served(caller.begin_session().await)?;
                caller.end_session(id.as_str().unwrap_or_default()).await?;
            }
            Pool::Subscribers => {
                let params = json!({"notifications": {"toolsListChanged": true}});
                let words = |error: std::io::Error| error.to_string();
                let mut stream = caller.connect().await.map_err(words)?;
                caller.send_on(&mut stream, "subscriptions/listen", None, params).await.map_err(words)?;
                let mut begin = [0; 12];
                stream.read_exact(&mut begin).await.map_err(words)?;
                if &begin != b"HTTP/1.1 200" {
                    return Err(String::from_utf8_lossy(&begin).into_owned());
                }
            }
            Pool::Memory
            | Pool::RequestBytes
            | Pool::Connections
            | Pool::NewConnections
            | Pool::Requests
            | Pool::Rate => {
                // On a connection of its own.
                let caller = Caller::new(&caller.url, &caller.token, caller.from);
                let program = json!({"program": [{"op": "status", "text": "x".repeat(1 << 20)}]});
                served(caller.call("run_program", program, "inline").await)?;
            }
            Pool::AnswerBytes => {
                let output = json!({"op": "output", "name": "o", "text": "y".repeat(1 << 20)});
                let task = run(caller, json!([output])).await?;
                let params = json!({"uri": format!("task://{task}/output/o")});
                let name = params["uri"].as_str().unwrap_or_default().to_owned();
                served(caller.ask("resources/read", Some(&name), params).await)?;
            }
            Pool::StoredBytes => drop(served(caller.call("quick", json!({}), "inline").await)?),
            Pool::StateEntries => {
                let entry = json!({"namespace": "one", "key": "k", "value": 1});
                served(caller.call("state_put", entry, "inline").await)?;
                delete_entries(caller, "one").await?;
            }
            Pool::GuestMemory | Pool::Instances | Pool::OpenTasks | Pool::TaskMemory => {
                run(caller, json!([{"op": "compute", "rounds": 1_000}])).await?;
            }
            Pool::Samples | Pool::Sampling => {
                ask(caller, json!({"op": "sample", "prompt": "?", "max_tokens": 1})).await?
            }
            Pool::Questions => ask(caller, json!({"op": "ask", "key": "k"})).await?,
        }
        Ok(())
    }
}

/// All entries of one namespace.
pub async fn delete_entries(caller: &Caller, namespace: &str) -> Result<(), String> {
    loop {
        let listed = caller.call("state_list", json!({"namespace": namespace, "limit": 100}), "inline").await;
        let Outcome::Served(listed) = listed else { return Err(listed.words()) };
        let entries = listed["structuredContent"]["entries"].as_array().cloned().unwrap_or_default();
        if entries.is_empty() {
            return Ok(());
        }
        for entry in entries {
            let key = json!({"namespace": namespace, "key": entry["key"]});
            let deleted = caller.call("state_delete", key, "inline").await;
            if !matches!(deleted, Outcome::Served(_)) {
                return Err(deleted.words());
            }
        }
    }
}

/// All tasks of this caller that have ended.
pub async fn delete_tasks(caller: &Caller) -> Result<(), String> {
    for state in ["completed", "failed", "cancelled"] {
        loop {
            let page = caller.call("task_list", json!({"state": state, "limit": 100}), "inline").await;
            let Outcome::Served(page) = page else { return Err(page.words()) };
            let tasks = page["structuredContent"]["tasks"].as_array().cloned().unwrap_or_default();
            if tasks.is_empty() {
                break;
            }
            for task in tasks {
                let deleted = caller.call("task_delete", json!({"task_id": task["id"]}), "inline").await;
                if !matches!(deleted, Outcome::Served(_)) {
                    return Err(deleted.words());
                }
            }
        }
    }
    Ok(())
}

/// The id of a task that has run this program.
async fn run(caller: &Caller, program: serde_json::Value) -> Result<String, String> {
    let outcome = caller.call("run_program", json!({"program": program}), "link").await;
    let task = outcome.task().ok_or_else(|| outcome.words())?.to_owned();
    match caller.call("task_wait", json!({"task_id": task, "seconds": 30}), "inline").await {
        Outcome::Served(result) if result["structuredContent"]["state"] == "completed" => Ok(task),
        other => Err(format!("{other:?}")),
    }
}

/// Asks, is heard, and is cancelled.
async fn ask(caller: &Caller, op: serde_json::Value) -> Result<(), String> {
    let outcome = caller.call("run_program", json!({"program": [op]}), "link").await;
    let task = outcome.task().ok_or_else(|| outcome.words())?.to_owned();
    let mut state = serde_json::Value::Null;
    // A second for a task that comes to its question: only its end, or a question to this caller, ends the wait earlier.
    for _ in 0..30 {
        let arguments = json!({"task_id": task, "seconds": 1});
        let Outcome::Served(result) = caller.call("task_wait", arguments, "inline").await else { continue };
        state = result["structuredContent"].clone();
        if state["state"] == "waiting" {
            caller.call("task_cancel", json!({"task_id": task}), "inline").await;
            return Ok(());
        }
        if state["state"] != "running" && state["state"] != "queued" {
            break;
        }
    }
    Err(format!("it does not ask: {state}"))
}
