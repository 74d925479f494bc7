//! Components whose asynchronous parts are put aside: what is left runs as ever.

use serde_json::json;

use super::durable::{SLEEPER, component};
use super::{House, NEVER_SUSPENDED, failed, value};
use crate::task::{FailedReason, TaskLimits};

const BUILTINS: &str = "(core func (canon task.cancel)) (core func (canon context.get i32 0))";

/// Other functions than `run`, one of each kind.
const KINDS: [(&str, &str); 4] = [
    (
        "async",
        r#"(type $f (func async)) (func (export "other") (type $f) (canon lift (core func $i "none")))"#,
    ),
    (
        "stream",
        r#"(type $s (stream u8)) (func (export "other") (result $s) (canon lift (core func $i "get")))"#,
    ),
    (
        "future",
        r#"(type $s (future u8)) (func (export "other") (param "x" $s) (canon lift (core func $i "put")))"#,
    ),
    ("error-context", r#"(func (export "other") (result error-context) (canon lift (core func $i "get")))"#),
];

#[tokio::test]
async fn a_function_among_asynchronous_ones_goes_on_after_a_restart() {
    let body = SLEEPER.replace("i64.const 30)", "i64.const 300)");
    let body = format!(
        r#"{body} (func (export "none")) (func (export "get") (result i32) i32.const 1)
            (func (export "put") (param i32))"#
    );
    let plain = component("(result u64)", &body);
    let mut house = House::open(NEVER_SUSPENDED).await;
    let mut tasks = Vec::new();
    for (kind, other) in KINDS {
        // Before all else and behind it, so that every index is another.
        let (begin, end) = plain.rsplit_once(')').unwrap();
        let mixed =
            format!("{begin} {other}){end}").replacen("(component", &format!("(component {BUILTINS}"), 1);
        house.install(kind, &mixed, "export:#run", TaskLimits::default()).await;
        tasks.push(house.submit(kind, json!({})).await);
    }
    for id in &tasks {
        house.until(*id, |task| task.progress.as_ref().is_some_and(|progress| progress.done >= 1)).await;
    }
    house = house.restart(NEVER_SUSPENDED).await;
    for id in tasks {
        let slept = value(house.end(id).await).as_u64().unwrap();
        assert_eq!(slept % 2, 1, "it drew before the restart, and slept as long as it should");
        assert_eq!(house.document(id).await.progress.unwrap().done, 3);
    }
}

/// `run` calls one built-in, `plain` none.
fn calls(builtin: &str, ty: &str, arguments: &str) -> String {
    format!(
        r#"(component
            (core module $libc (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $memory))
            (type $s (stream u8)) (type $f (future))
            (core func $before (canon task.cancel))
            (core func $builtin {builtin})
            (core func $behind (canon subtask.drop))
            (core module $m
                (import "host" "builtin" (func $builtin {ty}))
                (import "host" "before" (func $before))
                (import "host" "behind" (func $behind (param i32)))
                (func (export "run") (result i32) {arguments} call $builtin unreachable)
                (func (export "plain") (result i32) i32.const 7))
            (core instance $i (instantiate $m (with "host" (instance
                (export "builtin" (func $builtin)) (export "before" (func $before)) (export "behind" (func $behind))))))
            (func (export "run") (result u32) (canon lift (core func $i "run")))
            (func (export "plain") (result u32) (canon lift (core func $i "plain"))))"#
    )
}

#[tokio::test]
async fn a_tool_that_calls_an_asynchronous_builtin_fails_and_is_told_which() {
    let house = House::open(NEVER_SUSPENDED).await;
    for (kind, builtin, ty, arguments) in [
        ("context", "(canon context.get i32 0)", "(result i32)", ""),
        ("subtask", "(canon subtask.drop)", "(param i32)", "i32.const 1"),
        ("waitable-set", "(canon waitable-set.new)", "(result i32)", ""),
        ("stream", "(canon stream.new $s)", "(result i64)", ""),
        ("future", "(canon future.new $f)", "(result i64)", ""),
        ("yield", "(canon thread.yield)", "(result i32)", ""),
        (
            "error-context",
            "(canon error-context.debug-message (memory $memory) (realloc (func $libc \"realloc\")))",
            "(param i32 i32)",
            "i32.const 1 i32.const 0",
        ),
    ] {
        let wat = calls(builtin, ty, arguments);
        house.install(kind, &wat, "export:#run", TaskLimits::default()).await;
        let error = failed(house.call(kind, json!({})).await);
        assert_eq!(error.reason, FailedReason::Trap, "{kind}: {error:?}");
        assert!(error.message.contains(&format!("asynchronous function or built-in ({kind})")), "{error:?}");
        let plain = format!("{kind}-plain");
        house.install(&plain, &wat, "export:#plain", TaskLimits::default()).await;
        assert_eq!(value(house.call(&plain, json!({})).await), json!(7), "{kind}");
    }
}

/// Two components in a third, of which one calls the other's functions, also an async one, and has a core module of the
/// third.
const COMPOSED: &str = r#"(component
    (core module $shared (func (export "six") (result i32) i32.const 6))
    (component $callee
        (core func $cancel (canon task.cancel))
        (core module $own (func (export "one") (result i32) i32.const 1) (func (export "none")))
        (core instance $own (instantiate $own))
        (alias outer 1 $shared (core module $theirs))
        (core instance $theirs (instantiate $theirs))
        (type $f (func async))
        (func (export "later") (type $f) (canon lift (core func $own "none")))
        (func (export "six") (result u32) (canon lift (core func $theirs "six")))
        (func (export "one") (result u32) (canon lift (core func $own "one"))))
    (component $caller
        (import "six" (func $six' (result u32)))
        (import "one" (func $one' (result u32)))
        (type $f (func async))
        (import "later" (func $later' (type $f)))
        (core func $new (canon waitable-set.new))
        (core func $six (canon lower (func $six')))
        (core func $one (canon lower (func $one')))
        (core func $later (canon lower (func $later')))
        (core module $m
            (import "host" "six" (func $six (result i32)))
            (import "host" "one" (func $one (result i32)))
            (import "host" "later" (func $later))
            (func (export "seven") (result i32) (i32.add (call $six) (call $one)))
            (func (export "later") call $later))
        (core instance $i (instantiate $m (with "host" (instance
            (export "six" (func $six)) (export "one" (func $one)) (export "later" (func $later))))))
        (func (export "later") (canon lift (core func $i "later")))
        (func (export "seven") (result u32) (canon lift (core func $i "seven"))))
    (core func (canon subtask.drop))
    (instance $callee (instantiate $callee))
    (instance $caller (instantiate $caller
        (with "six" (func $callee "six")) (with "one" (func $callee "one")) (with "later" (func $callee "later"))))
    (export "later" (func $caller "later"))
    (export "seven" (func $caller "seven")))"#;

#[tokio::test]
async fn nested_components_keep_what_is_theirs() {
    let house = House::open(NEVER_SUSPENDED).await;
    house.install("seven", COMPOSED, "export:#seven", TaskLimits::default()).await;
    assert_eq!(value(house.call("seven", json!({})).await), json!(7));
    house.install("later", COMPOSED, "export:#later", TaskLimits::default()).await;
    let error = failed(house.call("later", json!({})).await);
    assert!(error.message.contains("asynchronous function or built-in (async)"), "{error:?}");
}
