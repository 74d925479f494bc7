use std::time::{Duration, Instant};

use serde_json::json;

use super::{House, NEVER_SUSPENDED, completed, failed, value};
use crate::authority::Principal;
use crate::engine::TaskEnd;
use crate::limits::{MAX_MEMORIES, MAX_TABLES};
use crate::task::{FailedReason, TaskLimits};

in_both_places! {
    guests_that_spin_on_every_thread_let_others_run,
    a_guest_that_computes_for_too_long_is_stopped_also_while_it_starts,
    endless_recursion_is_a_trap_with_a_backtrace,
    past_its_memory_a_guest_sees_minus_one,
    a_guest_that_needs_more_memory_to_start_than_it_may_have_is_told_the_bound,
    a_result_past_its_bound_is_the_tools_error,
    a_list_of_bytes_may_be_as_large_as_result_kib_says,
    a_component_has_few_tables_and_memories,
    tables_do_not_grow_without_end,
    a_trap_quotes_the_end_of_its_attempts_log,
    a_function_that_exits_is_told_what_it_did,
}

/// A component that exports one function of a core module.
fn component(signature: &str, core: &str) -> String {
    format!(
        r#"(component
            (core module $m {core})
            (core instance $i (instantiate $m))
            (func (export "run") {signature} (canon lift (core func $i "run"))))"#
    )
}

const BINDING: &str = "export:#run";

async fn guests_that_spin_on_every_thread_let_others_run() {
    let house = House::open(NEVER_SUSPENDED).await;
    let spin = component("", r#"(func (export "run") (loop br 0))"#);
    house.install("spin", &spin, BINDING, TaskLimits::default()).await;
    let quick = component("(result u32)", r#"(func (export "run") (result i32) i32.const 7)"#);
    house.install("quick", &quick, BINDING, TaskLimits::default()).await;

    let spinning = [house.submit("spin", json!({})).await, house.submit("spin", json!({})).await];
    for id in spinning {
        house.until(id, |document| document.state == "running").await;
    }
    assert_eq!(value(house.call("quick", json!({})).await), json!(7));
    for id in spinning {
        assert_eq!(house.document(id).await.state, "running");
        house.engine.cancel(&Principal::local(), id, None).await.unwrap();
        assert!(matches!(house.end(id).await, TaskEnd::Cancelled(_)));
    }
}

async fn a_guest_that_computes_for_too_long_is_stopped_also_while_it_starts() {
    let house = House::open(NEVER_SUSPENDED).await;
    let limits = TaskLimits { run_seconds: 1, ..TaskLimits::default() };
    let spin = component("", r#"(func (export "run") (loop br 0))"#);
    house.install("spin", &spin, BINDING, limits.clone()).await;
    let early = component("", r#"(func $spin (loop br 0)) (start $spin) (func (export "run"))"#);
    house.install("early", &early, BINDING, limits).await;
    for tool in ["spin", "early"] {
        let begun = Instant::now();
        let error = failed(house.call(tool, json!({})).await);
        assert_eq!(error.reason, FailedReason::Limit, "{error:?}");
        assert!(error.message.contains("run_seconds"), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}

async fn endless_recursion_is_a_trap_with_a_backtrace() {
    let house = House::open(NEVER_SUSPENDED).await;
    let deep = component("", r#"(func $f (export "run") call $f)"#);
    house.install("deep", &deep, BINDING, TaskLimits::default()).await;
    let error = failed(house.call("deep", json!({})).await);
    assert_eq!(error.reason, FailedReason::Trap, "{error:?}");
    assert!(error.message.contains("call stack exhausted"), "{error:?}");
    let detail = error.detail.unwrap_or_default();
    assert!(detail.contains("m!f"), "no backtrace: {detail:?}");
}

const GROW: &str = r#"
    (memory 1)
    (func (export "run") (param i32) (result i32) (memory.grow (local.get 0)))"#;

async fn past_its_memory_a_guest_sees_minus_one() {
    let house = House::open(NEVER_SUSPENDED).await;
    let grow = component(r#"(param "pages" u32) (result s32)"#, GROW);
    let limits = TaskLimits { memory_mib: 2, ..TaskLimits::default() };
    house.install("grow", &grow, BINDING, limits).await;
    assert_eq!(value(house.call("grow", json!({"pages": 31})).await), json!(1), "2 MiB are 32 pages");
    assert_eq!(value(house.call("grow", json!({"pages": 32})).await), json!(-1));
}

async fn a_guest_that_needs_more_memory_to_start_than_it_may_have_is_told_the_bound() {
    let house = House::open(NEVER_SUSPENDED).await;
    let big = component("", r#"(memory 1600) (func (export "run"))"#);
    let limits = TaskLimits { memory_mib: 64, ..TaskLimits::default() };
    house.install("big", &big, BINDING, limits).await;
    let error = failed(house.call("big", json!({})).await);
    assert_eq!(error.reason, FailedReason::Limit, "{error:?}");
    assert!(error.message.contains("memory_mib"), "{error:?}");
}

async fn a_result_past_its_bound_is_the_tools_error() {
    let house = House::open(NEVER_SUSPENDED).await;
    // Returns 100,000 bytes of text from a memory of zeros, which are valid characters.
    let long = r#"(component
        (core module $m
            (memory (export "memory") 4)
            (func (export "run") (result i32)
                (i32.store (i32.const 0) (i32.const 1024))
                (i32.store (i32.const 4) (i32.const 100000))
                i32.const 0))
        (core instance $i (instantiate $m))
        (func (export "run") (result string)
            (canon lift (core func $i "run") (memory $i "memory"))))"#;
    let limits = TaskLimits { result_kib: 16, ..TaskLimits::default() };
    house.install("long", long, BINDING, limits).await;
    let result = completed(house.call("long", json!({})).await);
    assert!(result.is_error);
    assert!(result.size_bytes() < 1024);
}

/// The host's own bound on what it lifts, tens of bytes for each one of a list, used to strike first.
async fn a_list_of_bytes_may_be_as_large_as_result_kib_says() {
    let house = House::open(NEVER_SUSPENDED).await;
    let bytes = |count: u32| {
        format!(
            r#"(component
                (core module $m
                    (memory (export "memory") 64)
                    (func (export "run") (result i32)
                        (i32.store (i32.const 0) (i32.const 1024))
                        (i32.store (i32.const 4) (i32.const {count}))
                        i32.const 0))
                (core instance $i (instantiate $m))
                (func (export "run") (result (list u8))
                    (canon lift (core func $i "run") (memory $i "memory"))))"#
        )
    };
    for (name, count, result_kib, fits) in [
        ("fits", 300_000, 1024, true),
        ("too_long", 800_000, 1024, false),
        ("fits_by_the_operators_word", 3_000_000, 16_384, true),
    ] {
        let limits = TaskLimits { result_kib, ..TaskLimits::default() };
        house.install(name, &bytes(count), BINDING, limits).await;
        let result = completed(house.call(name, json!({})).await);
        assert_eq!(!result.is_error, fits, "{name}: {} bytes", result.size_bytes());
    }
}

async fn a_component_has_few_tables_and_memories() {
    let house = House::open(NEVER_SUSPENDED).await;
    for (part, bound, most, names) in [
        ("(table 1 funcref)", "MAX_TABLES", MAX_TABLES, ["tables", "more_tables"]),
        ("(memory 1)", "MAX_MEMORIES", MAX_MEMORIES, ["memories", "more_memories"]),
    ] {
        let many = |count: usize| {
            let instances: String =
                (0..count).map(|number| format!("(core instance $i{number} (instantiate $m))")).collect();
            format!(
                r#"(component
                    (core module $m {part} (func (export "run") (result i32) i32.const 7))
                    {instances}
                    (func (export "run") (result u32) (canon lift (core func $i0 "run"))))"#
            )
        };
        house.install(names[0], &many(most), BINDING, TaskLimits::default()).await;
        assert_eq!(value(house.call(names[0], json!({})).await), json!(7));
        house.install(names[1], &many(most + 1), BINDING, TaskLimits::default()).await;
        let error = failed(house.call(names[1], json!({})).await);
        assert_eq!(error.reason, FailedReason::Limit, "{error:?}");
        assert!(error.message.contains(bound), "{error:?}");
    }
}

async fn tables_do_not_grow_without_end() {
    let house = House::open(NEVER_SUSPENDED).await;
    let grow = component(
        r#"(param "by" u32) (result s32)"#,
        r#"(table 1 funcref)
           (func (export "run") (param i32) (result i32) (table.grow (ref.null func) (local.get 0)))"#,
    );
    house.install("grow", &grow, BINDING, TaskLimits::default()).await;
    assert_eq!(value(house.call("grow", json!({"by": 1000})).await), json!(1));
    assert_eq!(value(house.call("grow", json!({"by": 100_000})).await), json!(-1));
}

/// A guest that prints what it is given on stderr, then traps.
const PANICKING: &str = concat!(
    r#"(component
    (import "wasi:io/error@0.2.6" (instance $error (export "error" (type (sub resource)))))
    (alias export $error "error" (type $error-type))
    (import "wasi:io/streams@0.2.6" (instance $streams
        (export "output-stream" (type $out (sub resource)))
        (alias outer 1 $error-type (type $error'))
        (export "error" (type $error (eq $error')))
        (type $stream-error' (variant (case "last-operation-failed" (own $error)) (case "closed")))
        (export "stream-error" (type $stream-error (eq $stream-error')))
        (export "[method]output-stream.blocking-write-and-flush" (func
            (param "self" (borrow $out)) (param "contents" (list u8))
            (result (result (error $stream-error)))))))
    (alias export $streams "output-stream" (type $out))
    (import "wasi:cli/stderr@0.2.6" (instance $stderr
        (alias outer 1 $out (type $out'))
        (export "output-stream" (type $out (eq $out')))
        (export "get-stderr" (func (result (own $out))))))
"#,
    libc!(),
    r#"    (alias export $stderr "get-stderr" (func $get))
    (alias export $streams "[method]output-stream.blocking-write-and-flush" (func $write))
    (core func $get (canon lower (func $get)))
    (core func $write (canon lower (func $write) (memory $libc "memory")))
    (core module $m
        (import "host" "get" (func $get (result i32)))
        (import "host" "write" (func $write (param i32 i32 i32 i32)))
        (func $ship (export "ship") (param i32 i32) (result i32)
            (call $write (call $get) (local.get 0) (local.get 1) (i32.const 16))
            unreachable))
    (core instance $i (instantiate $m (with "host" (instance
        (export "get" (func $get)) (export "write" (func $write))))))
    (func (export "ship") (param "words" string) (result string)
        (canon lift (core func $i "ship") (memory $libc "memory") (realloc (func $libc "realloc")))))"#
);

async fn a_trap_quotes_the_end_of_its_attempts_log() {
    let mut house = House::open(NEVER_SUSPENDED).await;
    house.install("ship", PANICKING, "export:#ship", TaskLimits::default()).await;
    for (words, quoted) in [
        ("panicked at src/lib.rs:3:\nno bolts is left in the stock\n", "no bolts is left in the stock"),
        ("ValueError: в наличии нет болтов", "ValueError: в наличии нет болтов"),
        ("Error: \u{1b}[31mout\u{1b}[0m\r\n\n", "Error: \\u{1b}[31mout\\u{1b}[0m"),
        ("first\n\n\nlast", "first"),
    ] {
        let id = house.submit("ship", json!({ "words": words })).await;
        let error = failed(house.end(id).await);
        assert_eq!(error.reason, FailedReason::Trap);
        let shown = house.document(id).await.error.unwrap();
        let lines: Vec<&str> = shown.log_lines().collect();
        assert!(lines.contains(&quoted), "{quoted:?} in {lines:?}");
        assert!(lines.iter().all(|line| words.contains(line) || line.contains("\\u")), "{lines:?}");
        let detail = shown.detail.clone().unwrap();
        assert!(detail.contains("m!ship"), "the backtrace stands behind it: {detail}");
        house = house.restart(NEVER_SUSPENDED).await;
        assert_eq!(house.document(id).await.error.unwrap(), shown, "the same after a restart");
    }
}

async fn a_function_that_exits_is_told_what_it_did() {
    const EXITING: &str = r#"(component
        (import "wasi:cli/exit@0.2.6" (instance $exit (export "exit" (func (param "status" (result))))))
        (alias export $exit "exit" (func $exit-func))
        (core func $exit (canon lower (func $exit-func)))
        (core module $m
            (import "host" "exit" (func $exit (param i32)))
            (func (export "leave") (param i32) (result i32) (call $exit (local.get 0)) unreachable))
        (core instance $i (instantiate $m (with "host" (instance (export "exit" (func $exit))))))
        (func $leave (param "status" u8) (result u32) (canon lift (core func $i "leave")))
        (func $leave' (param "status" u8) (result u32) (canon lift (core func $i "leave")))
        (instance $shop (export "close-up" (func $leave')))
        (export "a:b/shop@1.0.0" (instance $shop))
        (export "leave" (func $leave)))"#;
    let house = House::open(NEVER_SUSPENDED).await;
    house.install("leave", EXITING, "export:#leave", TaskLimits::default()).await;
    house.install("close_up", EXITING, "export:a:b/shop@1.0.0#close-up", TaskLimits::default()).await;
    for (tool, status, message) in [
        ("leave", 0, "leave ended its program with exit(0) instead of returning"),
        ("leave", 1, "leave ended its program with exit and a status other than 0, instead of returning"),
        ("close_up", 0, "close-up ended its program with exit(0) instead of returning"),
    ] {
        let error = failed(house.call(tool, json!({ "status": status })).await);
        assert_eq!(error.reason, FailedReason::Trap);
        assert!(error.message.starts_with(message), "{}", error.message);
    }
}
