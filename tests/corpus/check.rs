//! What is asserted of a store that another build left: before anything goes on, and at the end.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;

use super::frozen::{Frozen, Situation, Store};
use super::rows;
use crate::support::{Client, Oracle, Server};

/// What a task keeps for as long as it is kept itself, so that its rows only ever become more.
const KEPT: [&str; 13] = [
    "task",
    "status",
    "output",
    "log",
    "by-principal",
    "idempotency",
    "component",
    "blob",
    "blob-ref",
    "setting",
    "token",
    "audit",
    "ended",
];

/// Every row that was frozen is there after an opening that ran nothing, and one entry of the state more, which that
/// opening wrote, with its namespace where that is new. It has counted what principals keep, and a setting says so.
pub fn counts_after_opening(name: &str, store: &Store, file: &Path) {
    let mut expected = store.rows.clone();
    *expected.entry("state".to_owned()).or_insert(1) += 1;
    *expected.entry("audit".to_owned()).or_default() += 1;
    *expected.entry("setting".to_owned()).or_default() += 1;
    let mut found: std::collections::BTreeMap<String, usize> =
        rows::count(file).into_iter().map(|(space, count)| (space.to_owned(), count)).collect();
    assert!(found.remove("count").is_some_and(|counts| counts >= 2), "{name}: bytes, and entries");
    assert_eq!(found, expected, "{name}");
}

pub fn counts_at_the_end(name: &str, store: &Store, file: &Path) {
    let found = rows::count(file);
    for space in KEPT {
        let (before, after) = (store.rows.get(space).copied().unwrap_or_default(), found.get(space).copied());
        assert!(after.unwrap_or_default() >= before, "{name}: {space} had {before} rows and has {after:?}");
    }
    assert_eq!(found.get("open"), None, "{name}: nothing is open");
    assert_eq!(found.get("wake"), None, "{name}: nothing is to be woken");
}

/// A task that had ended is as it was, to the last field; one that was open is the same call, and goes on from what it
/// had published.
pub async fn as_frozen(client: &Client, frozen: &Frozen) {
    let there = &frozen.there;
    let document =
        client.task(&frozen.task).await.unwrap_or_else(|error| panic!("{}: {error:?}", frozen.task));
    let fields = there.document.as_object().expect("a document");
    for (name, value) in fields {
        let is_kept = matches!(
            name.as_str(),
            "id" | "uri"
                | "tool"
                | "component"
                | "created_at"
                | "arguments"
                | "idempotency_key"
                | "parent"
                | "root"
                | "log_uri"
        );
        if is_kept || frozen.was_ended() && name != "error" {
            assert_eq!(&document[name], value, "{}: {name}: {document}", frozen.task);
        }
    }
    if frozen.was_ended() {
        for name in ["reason", "message", "detail", "step"] {
            assert_eq!(document["error"][name], there.document["error"][name], "{}: {document}", frozen.task);
        }
    }
    published(client, frozen, frozen.was_ended()).await;
    if let Some(result) = &there.result {
        assert_eq!(&client.read(&format!("task://{}/result", frozen.task)).await.expect("a result"), result);
    }
}

/// The log and the outputs, whole or at least their beginnings.
pub async fn published(client: &Client, frozen: &Frozen, is_whole: bool) {
    let (id, there) = (&frozen.task, &frozen.there);
    let outputs = there.outputs.iter().map(|(name, text)| (format!("output/{name}"), text));
    for (name, before) in outputs.chain([("log".to_owned(), &there.log)]) {
        let now = client
            .read(&format!("task://{id}/{name}"))
            .await
            .unwrap_or_else(|error| panic!("{id}: {error:?}"));
        let is_there = if is_whole { now == *before } else { now.starts_with(before.as_str()) };
        assert!(is_there, "{id}: {name}: {before:?} was published, and now there is {now:?}");
    }
}

/// Each entry of the audit and of the shared state that its own build showed.
pub fn lists(server: &Server, store: &Store) {
    let audit = server.longhaul(&["audit", "list", "--limit", "1000"]);
    let rows = audit["rows"].as_array().expect("rows");
    for row in store.audit["rows"].as_array().expect("rows") {
        assert!(rows.contains(row), "not in the audit any more: {row}");
    }
    let state = server.longhaul(&["state", "list", "s"]);
    let entries = state["entries"].as_array().expect("entries");
    for entry in store.state["entries"].as_array().expect("entries") {
        assert!(entries.contains(entry), "not in the state any more: {entry} in {state}");
    }
}

/// The end of a task: that which its program comes to where nothing disturbs it.
pub async fn end(client: &Client, id: &str, situation: &Situation) {
    let (key, document) = (&situation.key, client.task(id).await.expect("a task"));
    for (name, value) in situation.ends.as_object().expect("fields") {
        assert_eq!(&document[name], value, "{key}: {document}");
    }
    for (name, text) in &situation.outputs {
        let now = client.read(&format!("task://{id}/output/{name}")).await.expect("an output");
        assert_eq!(&now, text, "{key}: {name}");
    }
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    for (op, expected) in &situation.printed {
        let mark = format!(" {op} ");
        let printed: Vec<&str> = log.lines().filter_map(|line| Some(line.split_once(&mark)?.1)).collect();
        let fits = printed.len() == expected.len()
            && printed.iter().zip(expected).all(|(line, pattern)| is_like(line, pattern));
        assert!(fits, "{key}: {op} printed {printed:?} instead of {expected:?}");
    }
    if !situation.result.is_empty() {
        says(&log, situation);
    }
    if document["state"] == "completed" && situation.tool == "run_program" {
        interpreted(client, id, situation, &log).await;
    }
}

/// What a program printed, of which its first line was frozen with it.
fn says(said: &str, situation: &Situation) {
    let first = said.lines().next().unwrap_or_default();
    let before = situation.result[0].trim_end_matches('$');
    let same = first.strip_prefix(before).filter(|same| !same.is_empty());
    let same =
        same.unwrap_or_else(|| panic!("{}: {said:?} is not like {:?}", situation.key, situation.result));
    let expected: Vec<String> = situation.result.iter().map(|line| line.replace('$', same)).collect();
    assert!(said.contains(&expected.join("\n")), "{}: {said:?} instead of {expected:?}", situation.key);
}

async fn interpreted(client: &Client, id: &str, situation: &Situation, log: &str) {
    let key = &situation.key;
    let program = situation.arguments["program"].as_array().expect("a program");
    let (oracle, result) = (Oracle::of(program), client.result(id).await.expect("a result"));
    assert_eq!(result["acc"], format!("{:016x}", oracle.acc), "{key}: {result}");
    assert_eq!((&result["ops"], &result["steps"]), (&oracle.ops.into(), &oracle.steps.into()), "{key}");
    let printed: String = log.split_inclusive('\n').filter(|line| line.starts_with("> ")).collect();
    assert_eq!(result["observed"], format!("{:016x}", Oracle::hash(printed.as_bytes())), "{key}: {log}");
    if oracle.steps > 0 {
        let trace = client.read(&format!("task://{id}/output/trace")).await.expect("a trace");
        assert_eq!(trace, oracle.trace, "{key}");
    }
}

/// Whether a line is what the pattern says, in which `*` stands for anything within a line.
fn is_like(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Reasons that no task of a frozen store may fail for.
static NEVER: LazyLock<[Value; 4]> =
    LazyLock::new(|| ["diverged", "damaged", "host_fault", "missing_component"].map(Value::from));

pub fn none_is_lost(name: &str, store: &Store, tasks: &[Value]) {
    for frozen in &store.tasks {
        assert!(
            tasks.iter().any(|task| task["id"] == frozen.task.as_str()),
            "{name}: {} is lost",
            frozen.task
        );
    }
    for task in tasks {
        assert!(!NEVER.contains(&task["reason"]), "{name}: {task}");
    }
}
