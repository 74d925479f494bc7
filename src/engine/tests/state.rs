//! Shared state at the engine's floor: verdicts in the order of commits, versions, bounds, expiry.

use std::collections::BTreeSet;

use super::*;
use crate::authority::StatePattern;
use crate::engine::state::write_set::Writer;
use crate::store::StoreError;

fn none() -> Closures {
    Closures::new()
}

async fn write(engine: &TaskEngine, writes: Vec<StateWrite>) -> Result<Vec<u64>, EngineError> {
    engine.state_write(&Principal::local(), "n", writes).await
}

async fn put(engine: &TaskEngine, key: &str, value: &str) -> u64 {
    write(engine, vec![StateWrite::put(key, value)]).await.expect("written")[0]
}

async fn get(engine: &TaskEngine, key: &str) -> Option<(u64, String)> {
    let entry = engine.state_get(&Principal::local(), "n", key).await.expect("read");
    entry.map(|entry| (entry.version, entry.value))
}

fn refused(answer: Result<Vec<u64>, EngineError>) -> StateError {
    match answer {
        Err(EngineError::State(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn versions_grow_with_every_write_also_over_a_deletion_and_a_restart() {
    let world = World::new();
    let engine = world.start(none()).await;
    assert_eq!(get(&engine, "a").await, None);
    assert_eq!([put(&engine, "a", "1").await, put(&engine, "a", "2").await], [1, 2]);
    assert_eq!(write(&engine, vec![StateWrite::delete("a")]).await.expect("deleted"), [3]);
    assert_eq!(get(&engine, "a").await, None);
    assert_eq!(write(&engine, vec![StateWrite::delete("a")]).await.expect("nothing to do"), [0]);
    engine.shutdown().await;
    let engine = world.start(none()).await;
    assert_eq!(put(&engine, "a", "{\"b\":1}").await, 4);
    assert_eq!(get(&engine, "a").await, Some((4, "{\"b\":1}".to_owned())));
    engine.shutdown().await;
}

#[tokio::test]
async fn a_lost_race_tells_the_present_version_and_writes_nothing_of_all() {
    let world = World::new();
    let engine = world.start(none()).await;
    put(&engine, "a", "1").await;
    let both = |version| vec![StateWrite::put("b", "1"), StateWrite::put("a", "2").if_version(Some(version))];
    let conflict = |version| StateError::Conflict { key: "a".to_owned(), version };
    assert_eq!(refused(write(&engine, both(7)).await), conflict(1));
    assert_eq!(refused(write(&engine, both(0)).await), conflict(1));
    assert_eq!(get(&engine, "b").await, None);
    assert_eq!(write(&engine, both(1)).await.expect("written"), [1, 2]);
    let create = vec![StateWrite::put("c", "1").if_version(Some(0))];
    assert_eq!(write(&engine, create.clone()).await.expect("created"), [1]);
    assert!(matches!(refused(write(&engine, create).await), StateError::Conflict { version: 1, .. }));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn compare_and_set_holds_under_32_writers() {
    const WRITERS: u64 = 32;
    const EACH: u64 = 20;
    let world = World::new();
    let engine = world.start(none()).await;
    let writers = (0..WRITERS).map(|_| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let mut versions = Vec::new();
            while (versions.len() as u64) < EACH {
                let (version, value) = get(&engine, "count").await.unwrap_or((0, "0".to_owned()));
                let next = value.parse::<u64>().expect("a number") + 1;
                let put = StateWrite::put("count", next.to_string()).if_version(Some(version));
                match write(&engine, vec![put]).await {
                    Ok(written) => versions.extend(written),
                    Err(EngineError::State(StateError::Conflict { .. })) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            versions
        })
    });
    let mut versions = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        versions.extend(writer.await.expect("a writer"));
    }
    versions.sort_unstable();
    let all = WRITERS * EACH;
    assert_eq!(versions, (1..=all).collect::<Vec<_>>(), "each version was given once");
    assert_eq!(get(&engine, "count").await, Some((all, all.to_string())));
    engine.shutdown().await;
}

/// What a batch that was refused had promised counts for none behind it.
#[tokio::test]
async fn a_refused_commit_leaves_no_trace_in_later_verdicts() {
    let world = World::new();
    let engine = world.start(none()).await;
    put(&engine, "a", "1").await;
    let (lost, behind) = {
        let mut guard = engine.shared.memory.state.begin_write();
        let mut commit = commit::Commit::under_lease(TaskId::from_bytes([7; 16]), 1);
        let doomed = [StateWrite::put("a", "2")];
        let decided =
            guard.decide(&engine.shared, "n", &doomed, Writer::of("x")).expect("read").expect("taken");
        assert_eq!(guard.write(&mut commit, decided), [2]);
        let lost = engine.shared.commit(commit).expect("queued");
        let mut commit = commit::Commit::new();
        let behind = [StateWrite::put("a", "3").if_version(Some(2))];
        let decided = guard.decide(&engine.shared, "n", &behind, Writer::of("x")).expect("read");
        assert_eq!(guard.write(&mut commit, decided.expect("it counts on the one before")), [3]);
        (lost, engine.shared.commit(commit).expect("queued"))
    };
    assert!(matches!(lost.await, Err(StoreError::Refused(_))));
    assert!(matches!(behind.await, Err(StoreError::Refused(_))));
    assert_eq!(get(&engine, "a").await, Some((1, "1".to_owned())));
    assert_eq!(put(&engine, "a", "4").await, 2);
    engine.shutdown().await;
}

#[tokio::test]
async fn an_expired_entry_reads_as_absent_at_once_and_is_told_as_a_change() {
    let world = World::new();
    let engine = world.start(none()).await;
    let short = vec![StateWrite::put("a", "1").ttl_seconds(Some(10))];
    write(&engine, short).await.expect("written");
    let mut watcher = engine.feed().watch().expect("room");
    watcher.add(ResourceKey::State("n".to_owned(), "a".to_owned()));
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(get(&engine, "a").await, None, "whether or not it is swept by now");
    let create = vec![StateWrite::put("b", "1").if_version(Some(0)).ttl_seconds(Some(10))];
    write(&engine, create.clone()).await.expect("written");
    let seen = tokio::time::timeout(Duration::from_secs(20), watcher.next()).await.expect("told");
    assert_eq!(seen, ResourceKey::State("n".to_owned(), "a".to_owned()));
    assert_eq!(put(&engine, "a", "2").await, 2, "the version goes on");
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(write(&engine, create).await.expect("expired is absent"), [2]);
    engine.shutdown().await;
    // What expires while no engine runs is swept by the next start.
    world.clock.set_wall(START + 100_000_000_000);
    let engine = world.start(none()).await;
    let held = || async {
        let row = crate::engine::state::entries::held(&engine.shared, "n").expect("read");
        (row.entries, row.tombstones)
    };
    let swept = async {
        while held().await != (1, 1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), swept).await.expect("swept");
    engine.shutdown().await;
}

#[tokio::test]
async fn bounds_hold_and_name_themselves() {
    let world = World::new();
    let engine = world.start(none()).await;
    let put_of = |bytes: usize| vec![StateWrite::put("a", format!("\"{}\"", "x".repeat(bytes - 2)))];
    write(&engine, put_of(limits::MAX_STATE_VALUE_BYTES)).await.expect("as large as may be");
    let limited = |error| matches!(error, StateError::Limit(_));
    assert!(limited(refused(write(&engine, put_of(limits::MAX_STATE_VALUE_BYTES + 1)).await)));
    let many = |count: usize| (0..count).map(|key| StateWrite::put(format!("{key}"), "1")).collect();
    write(&engine, many(limits::MAX_STATE_PUT_KEYS)).await.expect("as many as may be");
    assert!(limited(refused(write(&engine, many(limits::MAX_STATE_PUT_KEYS + 1)).await)));
    let invalid = [
        StateWrite::put("", "1"),
        StateWrite::put("k".repeat(limits::MAX_STATE_KEY_BYTES + 1), "1"),
        StateWrite::put("a", "no json"),
        StateWrite::put("a", "1").ttl_seconds(Some(0)),
    ];
    for wrong in invalid {
        assert!(matches!(refused(write(&engine, vec![wrong]).await), StateError::Invalid(_)));
    }
    let twice = vec![StateWrite::put("a", "1"), StateWrite::delete("a")];
    assert!(matches!(refused(write(&engine, twice).await), StateError::Invalid(_)));
    engine.shutdown().await;
}

#[tokio::test]
async fn a_namespace_that_holds_nothing_gives_way_and_no_other_does() {
    let world = World::new();
    let engine = world.start(none()).await;
    let local = Principal::local();
    let put = |name: String| {
        let (engine, local) = (&engine, &local);
        async move { engine.state_write(local, &name, vec![StateWrite::put("a", "1")]).await }
    };
    for number in 0..limits::MAX_STATE_NAMESPACES {
        put(format!("n{number}")).await.expect("room");
    }
    assert!(matches!(refused(put("more".to_owned()).await), StateError::Limit(_)));
    engine.state_write(&local, "n7", vec![StateWrite::delete("a")]).await.expect("deleted");
    put("more".to_owned()).await.expect("room again");
    assert!(matches!(refused(put("n7".to_owned()).await), StateError::Limit(_)));
    assert_eq!(engine.state_namespaces(&local).await.expect("read").len(), limits::MAX_STATE_NAMESPACES);
    engine.shutdown().await;
    let engine = world.start(none()).await;
    let late = engine.state_write(&local, "n7", vec![StateWrite::put("a", "1")]).await;
    assert!(matches!(refused(late), StateError::Limit(_)), "a restart gives no room");
    engine.shutdown().await;
}

/// Of so many deleted entries not each is remembered; their versions go on growing all the same.
#[tokio::test]
async fn a_version_grows_also_where_its_tombstone_was_not_kept() {
    let world = World::new();
    let engine = world.start(none()).await;
    let most = limits::MAX_STATE_TOMBSTONES as usize;
    let keys: Vec<String> = (0..most).map(|number| format!("{number}")).collect();
    for keys in keys.chunks(limits::MAX_STATE_PUT_KEYS) {
        write(&engine, keys.iter().map(|key| StateWrite::put(key, "1")).collect()).await.expect("written");
        write(&engine, keys.iter().map(StateWrite::delete).collect()).await.expect("deleted");
    }
    for _ in 0..4 {
        put(&engine, "late", "1").await;
    }
    assert_eq!(write(&engine, vec![StateWrite::delete("late")]).await.expect("deleted"), [5]);
    let held = crate::engine::state::entries::held(&engine.shared, "n").expect("read");
    assert_eq!((held.entries, held.tombstones, held.floor), (0, most as u64, 5));
    assert_eq!(put(&engine, "late", "1").await, 6);
    assert_eq!(put(&engine, "0", "1").await, 3, "one that was kept");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_list_goes_on_where_it_ended_and_passes_over_what_is_gone() {
    let world = World::new();
    let engine = world.start(none()).await;
    for key in ["a/1", "a/2", "a/3", "a/4", "b"] {
        put(&engine, key, "1").await;
    }
    write(&engine, vec![StateWrite::delete("a/2")]).await.expect("deleted");
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let query = StateQuery { prefix: "a/".to_owned(), limit: 2, cursor };
        let page = engine.state_list(&Principal::local(), "n", &query).await.expect("a page");
        assert!(page.entries.len() <= 2);
        found.extend(page.entries.into_iter().map(|entry| entry.key));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, ["a/1", "a/3", "a/4"]);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_principal_reads_and_writes_what_it_is_granted_and_its_tasks_no_more() {
    let world = World::new();
    let writes =
        Closures::new().tool(definition("writes"), "1", |steps: Steps, arguments: Value| async move {
            let namespace = arguments["namespace"].as_str().unwrap_or_default().to_owned();
            let written = steps.state_write(&namespace, &[StateWrite::put("k", "1")]).await?;
            Ok(ToolResult::text(format!("{written:?}")))
        });
    let engine = world.start(writes).await;
    let state = ["mine", "theirs/open*:read"].map(|text| StatePattern::parse(text).expect("a pattern"));
    let ann = Principal::new("ann", vec!["*".to_owned()]).with_state(state.to_vec());
    engine.state_write(&ann, "mine", vec![StateWrite::put("a", "1")]).await.expect("its own");
    let denied = |error: EngineError| matches!(error, EngineError::State(StateError::NotGranted { .. }));
    assert!(denied(
        engine.state_write(&ann, "theirs", vec![StateWrite::put("open", "1")]).await.unwrap_err()
    ));
    assert!(engine.state_get(&ann, "theirs", "open-1").await.is_ok());
    assert!(denied(engine.state_get(&ann, "theirs", "shut").await.unwrap_err()));
    let query = |prefix: &str| StateQuery { prefix: prefix.to_owned(), ..StateQuery::default() };
    assert!(engine.state_list(&ann, "theirs", &query("open")).await.is_ok());
    assert!(denied(engine.state_list(&ann, "theirs", &query("o")).await.unwrap_err()), "it would show more");
    assert_eq!(engine.state_namespaces(&ann).await.expect("read"), ["mine"]);
    let audit = engine.audit(AuditQuery::default()).await.expect("an audit").rows;
    let seen: BTreeSet<_> = audit.iter().map(|row| (row.action.to_string(), row.reason.clone())).collect();
    let of = |reason: Option<&str>| ("write_state".to_owned(), reason.map(str::to_owned));
    assert_eq!(seen, [of(None), of(Some("not_granted"))].into());
    for (namespace, expected) in [("mine", "Ok([1])"), ("theirs", "Err(NotGranted")] {
        let submission = Submission {
            tool: "writes".to_owned(),
            arguments: json!({ "namespace": namespace }),
            principal: ann.clone(),
            idempotency_key: None,
            trace: None,
        };
        let id = engine.submit(submission).await.expect("a task").id;
        engine.wait(&ann, id, Duration::from_secs(20)).await.expect("an end");
        let seen = text(engine.result(&ann, id).await.expect("an end"));
        assert!(seen.starts_with(expected), "{seen}");
        if namespace == "mine" {
            let entry = engine.state_get(&ann, "mine", "k").await.expect("read").expect("there");
            assert_eq!(entry.by, id.uri(), "who wrote it is told");
        }
    }
    engine.shutdown().await;
}

/// A step's write and its record are one commit: taken up again, the task writes nothing twice and sees what it saw.
#[tokio::test]
async fn a_task_that_is_taken_up_again_writes_nothing_twice_and_reads_what_it_read() {
    let world = World::new();
    let closures = || {
        Closures::new().tool(definition("adds"), "1", |steps: Steps, _| async move {
            let before = steps.state_get("n", "a").await?.map_or(0, |entry| entry.version);
            let written = steps.state_write("n", &[StateWrite::put("a", "1")]).await?;
            let lost = [StateWrite::put("a", "2").if_version(Some(before))];
            let lost = steps.state_write("n", &lost).await?;
            steps.sleep(DAY).await?;
            let after = steps.state_get("n", "a").await?.map_or(0, |entry| entry.version);
            Ok(ToolResult::text(format!("{before} {written:?} {} {after}", lost.is_err())))
        })
    };
    let engine = world.start(closures()).await;
    put(&engine, "a", "0").await;
    let id = submit(&engine, "adds", json!({})).await;
    until(&engine, id, |document| document.state.name() == "waiting").await;
    assert_eq!(put(&engine, "a", "3").await, 3);
    let journal = engine.journal(&Principal::local(), id).await.expect("a journal");
    let seen: Vec<_> = journal.records.iter().filter_map(|record| record.about.clone()).collect();
    assert!(seen.contains(&"put n/a: version 2".to_owned()), "{seen:?}");
    engine.shutdown().await;
    let engine = world.start(closures()).await;
    world.clock.advance(DAY);
    ended(&engine, id).await;
    assert_eq!(text(engine.result(&Principal::local(), id).await.expect("an end")), "1 Ok([2]) true 3");
    assert_eq!(get(&engine, "a").await.map(|(version, _)| version), Some(3));
    engine.shutdown().await;
}

/// What the bounds of a namespace are worth: filled to the brim by real writes, a guest hears by name that it is
/// full, also after a restart, and goes on once something is gone.
async fn a_guest_meets_the_brim(entries: usize, value: String, bound: &str) {
    let world = World::new();
    let closures = || {
        Closures::new().tool(definition("adds"), "1", |steps: Steps, _| async move {
            let written = steps.state_write("n", &[StateWrite::put("one more", "\"xxxxxxxx\"")]).await?;
            Ok(ToolResult::text(written.map_or_else(|error| error.to_string(), |_| "written".to_owned())))
        })
    };
    let seen = async |engine: &TaskEngine| {
        let id = submit(engine, "adds", json!({})).await;
        ended(engine, id).await;
        text(engine.result(&Principal::local(), id).await.expect("an end"))
    };
    let engine = world.start(closures()).await;
    let keys: Vec<String> = (0..entries).map(|number| format!("{number:06}")).collect();
    for keys in keys.chunks(16 * limits::MAX_STATE_PUT_KEYS) {
        let writes = keys.chunks(limits::MAX_STATE_PUT_KEYS).map(|keys| {
            let puts = keys.iter().map(|key| StateWrite::put(key, value.clone())).collect();
            write(&engine, puts)
        });
        futures::future::try_join_all(writes).await.expect("there is room");
    }
    let full = format!("the namespace 'n' would hold more than {bound}: delete some entries");
    assert_eq!(seen(&engine).await, full);
    engine.shutdown().await;
    let engine = world.start(closures()).await;
    assert_eq!(seen(&engine).await, full, "a restart gives no room");
    write(&engine, vec![StateWrite::delete("000007")]).await.expect("deleted");
    assert_eq!(seen(&engine).await, "written");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_holds_so_many_entries_and_no_more() {
    let most = limits::MAX_STATE_ENTRIES;
    a_guest_meets_the_brim(most as usize, "1".to_owned(), &format!("{most} entries")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_holds_so_many_bytes_and_no_more() {
    const KEY_BYTES: usize = 6;
    let most = limits::MAX_STATE_NAMESPACE_HELD_BYTES;
    let value = format!("\"{}\"", "x".repeat(limits::MAX_STATE_VALUE_BYTES - KEY_BYTES - 2));
    let entries = most as usize / limits::MAX_STATE_VALUE_BYTES;
    a_guest_meets_the_brim(entries, value, &format!("{most} bytes")).await;
}
