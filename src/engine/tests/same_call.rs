//! Calls that say the same are one call, however they are written, also to what an earlier version has stored.

use super::*;
use crate::engine::rows::{self, IdempotencyRow};
use crate::store::Space;

const DEDUPE: &str = "deduped";

fn tools() -> Closures {
    let schema = json!({
        "type": "object",
        "properties": {
            "a": {"type": "integer"}, "b": {}, "list": {"items": {"type": "integer"}}, "é": {"type": "number"},
        },
    });
    let keyed = ToolDefinition::new("keyed", "a test", schema.clone());
    let mut deduped = ToolDefinition::new(DEDUPE, "a test", schema.clone());
    deduped.dedupe_seconds = Some(3_600);
    let seen = |steps: Steps, arguments: Value| async move {
        steps.sleep(DAY).await?;
        Ok(ToolResult::text(arguments.to_string()))
    };
    let mut off = ToolDefinition::new("off", "a test", schema.clone());
    off.dedupe_seconds = Some(0);
    Closures::new().tool(keyed, "1", seen).tool(deduped, "1", seen).tool(off, "1", seen)
}

fn call(tool: &str, arguments: &str, key: Option<&str>) -> Submission {
    Submission {
        tool: tool.into(),
        arguments: serde_json::from_str(arguments).expect("JSON"),
        principal: Principal::local(),
        idempotency_key: key.map(str::to_owned),
        trace: None,
    }
}

impl World {
    /// What an earlier version has stored for this call: the arguments and their hash as they came.
    async fn as_stored_before(&self, engine: &TaskEngine, key: [u8; 32], new_key: [u8; 32], text: &str) {
        let read = |key: [u8; 32]| {
            let row = engine
                .shared
                .store
                .read_blocking(|snapshot| rows::read_row(snapshot, Space::Idempotency, &key));
            row.expect("readable")
        };
        let row: IdempotencyRow = read(new_key).expect("a row");
        let row = IdempotencyRow { arguments: *blake3::hash(text.as_bytes()).as_bytes(), ..row };
        let mut commit = commit::Commit::new();
        commit.add_delete(Space::Idempotency, new_key.as_slice());
        commit.add_put(Space::Idempotency, key.as_slice(), rows::encode(&row).expect("bytes"));
        engine.shared.commit(commit).expect("room").await.expect("committed");
    }
}

/// The task that is still open, and no other: one that has ended is called again, also within the time.
#[tokio::test]
async fn a_repeated_call_finds_the_task_that_is_open_and_zero_switches_that_off() {
    let world = World::new();
    let engine = world.start(tools()).await;
    let again = async |tool| engine.submit(call(tool, "{}", None)).await.expect("a task");
    let first = again(DEDUPE).await;
    assert!(!first.existing && again(DEDUPE).await.id == first.id);
    engine.cancel(&Principal::local(), first.id, None).await.expect("cancelled");
    let second = again(DEDUPE).await;
    assert!(!second.existing && second.id != first.id);
    world.clock.advance(Duration::from_secs(3_601));
    assert_ne!(again(DEDUPE).await.id, second.id, "its time is over");
    let (one, other) = (again("off").await, again("off").await);
    assert!(!one.existing && !other.existing && one.id != other.id);
}

/// Clients repeat what they gave up: the first word of that may come after the second call has the task.
#[tokio::test]
async fn a_call_that_is_given_up_leaves_the_task_that_another_call_found() {
    let world = World::new();
    let engine = world.start(tools()).await;
    let by = Principal::local();
    for (tool, calls, state) in
        [("off", 1, "cancelled"), (DEDUPE, 1, "cancelled"), (DEDUPE, 2, "waiting"), (DEDUPE, 3, "waiting")]
    {
        let arguments = format!("{{\"a\": {calls}}}");
        let mut id = None;
        for _ in 0..calls {
            id = Some(engine.submit(call(tool, &arguments, None)).await.expect("a task").id);
        }
        let id = id.expect("a task");
        until(&engine, id, |task| task.state.name() == "waiting").await;
        for _ in 0..calls {
            let task = engine.give_up(&by, id, "the client closed the call").await.expect("a task");
            assert_eq!(task.state.name(), state, "{tool} {calls}");
        }
        // Who says so ends it all the same.
        let task = engine.cancel(&by, id, None).await.expect("a task");
        assert_eq!(task.state.name(), "cancelled", "{tool} {calls}");
    }
}

/// Frameworks send null for what their model left out: that is the same call, and the tool reads what was meant.
#[tokio::test]
async fn a_call_with_nulls_for_what_was_left_out_is_the_call_without_them() {
    let world = World::new();
    let engine = world.start(tools()).await;
    for (tool, key) in [("keyed", Some("k")), (DEDUPE, None)] {
        let first = engine.submit(call(tool, r#"{"b":1}"#, key)).await.expect("a task");
        assert!(!first.existing, "{tool}");
        for same in [r#"{"a":null,"b":1}"#, r#"{"b":1,"é":null}"#, r#"{"é":null,"b":1.0,"a":null}"#] {
            let again = engine.submit(call(tool, same, key)).await.expect(same);
            assert!(again.existing && again.id == first.id, "{tool}: {same}");
            let arguments = again.task.arguments.expect("arguments");
            assert_eq!(arguments, json!({"b": 1}), "{tool}: {same}");
        }
    }
    // One that the schema admits says something.
    let admitted =
        engine.submit(call("keyed", r#"{"b":null,"a":null}"#, Some("admitted"))).await.expect("a task");
    assert_eq!(admitted.task.arguments, Some(json!({"b": null})));
    let other = engine.submit(call("keyed", "{}", Some("admitted"))).await;
    assert!(matches!(other.err(), Some(EngineError::IdempotencyConflict { .. })));
}

#[tokio::test]
async fn a_key_stands_for_arguments_that_say_the_same_and_for_no_others() {
    let world = World::new();
    let engine = world.start(tools()).await;
    let first = engine.submit(call("keyed", r#"{"a":1,"b":{"y":[1,2.5],"x":null},"é":1}"#, Some("k"))).await;
    let first = first.expect("a task").id;
    for same in [
        r#"{"b":{"x":null,"y":[1,2.5]},"é":1,"a":1}"#,
        r#"{"é":1.0,"a":1.0,"b":{"y":[1e0,25e-1],"x":null}}"#,
        r#"{ "\u00e9": 10e-1, "b": {"x": null, "y": [1, 2.50]}, "a": 1e0 }"#,
    ] {
        let again = engine.submit(call("keyed", same, Some("k"))).await.expect(same);
        assert!(again.existing && again.id == first, "{same}");
    }
    for other in [
        r#"{"a":1,"b":{"y":[2.5,1],"x":null},"é":1}"#,
        r#"{"a":1,"b":{"y":[1,2.5]},"é":1}"#,
        r#"{"a":1,"b":{"y":[1,2.5],"x":"null"},"é":1}"#,
        r#"{"a":"1"}"#,
    ] {
        let refused = engine.submit(call("keyed", other, Some("k"))).await.err().expect(other);
        let is_conflict = matches!(refused, EngineError::IdempotencyConflict { task, .. } if task == first);
        assert!(is_conflict || other.contains("\"1\""), "{other}: {refused}");
    }
    let large = |number: u64| format!(r#"{{"a":{number},"b":{number}}}"#);
    engine.submit(call("keyed", &large(9_007_199_254_740_992), Some("large"))).await.expect("a task");
    let next = engine.submit(call("keyed", &large(9_007_199_254_740_993), Some("large"))).await;
    assert!(matches!(next.err(), Some(EngineError::IdempotencyConflict { .. })), "another integer");
    // The tool reads an integer, however it was written.
    let id = engine.submit(call("keyed", r#"{"list":[1.0,2e0],"é":3.0}"#, None)).await.expect("a task").id;
    until(&engine, id, |document| document.state.name() == "waiting").await;
    world.clock.advance(DAY);
    ended(&engine, id).await;
    assert_eq!(
        text(engine.result(&Principal::local(), id).await.expect("an end")),
        r#"{"list":[1,2],"é":3.0}"#
    );
    engine.shutdown().await;
}

#[tokio::test]
async fn what_an_earlier_version_stored_is_found_by_what_it_says() {
    let world = World::new();
    let engine = world.start(tools()).await;
    let sent = r#"{"b":[1.5,2],"a":1}"#;
    let of_key = rows::idempotency_key("key", "local", "keyed", "k");
    let first = engine.submit(call("keyed", sent, Some("k"))).await.expect("a task").id;
    world.as_stored_before(&engine, of_key, of_key, sent).await;
    for same in [sent, r#"{"a":1,"b":[1.5,2]}"#, r#"{"a":1.0,"b":[15e-1,2.0]}"#] {
        let again = engine.submit(call("keyed", same, Some("k"))).await.expect(same);
        assert!(again.existing && again.id == first, "{same}");
    }
    let refused = engine.submit(call("keyed", r#"{"a":2,"b":[1.5,2]}"#, Some("k"))).await.err();
    assert!(matches!(refused, Some(EngineError::IdempotencyConflict { .. })));

    let key = |text: &str| rows::idempotency_key("dedupe", "local", DEDUPE, text);
    let (new, before) = (key(r#"{"a":1,"b":[1.5,2]}"#), key(sent));
    let first = engine.submit(call(DEDUPE, sent, None)).await.expect("a task");
    let same = engine.submit(call(DEDUPE, r#"{"a":1e0,"b":[1.5,2]}"#, None)).await.expect("a task");
    assert!(same.existing && same.id == first.id);
    world.as_stored_before(&engine, before, new, sent).await;
    let again = engine.submit(call(DEDUPE, sent, None)).await.expect("a task");
    assert!(again.existing && again.id == first.id, "as it was written then");
    let other = engine.submit(call(DEDUPE, r#"{"a":1,"b":[1.5,2]}"#, None)).await.expect("a task");
    assert!(!other.existing, "written otherwise it is missed once");
    let again = engine.submit(call(DEDUPE, sent, None)).await.expect("a task");
    assert!(again.existing && again.id == other.id);
    let third = engine.submit(call(DEDUPE, r#"{"a":3,"b":[1.5,2]}"#, None)).await.expect("a task");
    assert!(!third.existing);
    // A sweep finds the rows of both kinds.
    for id in [first.id, other.id, third.id] {
        engine.cancel(&Principal::local(), id, None).await.expect("cancelled");
    }
    world.clock.advance(31 * DAY);
    while engine.task(&Principal::local(), third.id).await.is_ok() {
        engine.sweep().await.expect("swept");
    }
    let left = engine.shared.store.read_blocking(|snapshot| {
        let left = [new, before].map(|key| snapshot.get(Space::Idempotency, &key));
        left.into_iter().collect::<Result<Vec<_>, _>>()
    });
    assert_eq!(left.expect("readable"), [None, None]);
    engine.shutdown().await;
}
