//! What operations brought back counts as the journal does.

use super::*;

const OUTCOME_BYTES: usize = 100 * 1024;

/// Begins one operation after the other, each with an outcome; in its first attempt it stops after so many.
struct Collector {
    first: AtomicU64,
    stops_after: u64,
}

impl Collector {
    async fn collect(stops_after: Option<u64>, attempt: Attempt) -> Result<(), RecorderError> {
        let recorder = attempt.recorder;
        for number in 0.. {
            if stops_after == Some(number) {
                recorder.barrier().await?;
                std::future::pending::<()>().await;
            }
            let op = recorder.begin_op()?;
            if recorder.op(op)?.is_none() {
                recorder.op_intent(op, number, 1)?;
                recorder.barrier().await?;
                recorder.op_done(op, number, vec![number as u8; OUTCOME_BYTES])?;
            }
        }
        Ok(())
    }
}

impl Runner for Collector {
    fn inspect(&self, _component: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>> {
        Box::pin(std::future::ready(Err(InspectError::Unsupported("closures".to_owned()))))
    }

    fn run(&self, attempt: Attempt) -> BoxFuture<Outcome> {
        let stops = (self.first.fetch_add(1, Ordering::SeqCst) == 0).then_some(self.stops_after);
        Box::pin(async move {
            match Self::collect(stops, attempt).await {
                Err(RecorderError::Limit { bound, message }) => Outcome::Limit { bound, message },
                other => Outcome::HostFault { message: format!("{other:?}") },
            }
        })
    }
}

#[tokio::test]
async fn outcomes_count_for_the_journal_also_those_of_an_earlier_attempt() {
    let world = World::new();
    let limits = TaskLimits { journal_mib: 1, ..TaskLimits::default() };
    let closures =
        Closures::new().tool_with(definition("collect"), "1", limits, RetryPolicy::default(), |_, _| async {
            Ok(ToolResult::default())
        });
    let catalog = Arc::new(closures.catalog().expect("a catalog"));
    let runner = Arc::new(Collector { first: AtomicU64::new(0), stops_after: 6 });
    let open = async || {
        let engine = TaskEngine::open(world.path(), runner.clone(), EngineOptions::default()).await;
        let engine = engine.expect("an engine");
        engine.set_catalog(catalog.clone());
        engine.start().await.expect("a start");
        engine
    };
    let engine = open().await;
    let id = submit(&engine, "collect", json!({})).await;
    let outcomes = |engine: &TaskEngine| {
        let done = engine
            .shared
            .store
            .read_blocking(|snapshot| journal::ops::read_rows(snapshot, id, 0))
            .expect("rows");
        done.iter().filter(|(_, row)| matches!(row.state, journal::ops::OpState::Done(_))).count()
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while outcomes(&engine) < 6 {
        assert!(std::time::Instant::now() < deadline, "{}", outcomes(&engine));
        tokio::task::yield_now().await;
    }
    engine.shutdown().await;

    let engine = open().await;
    let document = ended(&engine, id).await;
    let error = document.error.expect("an error");
    assert_eq!((document.state.name(), error.reason.as_str()), ("failed", "limit"));
    assert!(error.message.contains("journal_mib = 1"), "{}", error.message);
    assert_eq!(outcomes(&engine), 11, "of 100 KiB each are more than 1 MiB, the last one kept");
    engine.shutdown().await;
}
