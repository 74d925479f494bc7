//! Hosts that a guest was refused, and what is said of them. And what a trap says of its log.

use super::*;
use crate::authority::HttpPattern;
use crate::catalog::Inspection;

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
    for host in arguments["hosts"].as_array().expect("hosts") {
        let granted = arguments.get("granted").map(pattern);
        recorder.refused_by_grant(&pattern(host), granted.as_ref())?;
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

#[tokio::test]
async fn a_refused_host_is_told_where_people_look_and_once() {
    for (arguments, line, message, reasons) in [
        (
            json!({"hosts": ["http://prices.example.org:8081"]}),
            "[longhaul: http://prices.example.org:8081 was refused: it is not granted; what would grant it, in \
             longhaul.toml: [grants.NAME] http = [\"http://prices.example.org:8081\"]]",
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
             internet's, which must be granted and asked for as the address that it is",
            vec!["address http://intra.example:80"],
        ),
    ] {
        let world = World::new();
        let runner = Arc::new(Asker(AtomicU64::new(0)));
        let closures =
            Closures::new().tool(definition("ask"), "1", |_, _| async { Ok(ToolResult::default()) });
        let catalog = Arc::new(closures.catalog().expect("a catalog"));
        let open = async || {
            let options = EngineOptions { clock: Arc::new(world.clock.clone()), ..EngineOptions::default() };
            let engine = TaskEngine::open(world.path(), runner.clone(), options).await.expect("an engine");
            engine.set_catalog(catalog.clone());
            engine.start().await.expect("a start");
            engine
        };
        let engine = open().await;
        let id = submit(&engine, "ask", arguments.clone()).await;
        until(&engine, id, |document| document.steps > 0).await;
        engine.shutdown().await;

        let engine = open().await;
        let document = ended(&engine, id).await;
        assert_eq!((document.state.as_str(), &document.error), ("completed", &None));
        assert_eq!(document.message.as_deref(), Some(message));
        let log = engine.log(&Principal::local(), id, 0, 1 << 20).expect("a log").bytes;
        let log = String::from_utf8(log).expect("text");
        assert_eq!(log.matches(line).count(), 1, "{log}");
        assert!(log.starts_with("asks") && log.ends_with("goes on\n"), "{log}");
        let rows = engine.audit(AuditQuery::default()).await.expect("a page").rows;
        let mut told: Vec<_> = rows.iter().filter(|row| row.deed == Deed::Reach).collect();
        told.sort_by_key(|row| row.reason.clone());
        assert_eq!(told.iter().filter_map(|row| row.reason.as_deref()).collect::<Vec<_>>(), reasons);
        for row in told {
            assert_eq!((row.verdict, row.count, row.tool.as_deref()), (Verdict::Refused, 1, Some("ask")));
            assert_eq!(row.task, Some(id.to_string()));
        }
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
    assert!(error.is_trap(), "{error:?}");
    assert_eq!(error.log_lines().collect::<Vec<_>>(), ["try 1 finds no bolts"]);
}
