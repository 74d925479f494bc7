//! How tasks end: cancelled, out of time, failed and tried again, and in the end swept away.

use super::*;

/// Suspends its guest in the moment in which that is asked to end.
struct Drowsy;

impl Runner for Drowsy {
    fn inspect(&self, _component: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>> {
        Box::pin(std::future::ready(Err(InspectError::Unsupported("a test".to_owned()))))
    }

    fn run(&self, attempt: Attempt) -> BoxFuture<Outcome> {
        attempt.recorder.handles_cancellation();
        Box::pin(async move {
            attempt.recorder.cancelled().await;
            let until = Some(u64::try_from(DAY.as_nanos()).expect("a day"));
            Outcome::Suspended(Suspension { reason: WaitingReason::Timer, until, on: Vec::new() })
        })
    }
}

/// A guest with an import for cancellation went to sleep for a day just after it was asked to end, and slept on.
#[tokio::test]
async fn a_guest_that_suspends_while_it_is_to_end_ends() {
    let world = World::new();
    let options = EngineOptions { clock: Arc::new(world.clock.clone()), ..EngineOptions::default() };
    let engine = TaskEngine::open(world.path(), Arc::new(Drowsy), options).await.expect("an engine");
    let closures = Closures::new().tool(definition("drowsy"), "1", |_, _| async { Ok(ToolResult::text("")) });
    engine.set_catalog(Arc::new(closures.catalog().expect("a catalog")));
    engine.start().await.expect("a start");
    let id = submit(&engine, "drowsy", json!({})).await;
    until(&engine, id, |document| document.state == State::Running && !document.is_replaying).await;
    engine.cancel(&Principal::local(), id, None).await.expect("asked");
    assert_eq!(ended(&engine, id).await.state.name(), "cancelled");
}

#[tokio::test]
async fn cancellation_reaches_a_sleeper_and_a_guest_that_waits() {
    let world = World::new();
    let closures = two_steps(&Arc::default()).tool(definition("stuck"), "1", |_steps, _| async {
        std::future::pending::<()>().await;
        Ok(ToolResult::default())
    });
    let engine = world.start(closures).await;
    let local = Principal::local();
    let asleep = submit(&engine, "two_steps", json!({})).await;
    until(&engine, asleep, |document| document.state.name() == "waiting").await;
    let stuck = submit(&engine, "stuck", json!({})).await;
    until(&engine, stuck, |document| document.state.name() == "running").await;
    for id in [asleep, stuck] {
        let document = engine.cancel(&local, id, Some("enough".into())).await.expect("cancelled");
        assert_eq!(document.state.name(), "cancelled");
        assert_eq!(document.cancel.and_then(|cancel| cancel.reason).as_deref(), Some("enough"));
        assert_eq!(engine.cancel(&local, id, None).await.expect("still cancelled").state.name(), "cancelled");
    }
    nothing_lives(&engine).await;
    assert_eq!(engine.metrics().open, 0);
}

#[tokio::test]
async fn the_total_time_ends_sleepers_and_guests_that_wait() {
    let world = World::new();
    let limits = TaskLimits { total_seconds: 60, ..TaskLimits::default() };
    let closures = Closures::new()
        .tool_with(
            definition("sleeper"),
            "1",
            limits.clone(),
            RetryPolicy::default(),
            |steps, _| async move {
                steps.sleep(DAY).await?;
                Ok(ToolResult::default())
            },
        )
        .tool_with(definition("stuck"), "1", limits, RetryPolicy::default(), |_, _| async {
            std::future::pending::<()>().await;
            Ok(ToolResult::default())
        });
    let engine = world.start(closures).await;
    let ids = [submit(&engine, "sleeper", json!({})).await, submit(&engine, "stuck", json!({})).await];
    until(&engine, ids[0], |document| document.state.name() == "waiting").await;
    until(&engine, ids[1], |document| document.state.name() == "running").await;
    world.clock.advance(Duration::from_secs(61));
    for id in ids {
        let document = ended(&engine, id).await;
        assert_eq!((document.state.name(), document.state.reason()), ("failed", Some("timeout")));
        let error = document.error.expect("an error");
        assert!(error.message.contains("60 s"), "{}", error.message);
    }
}

#[tokio::test]
async fn a_failed_try_begins_anew_with_backoff_and_then_the_owner_can_retry() {
    let world = World::new();
    let tries = Arc::new(AtomicU64::new(0));
    let closures = {
        let tries = tries.clone();
        let retry = RetryPolicy { attempts: 2, backoff: Duration::from_secs(10) };
        Closures::new().tool_with(definition("flaky"), "1", TaskLimits::default(), retry, move |steps, _| {
            let tries = tries.clone();
            async move {
                steps.log("a try")?;
                let number: u64 =
                    steps.step("count", || async { Ok(tries.fetch_add(1, Ordering::SeqCst)) }).await?;
                assert!(number >= 2, "try {number} fails");
                Ok(ToolResult::text(format!("{number}")))
            }
        })
    };
    let engine = world.start(closures).await;
    let id = submit(&engine, "flaky", json!({})).await;
    let queued = until(&engine, id, |document| document.state.reason() == Some("retry")).await;
    assert_eq!((queued.attempt, queued.steps, queued.wake_at.is_some()), (2, 0, true));
    world.clock.advance(Duration::from_secs(10));
    let failed = ended(&engine, id).await;
    assert_eq!(failed.state.reason(), Some("trap"));
    assert!(failed.error.expect("an error").message.contains("try 1 fails"));
    let local = Principal::local();
    assert_eq!(engine.journal(&local, id).await.expect("kept").records.len(), 1);

    let retried = engine.retry(&local, id, None).await.expect("a retry");
    assert_eq!((retried.attempt, retried.error), (3, None));
    assert_eq!(ended(&engine, id).await.state.name(), "completed");
    assert_eq!(text(engine.result(&local, id).await.expect("an end")), "2");
    assert_eq!(engine.log(&local, id, 0, 100).await.expect("a log").bytes, b"a try\n");
    let error = engine.retry(&local, id, None).await.expect_err("it is completed");
    assert!(matches!(error, EngineError::WrongState { .. }), "{error}");
}

#[tokio::test]
async fn a_retry_can_keep_the_good_part_of_the_journal() {
    let world = World::new();
    let done = Arc::new(AtomicU64::new(0));
    let broken = Arc::new(AtomicU64::new(1));
    let closures = {
        let (done, broken) = (done.clone(), broken.clone());
        Closures::new().tool(definition("parts"), "1", move |steps: Steps, _| {
            let (done, broken) = (done.clone(), broken.clone());
            async move {
                let mut sum = 0;
                for part in 0..3u64 {
                    let name = format!("part-{part}");
                    sum += steps
                        .step::<u64, _, _>(&name, || async { Ok(done.fetch_add(1, Ordering::SeqCst)) })
                        .await?;
                    steps
                        .output(OutputOp::Write {
                            name: &name,
                            mime_type: "text/plain",
                            data: name.as_bytes(),
                        })
                        .await?;
                    steps.log(&name)?;
                }
                assert!(broken.load(Ordering::SeqCst) == 0, "broken");
                Ok(ToolResult::text(format!("{sum}")))
            }
        })
    };
    let engine = world.start(closures).await;
    let local = Principal::local();
    let id = submit(&engine, "parts", json!({})).await;
    assert_eq!(ended(&engine, id).await.state.reason(), Some("trap"));
    let error = engine.retry(&local, id, Some(99)).await.expect_err("no such step");
    assert!(error.to_string().contains("steps 0 to 6"), "{error}");
    broken.store(0, Ordering::SeqCst);
    // Records: step, output, step, output, step, output. Keep the first three.
    let retried = engine.retry(&local, id, Some(3)).await.expect("a retry");
    assert_eq!(retried.outputs.len(), 1, "the second part's output comes again");
    assert_eq!(ended(&engine, id).await.state.name(), "completed");
    assert_eq!(done.load(Ordering::SeqCst), 4, "the third step alone was done again");
    assert_eq!(text(engine.result(&local, id).await.expect("an end")), "4", "0 + 1 + 3");
    for name in ["part-0", "part-1", "part-2"] {
        let slice = engine.output(&local, id, name, 0, 100).await.expect("an output");
        assert_eq!((slice.bytes.as_slice(), slice.done), (name.as_bytes(), true));
    }
    assert_eq!(engine.log(&local, id, 0, 100).await.expect("a log").bytes, b"part-0\npart-1\npart-2\n");
}

/// Ended tasks go after the retention, with their blobs unless another task has the same; open ones stay.
#[tokio::test]
async fn what_was_kept_long_enough_is_swept() {
    let world = World::new();
    let large = |_steps: Steps, arguments: Value| async move {
        Ok(ToolResult::text(arguments["text"].as_str().unwrap_or_default().to_owned()))
    };
    let closures = two_steps(&Arc::default()).tool(definition("large"), "1", large);
    let engine = world.start(closures).await;
    let local = Principal::local();
    let text = "x".repeat(limits::MAX_INLINE_PAYLOAD_BYTES + 1);
    let call = |key: &str| Submission {
        tool: "large".into(),
        arguments: json!({"text": text}),
        principal: Principal::local(),
        idempotency_key: Some(key.into()),
        trace: None,
    };
    let old = engine.submit(call("old")).await.expect("a task").id;
    let open = submit(&engine, "two_steps", json!({})).await;
    ended(&engine, old).await;
    let kept = Duration::from_secs(limits::DEFAULT_RETENTION_SECONDS);
    let waiting = until(&engine, open, |document| document.state.name() == "waiting").await;
    assert_eq!(engine.kept_for(&waiting), Some(kept));
    world.clock.advance(DAY);
    assert_eq!(engine.kept_for(&waiting), Some(kept + DAY), "as long as it is open, its time to go moves on");
    let ended_late = ended(&engine, open).await;
    assert_eq!(ended_late.state.name(), "completed");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(engine.kept_for(&ended_late), Some(kept + DAY), "once it has ended, it is fixed");
    world.clock.advance(kept / 2);
    let late = engine.submit(call("late")).await.expect("a task").id;
    ended(&engine, late).await;
    world.clock.advance(kept / 2 - DAY / 2);
    engine.sweep().await.expect("a sweep");
    assert!(matches!(engine.task(&local, old).await, Err(EngineError::NoSuchTask(_))));
    let left = engine.tasks(&local, &TaskQuery::default()).await.expect("a page").tasks;
    assert_eq!(left.len(), 2, "{left:?}");
    // The blobs are the younger task's too.
    let TaskEnd::Completed(result) = engine.result(&local, late).await.expect("an end") else {
        panic!("completed")
    };
    assert_eq!(result, ToolResult::text(text.clone()));
    let again = engine.submit(call("old")).await.expect("the key is free");
    assert!(!again.existing);
    ended(&engine, again.id).await;
    world.clock.advance(kept * 2);
    engine.sweep().await.expect("a sweep");
    assert!(engine.tasks(&local, &TaskQuery::default()).await.expect("a page").tasks.is_empty());
    assert_eq!(rows_left(&engine), [], "nothing is left of them");
}

/// Does what its argument says, and completes.
struct Recording;

impl Recording {
    async fn play(attempt: Attempt) -> Result<Outcome, RecorderError> {
        let recorder = &attempt.recorder;
        let does: Value = serde_json::from_str(&attempt.task.arguments).expect("arguments");
        let does = does["does"].as_str().expect("a text");
        if recorder.is_replaying() {
            return Ok(Outcome::Completed(ToolResult::text("")));
        }
        recorder.record(1, 7, b"a record")?;
        if does.starts_with("op") {
            let op = recorder.begin_op()?;
            recorder.op_intent(op, 7, 1)?;
            recorder.op_done(op, 7, b"an outcome".to_vec())?;
        }
        if does == "checkpoint" {
            recorder.checkpoint(b"a state".to_vec()).await?;
        }
        recorder.barrier().await?;
        Ok(match does {
            "op and a wait" => {
                let until = Some(u64::try_from(DAY.as_nanos()).expect("a day"));
                Outcome::Suspended(Suspension { reason: WaitingReason::Timer, until, on: Vec::new() })
            }
            "op and a fault" => Outcome::HostFault { message: "once".to_owned() },
            _ => Outcome::Completed(ToolResult::text("")),
        })
    }
}

impl Runner for Recording {
    fn inspect(&self, _component: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>> {
        Box::pin(std::future::ready(Err(InspectError::Unsupported("a test".to_owned()))))
    }

    fn run(&self, attempt: Attempt) -> BoxFuture<Outcome> {
        Box::pin(async move {
            let played = Self::play(attempt).await;
            played.unwrap_or_else(|error| Outcome::Trap { message: error.to_string(), backtrace: None })
        })
    }
}

/// Whatever it recorded, and in which attempt, epoch or instance.
#[tokio::test]
async fn a_completed_task_leaves_nothing_of_what_it_would_go_on_from() {
    let world = World::new();
    let options = EngineOptions { clock: Arc::new(world.clock.clone()), ..EngineOptions::default() };
    let engine = TaskEngine::open(world.path(), Arc::new(Recording), options).await.expect("an engine");
    let tool = definition("recording");
    let closures = Closures::new().tool(tool, "1", |_, _| async { Ok(ToolResult::default()) });
    engine.set_catalog(Arc::new(closures.catalog().expect("a catalog")));
    engine.start().await.expect("a start");
    for does in ["record", "op", "checkpoint", "op and a wait", "op and a fault"] {
        let id = submit(&engine, "recording", json!({"does": does})).await;
        if does.contains("and") {
            until(&engine, id, |document| document.wake_at.is_some()).await;
            let kept = rows_left(&engine).into_iter().filter(|(space, _)| *space == Space::Op).count();
            assert_eq!(kept, 1, "{does}");
            world.clock.advance(2 * DAY);
        }
        let document = ended(&engine, id).await;
        assert_eq!(document.state, State::Completed, "{does}: {:?}", document.error);
        let mut left = rows_left(&engine);
        left.retain(|(space, _)| matches!(space, Space::Journal | Space::Op | Space::Checkpoint));
        assert_eq!(left, Vec::new(), "{does}");
    }
    engine.shutdown().await;
}
