use std::time::Duration;

use serde_json::{Value, json};

use super::{House, NEVER_SUSPENDED, value};
use crate::authority::Principal;
use crate::engine::EngineError;
use crate::engine::messages::Outgoing;
use crate::task::{TaskId, TaskLimits};

in_both_places! {
    a_task_that_left_memory_is_woken_by_each_message,
    a_live_task_gets_its_messages_in_order_and_a_repeated_send_is_one_message,
    what_was_delivered_before_a_restart_is_not_delivered_again,
    another_principals_task_takes_no_message,
}

/// Receives two messages, one after the other, and returns ten times the first's number plus the second's.
const RECEIVER: &str = concat!(
    r#"(component
    (import "longhaul:tool/messages@0.1.0" (instance $messages
        (type $e (variant (case "not-granted" string) (case "invalid" string) (case "limit" string)
            (case "not-found" string) (case "unavailable" string)))
        (export "error" (type $error (eq $e)))
        (type $m (record (field "seq" u64) (field "name" string) (field "payload" string) (field "sender" string)))
        (export "message" (type $message (eq $m)))
        (export "receive" (func (param "names" (list string)) (result (result u64 (error $error)))))
        (export "take" (func (param "ticket" u64) (result (result $message (error $error)))))))
"#,
    libc!(),
    r#"    (core func $receive (canon lower (func $messages "receive")
        (memory $libc "memory") (realloc (func $libc "realloc"))))
    (core func $take (canon lower (func $messages "take")
        (memory $libc "memory") (realloc (func $libc "realloc"))))
    (core module $m
        (import "host" "memory" (memory 1))
        (import "host" "receive" (func $receive (param i32 i32 i32)))
        (import "host" "take" (func $take (param i64 i32)))
        (func $next (result i64)
            (call $receive (i32.const 0) (i32.const 0) (i32.const 64))
            (if (i32.load8_u (i32.const 64)) (then unreachable))
            (call $take (i64.load (i32.const 72)) (i32.const 128))
            (if (i32.load8_u (i32.const 128)) (then unreachable))
            (i64.load (i32.const 136)))
        (func (export "run") (result i64)
            (i64.add (i64.mul (call $next) (i64.const 10)) (call $next))))
    (core instance $i (instantiate $m (with "host" (instance
        (export "memory" (memory $libc "memory")) (export "receive" (func $receive)) (export "take" (func $take))))))
    (func (export "run") (result u64) (canon lift (core func $i "run"))))"#
);

async fn receiver(grace: Duration) -> (House, TaskId) {
    let house = House::open(grace).await;
    house.install("receiver", RECEIVER, "export:#run", TaskLimits::default()).await;
    let id = house.submit("receiver", json!({})).await;
    (house, id)
}

async fn send(house: &House, id: TaskId, payload: Value, key: Option<&str>) -> Result<u64, EngineError> {
    let message = Outgoing { name: "go".to_owned(), payload, key: key.map(str::to_owned) };
    house.engine.send(&Principal::local(), id, message).await
}

async fn a_task_that_left_memory_is_woken_by_each_message() {
    let (house, id) = receiver(Duration::ZERO).await;
    let waiting = house.until(id, |document| document.state == "waiting").await;
    assert_eq!(waiting.reason.as_deref(), Some("message"));
    assert_eq!(send(&house, id, json!({"n": 1}), None).await.unwrap(), 1);
    house.until(id, |document| document.state == "waiting" && document.steps == waiting.steps).await;
    assert_eq!(send(&house, id, json!({"n": 2}), None).await.unwrap(), 2);
    assert_eq!(value(house.end(id).await), json!(12));
    assert!(matches!(send(&house, id, json!(3), None).await, Err(EngineError::WrongState { .. })));
}

async fn a_live_task_gets_its_messages_in_order_and_a_repeated_send_is_one_message() {
    let (house, id) = receiver(NEVER_SUSPENDED).await;
    assert_eq!(send(&house, id, json!(1), Some("a")).await.unwrap(), 1);
    assert_eq!(send(&house, id, json!(1), Some("a")).await.unwrap(), 1);
    assert_eq!(send(&house, id, json!(2), Some("b")).await.unwrap(), 2);
    assert_eq!(value(house.end(id).await), json!(12));
}

async fn what_was_delivered_before_a_restart_is_not_delivered_again() {
    let (house, id) = receiver(Duration::ZERO).await;
    send(&house, id, json!(1), None).await.unwrap();
    house.until(id, |document| document.state == "waiting").await;
    let house = house.restart(Duration::ZERO).await;
    let house = house.restart(NEVER_SUSPENDED).await;
    send(&house, id, json!(2), None).await.unwrap();
    assert_eq!(value(house.end(id).await), json!(12));
}

async fn another_principals_task_takes_no_message() {
    let (house, id) = receiver(Duration::ZERO).await;
    let other = Principal::new("other", vec!["*".to_owned()]);
    let message = Outgoing { name: "go".to_owned(), payload: json!(1), key: None };
    assert!(matches!(house.engine.send(&other, id, message).await, Err(EngineError::NoSuchTask(_))));
}
