use std::time::Duration;

use serde_json::json;

use super::{House, NEVER_SUSPENDED, completed, failed, value};
use crate::authority::Principal;
use crate::engine::TaskEnd;
use crate::task::{FailedReason, TaskLimits};

in_both_places! {
    a_sleeper_that_leaves_memory_at_each_sleep_ends_as_if_it_had_stayed,
    a_restart_of_the_engine_goes_on_where_the_sleeper_was,
    a_wait_of_years_takes_no_memory_and_can_be_cancelled,
    a_guest_that_heeds_its_cancellation_cleans_up_first,
    a_journal_reads_in_the_words_of_its_calls,
    tickets_are_bounded,
    a_checkpoint_begins_the_guest_anew_with_what_it_saved,
    a_plain_programs_output_is_its_result_and_its_log,
    a_tool_that_its_component_has_not_is_missing,
}

/// Imports of our own, and a core module that gets them as `host`. `extra` goes between.
const IMPORTS: &str = concat!(
    r#"
    (import "longhaul:tool/timers@0.1.0" (instance $timers
        (export "start" (func (param "after-ms" u64) (result u64)))
        (export "sleep" (func (param "ms" u64)))))
    (import "longhaul:tool/progress@0.1.0" (instance $progress
        (export "report" (func (param "done" u64) (param "total" (option u64)) (param "message" (option string))))))
    (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
    (import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
"#,
    libc!(),
    r#"    (core func $sleep (canon lower (func $timers "sleep")))
    (core func $start (canon lower (func $timers "start")))
    (core func $report (canon lower (func $progress "report") (memory $libc "memory") (realloc (func $libc "realloc"))))
    (core func $now (canon lower (func $clock "now")))
    (core func $draw (canon lower (func $random "get-random-u64")))
"#
);

pub(super) fn component(signature: &str, body: &str) -> String {
    format!(
        r#"(component {IMPORTS}
            (core module $m
                (import "host" "sleep" (func $sleep (param i64)))
                (import "host" "start" (func $start (param i64) (result i64)))
                (import "host" "report" (func $report (param i64 i32 i64 i32 i32 i32)))
                (import "host" "now" (func $now (result i64)))
                (import "host" "draw" (func $draw (result i64)))
                {body})
            (core instance $i (instantiate $m (with "host" (instance
                (export "sleep" (func $sleep)) (export "start" (func $start)) (export "report" (func $report))
                (export "now" (func $now)) (export "draw" (func $draw))))))
            (func (export "run") {signature} (canon lift (core func $i "run"))))"#
    )
}

const BINDING: &str = "export:#run";

/// Draws a number and reads the clock, sleeps three times, and returns the number as it was, plus one if the
/// clock then showed that the sleeps were slept.
pub(super) const SLEEPER: &str = r#"
    (func (export "run") (result i64)
        (local $drawn i64) (local $begun i64) (local $left i32)
        (local.set $drawn (i64.and (call $draw) (i64.const 0xfffffffffffe)))
        (local.set $begun (call $now))
        (local.set $left (i32.const 3))
        (loop $again
            (call $sleep (i64.const 30))
            (call $report (i64.extend_i32_u (i32.sub (i32.const 4) (local.get $left))) (i32.const 0) (i64.const 0)
                (i32.const 0) (i32.const 0) (i32.const 0))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $again (local.get $left)))
        (i64.add (local.get $drawn)
            (i64.extend_i32_u (i64.ge_u (i64.sub (call $now) (local.get $begun)) (i64.const 90000000)))))"#;

async fn a_sleeper_that_leaves_memory_at_each_sleep_ends_as_if_it_had_stayed() {
    let house = House::open(Duration::ZERO).await;
    house.install("sleeper", &component("(result u64)", SLEEPER), BINDING, TaskLimits::default()).await;
    let id = house.submit("sleeper", json!({})).await;
    let slept = value(house.end(id).await).as_u64().unwrap();
    assert_eq!(slept % 2, 1, "the clock went on over the waits");
    let document = house.document(id).await;
    assert_eq!(document.attempt, 1, "leaving memory is no new attempt");
    assert_eq!(document.progress.unwrap().done, 3);

    let other = value(house.call("sleeper", json!({})).await).as_u64().unwrap();
    assert_ne!(other, slept, "another task draws other numbers");
}

async fn a_restart_of_the_engine_goes_on_where_the_sleeper_was() {
    let house = House::open(NEVER_SUSPENDED).await;
    let patient = SLEEPER.replace("i64.const 30)", "i64.const 300)");
    house.install("sleeper", &component("(result u64)", &patient), BINDING, TaskLimits::default()).await;
    let id = house.submit("sleeper", json!({})).await;
    house.until(id, |document| document.progress.as_ref().is_some_and(|progress| progress.done >= 1)).await;
    let house = house.restart(NEVER_SUSPENDED).await;
    assert_eq!(value(house.end(id).await).as_u64().unwrap() % 2, 1);
    assert_eq!(house.document(id).await.progress.unwrap().done, 3);
}

async fn a_wait_of_years_takes_no_memory_and_can_be_cancelled() {
    let house = House::open(Duration::from_millis(50)).await;
    let body = r#"(func (export "run") (call $sleep (i64.const 100000000000)))"#;
    house.install("sleeper", &component("", body), BINDING, TaskLimits::default()).await;
    let id = house.submit("sleeper", json!({})).await;
    let waiting = house.until(id, |document| document.state == "waiting").await;
    assert_eq!(waiting.reason, Some("timer".into()));
    house.engine.cancel(&Principal::local(), id, None).await.unwrap();
    assert!(matches!(house.end(id).await, TaskEnd::Cancelled(_)));
}

/// Looks every few milliseconds whether it is to end, and reports 1 when it is not and 2 when it is.
const HEEDFUL: &str = r#"(component
    (import "longhaul:tool/timers@0.1.0" (instance $timers (export "sleep" (func (param "ms" u64)))))
    (import "longhaul:tool/cancellation@0.1.0" (instance $cancellation
        (export "requested" (func (result bool)))))
    (import "longhaul:tool/progress@0.1.0" (instance $progress
        (export "report" (func (param "done" u64) (param "total" (option u64)) (param "message" (option string))))))
    (core module $memory (memory (export "memory") 1))
    (core instance $memory (instantiate $memory))
    (core func $sleep (canon lower (func $timers "sleep")))
    (core func $requested (canon lower (func $cancellation "requested")))
    (core func $report (canon lower (func $progress "report") (memory $memory "memory")))
    (core module $m
        (import "host" "sleep" (func $sleep (param i64)))
        (import "host" "requested" (func $requested (result i32)))
        (import "host" "report" (func $report (param i64 i32 i64 i32 i32 i32)))
        (func $tell (param i64)
            (call $report (local.get 0) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
        (func (export "run")
            (loop $again
                (call $tell (i64.const 1))
                (call $sleep (i64.const 5))
                (br_if $again (i32.eqz (call $requested))))
            (call $tell (i64.const 2))))
    (core instance $i (instantiate $m (with "host" (instance
        (export "sleep" (func $sleep)) (export "requested" (func $requested)) (export "report" (func $report))))))
    (func (export "run") (canon lift (core func $i "run"))))"#;

/// Reports 1, waits for the signal of its cancellation, and reports 2.
const WAITER: &str = r#"(component
    (import "longhaul:tool/types@0.1.0" (instance $types
        (type $e' (variant (case "not-granted" string) (case "invalid" string) (case "limit" string)
            (case "not-found" string) (case "unavailable" string)))
        (export "error" (type (eq $e')))))
    (alias export $types "error" (type $error))
    (import "longhaul:tool/waits@0.1.0" (instance $waits
        (alias outer 1 $error (type $e'))
        (export "error" (type $e (eq $e')))
        (export "wait" (func (param "tickets" (list u64)) (param "timeout-ms" (option u64))
            (result (result (list u64) (error $e)))))))
    (import "longhaul:tool/cancellation@0.1.0" (instance $cancellation (export "signal" (func (result u64)))))
    (import "longhaul:tool/progress@0.1.0" (instance $progress
        (export "report" (func (param "done" u64) (param "total" (option u64)) (param "message" (option string))))))
    (core module $libc
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
    (core instance $libc (instantiate $libc))
    (core func $wait (canon lower (func $waits "wait") (memory $libc "memory") (realloc (func $libc "realloc"))))
    (core func $signal (canon lower (func $cancellation "signal")))
    (core func $report (canon lower (func $progress "report") (memory $libc "memory")))
    (core module $m
        (import "libc" "memory" (memory 1))
        (import "host" "wait" (func $wait (param i32 i32 i32 i64 i32)))
        (import "host" "signal" (func $signal (result i64)))
        (import "host" "report" (func $report (param i64 i32 i64 i32 i32 i32)))
        (func $tell (param i64)
            (call $report (local.get 0) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
        (func (export "run")
            (call $tell (i64.const 1))
            (i64.store (i32.const 64) (call $signal))
            (call $wait (i32.const 64) (i32.const 1) (i32.const 0) (i64.const 0) (i32.const 128))
            (call $tell (i64.const 2))))
    (core instance $i (instantiate $m (with "libc" (instance $libc)) (with "host" (instance
        (export "wait" (func $wait)) (export "signal" (func $signal)) (export "report" (func $report))))))
    (func (export "run") (canon lift (core func $i "run"))))"#;

async fn a_guest_that_heeds_its_cancellation_cleans_up_first() {
    // The last one has left memory when it hears of it: a wait for the signal alone lasts for ever.
    for (name, wat, state) in [("heedful", HEEDFUL, "running"), ("waiter", WAITER, "waiting")] {
        let house = House::open(NEVER_SUSPENDED).await;
        house.install(name, wat, BINDING, TaskLimits::default()).await;
        let id = house.submit(name, json!({})).await;
        house.until(id, |document| document.progress.is_some() && document.state == state).await;
        house.engine.cancel(&Principal::local(), id, None).await.unwrap();
        assert!(matches!(house.end(id).await, TaskEnd::Cancelled(_)));
        assert_eq!(house.document(id).await.progress.unwrap().done, 2, "{name} was told, and had time");
    }
}

async fn a_journal_reads_in_the_words_of_its_calls() {
    let house = House::open(NEVER_SUSPENDED).await;
    house.install("sleeper", &component("(result u64)", SLEEPER), BINDING, TaskLimits::default()).await;
    let id = house.submit("sleeper", json!({})).await;
    let follower = house.engine.feed().follow(id).unwrap();
    let kinds = loop {
        let journal = house.engine.journal(&Principal::local(), id).await.unwrap();
        let kinds: Vec<String> = journal.records.into_iter().map(|record| record.kind).collect();
        if kinds.iter().any(|kind| kind == "timers.sleep") {
            break kinds;
        }
        assert!(!house.document(id).await.is_terminal(), "{kinds:?}");
        follower.next().await;
    };
    assert!(!kinds.iter().any(|kind| kind == "call"), "{kinds:?}");
}

/// Tickets of timers that are not waited for.
async fn tickets_are_bounded() {
    let house = House::open(NEVER_SUSPENDED).await;
    let body = r#"(func (export "run") (loop (drop (call $start (i64.const 1))) (br 0)))"#;
    house.install("hoarder", &component("", body), BINDING, TaskLimits::default()).await;
    let error = failed(house.call("hoarder", json!({})).await);
    assert_eq!(error.reason, FailedReason::Limit, "{error:?}");
    assert!(error.message.contains("1024"), "{error:?}");
}

/// Saves `restored + 1` as its checkpoint until that is 3, then returns it. Before each save it draws a number
/// and reads the clock, which a guest that merely went on would not do again.
const SAVER: &str = concat!(
    r#"(component
    (import "longhaul:tool/types@0.1.0" (instance $types
        (type $e' (variant (case "not-granted" string) (case "invalid" string) (case "limit" string)
            (case "not-found" string) (case "unavailable" string)))
        (export "error" (type (eq $e')))))
    (alias export $types "error" (type $error))
    (import "longhaul:tool/checkpoint@0.1.0" (instance $checkpoint
        (alias outer 1 $error (type $e'))
        (export "error" (type $e (eq $e')))
        (export "save" (func (param "state" (list u8)) (result (result (error $e)))))
        (export "restore" (func (result (option (list u8)))))))
    (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
    (import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
"#,
    libc!(),
    r#"    (core func $save (canon lower (func $checkpoint "save") (memory $libc "memory") (realloc (func $libc "realloc"))))
    (core func $restore (canon lower (func $checkpoint "restore") (memory $libc "memory") (realloc (func $libc "realloc"))))
    (core func $now (canon lower (func $clock "now")))
    (core func $draw (canon lower (func $random "get-random-u64")))
    (core module $m
        (import "libc" "memory" (memory 2))
        (import "host" "save" (func $save (param i32 i32 i32)))
        (import "host" "restore" (func $restore (param i32)))
        (import "host" "now" (func $now (result i64)))
        (import "host" "draw" (func $draw (result i64)))
        (func (export "run") (result i32)
            (local $count i32)
            (drop (call $draw))
            (drop (call $now))
            (call $restore (i32.const 16))
            (if (i32.load8_u (i32.const 16))
                (then (local.set $count (i32.load8_u (i32.load (i32.const 20))))))
            (loop $again
                (if (i32.eq (local.get $count) (i32.const 3)) (then (return (local.get $count))))
                (local.set $count (i32.add (local.get $count) (i32.const 1)))
                (i32.store8 (i32.const 64) (local.get $count))
                (call $save (i32.const 64) (i32.const 1) (i32.const 128))
                (br $again))
            unreachable))
    (core instance $i (instantiate $m (with "libc" (instance $libc)) (with "host" (instance
        (export "save" (func $save)) (export "restore" (func $restore)) (export "now" (func $now))
        (export "draw" (func $draw))))))
    (func (export "run") (result u32) (canon lift (core func $i "run"))))"#
);

async fn a_checkpoint_begins_the_guest_anew_with_what_it_saved() {
    let house = House::open(NEVER_SUSPENDED).await;
    house.install("saver", SAVER, BINDING, TaskLimits::default()).await;
    let id = house.submit("saver", json!({})).await;
    assert_eq!(value(house.end(id).await), json!(3));
    assert_eq!(house.document(id).await.attempt, 1);
}

async fn a_plain_programs_output_is_its_result_and_its_log() {
    let house = House::open(NEVER_SUSPENDED).await;
    let program = |ok: u32, stream: &str| {
        format!(
            r#"(component
    (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
    (alias export $error "error" (type $error-type))
    (import "wasi:io/streams@0.2.0" (instance $streams
        (export "output-stream" (type $stream (sub resource)))
        (alias outer 1 $error-type (type $e'))
        (export "error" (type $e (eq $e')))
        (type $se (variant (case "last-operation-failed" (own $e)) (case "closed")))
        (export "stream-error" (type $stream-error (eq $se)))
        (export "[method]output-stream.blocking-write-and-flush"
            (func (param "self" (borrow $stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
    (alias export $streams "output-stream" (type $output))
    (import "wasi:cli/{stream}@0.2.0" (instance $stdout
        (alias outer 1 $output (type $o'))
        (export "output-stream" (type $o (eq $o')))
        (export "get-{stream}" (func (result (own $o))))))
    (core module $memory (memory (export "memory") 1) (data (i32.const 64) "printed\n"))
    (core instance $memory (instantiate $memory))
    (core func $get (canon lower (func $stdout "get-{stream}")))
    (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
        (memory $memory "memory")))
    (core module $m
        (import "host" "get" (func $get (result i32)))
        (import "host" "write" (func $write (param i32 i32 i32 i32)))
        (func (export "run") (result i32)
            (call $write (call $get) (i32.const 64) (i32.const 8) (i32.const 128))
            i32.const {ok}))
    (core instance $i (instantiate $m
        (with "host" (instance (export "get" (func $get)) (export "write" (func $write))))))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $exported (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $exported)))"#
        )
    };
    house.install("good", &program(0, "stdout"), "command:wasi:cli/run@0.2.0", TaskLimits::default()).await;
    house.install("bad", &program(1, "stdout"), "command:wasi:cli/run@0.2.0", TaskLimits::default()).await;
    house.install("loud", &program(1, "stderr"), "command:wasi:cli/run@0.2.0", TaskLimits::default()).await;
    house.install("noted", &program(0, "stderr"), "command:wasi:cli/run@0.2.0", TaskLimits::default()).await;

    let id = house.submit("good", json!({})).await;
    assert_eq!(completed(house.end(id).await), crate::task::ToolResult::text("printed\n"));
    assert_eq!(house.log(id).await, "printed\n");
    let bad = completed(house.call("bad", json!({})).await);
    assert!(bad.is_error);
    assert_eq!(bad, crate::task::ToolResult::error("printed\n\n[the program ended with status 1]"));
    let loud = "\n[the program ended with status 1]\nthe last lines of its stderr, of which the task's log has all:\n  \
                printed";
    assert_eq!(completed(house.call("loud", json!({})).await), crate::task::ToolResult::error(loud));
    assert_eq!(completed(house.call("noted", json!({})).await), crate::task::ToolResult::text(""));
}

async fn a_tool_that_its_component_has_not_is_missing() {
    let house = House::open(NEVER_SUSPENDED).await;
    house.install("gone", "(component)", "export:a:b/c#gone", TaskLimits::default()).await;
    let error = failed(house.call("gone", json!({})).await);
    assert_eq!(error.reason, FailedReason::MissingComponent, "{error:?}");
    assert!(error.message.contains("gone"), "{error:?}");
}
