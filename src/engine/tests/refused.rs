//! Hosts that a guest was refused, and what is said of them. And what a trap says of its log.

use std::collections::BTreeMap;

use super::*;
use crate::authority::HttpPattern;
use crate::catalog::{GrantTable, Inspection};

/// Asks for hosts as its arguments say; its first attempt stops behind its journal's first record.
struct Asker(AtomicU64);

impl Runner for Asker {
    fn inspect(&self, _component: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>> {
        Box::pin(std::future::ready(Err(InspectError::Unsupported("a test".to_owned()))))
    }

    fn run(&self, attempt: Attempt) -> BoxFuture<Outcome> {
        let is_first = self.0.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move {
            match ask(&attempt, is_first).await {
                Ok(()) => Outcome::Completed(ToolResult::text("asked")),
                Err(RecorderError::Diverged(divergence)) => Outcome::Diverged(divergence),
                Err(error) => Outcome::HostFault { message: error.to_string() },
            }
        })
    }
}

async fn ask(attempt: &Attempt, stops: bool) -> Result<(), RecorderError> {
    let arguments: Value = serde_json::from_str(&attempt.task.arguments).expect("JSON");
    let pattern = |value: &Value| HttpPattern::parse(value.as_str().expect("a text")).expect("a pattern");
    let recorder = &attempt.recorder;
    recorder.log(b"asks")?;
    let mut named = NamedHosts::default();
    for host in arguments["hosts"].as_array().expect("hosts") {
        let granted = arguments.get("granted").map(pattern);
        let host = pattern(host);
        recorder.refused_by_grant(&host, granted.as_ref(), named.add(&host))?;
    }
    recorder.log(b"goes on\n")?;
    if matches!(recorder.next(1, 7, "a step")?, Next::Live) {
        recorder.record(1, 7, b"")?;
        if let Some(host) = arguments.get("leads_inside") {
            recorder.refused_by_address(&pattern(host));
        }
        recorder.barrier().await?;
    }
    if stops {
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// A task that is stopped behind what it asked for, and ends in another process, with its log.
async fn asked_and_replayed(arguments: Value) -> (TaskEngine, TaskId, String) {
    let world = World::new();
    let runner = Arc::new(Asker(AtomicU64::new(0)));
    let closures = Closures::new().tool(definition("ask"), "1", |_, _| async { Ok(ToolResult::default()) });
    let catalog = Arc::new(closures.catalog().expect("a catalog"));
    let open = async || {
        let options = world.options();
        let engine = TaskEngine::open(world.path(), runner.clone(), options).await.expect("an engine");
        engine.set_catalog(catalog.clone());
        engine.start().await.expect("a start");
        engine
    };
    let engine = open().await;
    let id = submit(&engine, "ask", arguments).await;
    until(&engine, id, |document| document.steps > 0).await;
    engine.shutdown().await;

    let engine = open().await;
    let document = ended(&engine, id).await;
    assert_eq!((document.state.name(), &document.error), ("completed", &None));
    let log = engine.log(&Principal::local(), id, 0, 1 << 20).await.expect("a log").bytes;
    (engine, id, String::from_utf8(log).expect("text"))
}

#[tokio::test]
async fn a_refused_host_is_told_where_people_look_and_once() {
    for (arguments, line, message, reasons) in [
        (
            json!({"hosts": ["http://prices.example.org:8081"]}),
            "[longhaul: http://prices.example.org:8081 was refused: it is not granted; to grant it, in longhaul.toml \
             (where that table is there already, its `http` takes the host); NAME is the component's name as `a-program \
             tools` has it:]\n[grants.NAME]\nhttp = [\"http://prices.example.org:8081\"]\n",
            "http://prices.example.org:8081 was refused: it is not granted",
            vec!["not_granted http://prices.example.org:8081"],
        ),
        (
            json!({"hosts": ["http://a.example", "https://b.example"], "granted": "https://*.example:8443"}),
            "http://a.example:80 was refused: granted is https://*.example:8443, and scheme and port count",
            "http://a.example:80 was refused: it is not granted",
            vec!["not_granted http://a.example:80", "not_granted https://b.example:443"],
        ),
        (
            json!({"hosts": [], "leads_inside": "http://intra.example"}),
            "asksgoes on",
            "http://intra.example:80 was refused: it leads to this machine, or to an address that is not the public \
             internet's, which must be granted and asked for as the address that it is; a listener of this server's \
             own is never granted",
            vec!["address http://intra.example:80"],
        ),
    ] {
        let (engine, id, log) = asked_and_replayed(arguments).await;
        let document = ended(&engine, id).await;
        assert_eq!(document.message.as_deref(), Some(message));
        assert_eq!(log.matches(line).count(), 1, "{log}");
        assert!(log.starts_with("asks") && log.ends_with("goes on\n"), "{log}");
        let rows = engine.audit(AuditQuery::default()).await.expect("a page").rows;
        let mut seen: Vec<_> = rows.iter().filter(|row| row.action == AuditAction::Reach).collect();
        seen.sort_by_key(|row| row.reason.clone());
        assert_eq!(seen.iter().filter_map(|row| row.reason.as_deref()).collect::<Vec<_>>(), reasons);
        for row in seen {
            assert_eq!((row.verdict, row.count, row.tool.as_deref()), (Verdict::Refused, 1, Some("ask")));
            assert_eq!(row.task, Some(id));
        }
        engine.shutdown().await;
    }
}

/// The bound is of the log's lines alone: decoys hide nothing from the audit, and replay counts nothing again.
#[tokio::test]
async fn hosts_beyond_those_that_the_log_names_are_counted_all_the_same() {
    let decoys = limits::MAX_REFUSED_HOST_LINES;
    let hosts: Vec<String> = (0..decoys)
        .map(|number| format!("http://decoy-{number}.example"))
        .chain(
            ["http://late.example", "https://later.example", "http://late.example", "http://decoy-3.example"]
                .map(str::to_owned),
        )
        .collect();
    let (engine, _, log) = asked_and_replayed(json!({ "hosts": hosts })).await;
    assert_eq!(log.matches(" was refused: ").count(), decoys, "{log}");
    assert_eq!(log.matches("more was refused, which is not listed here").count(), 1, "{log}");
    assert!(!log.contains("late"), "{log}");
    let rows = engine.audit(AuditQuery::default()).await.expect("a page").rows;
    let counted = |host: &str| -> u64 {
        let reason = format!("not_granted {host}");
        rows.iter().filter(|row| row.reason.as_ref() == Some(&reason)).map(|row| row.count).sum()
    };
    for (host, count) in [
        ("http://late.example:80", 2),
        ("https://later.example:443", 1),
        ("http://decoy-3.example:80", 2),
        ("http://decoy-15.example:80", 1),
    ] {
        assert_eq!(counted(host), count, "{host}");
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn the_lines_of_the_log_are_toml_that_grants_the_host() {
    for host in ["http://prices.example.org:8081", "https://a.example", "http://[::1]:99"] {
        let (engine, _, log) = asked_and_replayed(json!({ "hosts": [host] })).await;
        let lines = log.split_once(":]\n").expect("lines").1;
        let lines = lines.strip_suffix("goes on\n").expect("the guest's own line");
        let file: BTreeMap<String, BTreeMap<String, GrantTable>> = toml::from_str(lines).expect("TOML");
        let wanted = HttpPattern::parse(host).expect("a pattern");
        assert_eq!(file["grants"]["NAME"].as_grant().http, [wanted], "{lines}");
        engine.shutdown().await;
    }
}

/// Of a guest that is tried again, the try that failed last says why.
#[tokio::test]
async fn a_trap_quotes_the_log_of_its_own_try_alone() {
    let world = World::new();
    let tries = Arc::new(AtomicU64::new(0));
    let retry = RetryPolicy { attempts: 2, backoff: Duration::from_millis(1) };
    let tool = move |steps: Steps, _| {
        let number = tries.fetch_add(1, Ordering::SeqCst);
        async move {
            steps.log(&format!("try {number} finds no bolts"))?;
            panic!("gave up")
        }
    };
    let closures = Closures::new().tool_with(definition("ship"), "1", TaskLimits::default(), retry, tool);
    let engine = world.start(closures).await;
    let id = submit(&engine, "ship", json!({})).await;
    until(&engine, id, |document| document.attempt > 1).await;
    world.clock.advance(Duration::from_secs(60));
    let error = ended(&engine, id).await.error.expect("an error");
    assert_eq!(error.reason, FailedReason::Trap);
    let detail = error.detail.expect("the end of its log");
    assert_eq!(quoted(&detail).collect::<Vec<_>>(), ["try 1 finds no bolts"]);
}
