//! Cursors, empty texts and numbers as clients and models write them.

use super::raw::{Raw, messages};
use super::task_tools::{ask, value};
use super::*;
use crate::engine::StateWrite;

#[tokio::test]
async fn a_list_of_the_protocol_refuses_a_cursor_that_it_did_not_give() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    for method in ["tools/list", "resources/list", "resources/templates/list"] {
        for cursor in ["no-page-gave-this", "null", "0", "double"] {
            let modern = raw.ask_modern(method, json!({"cursor": cursor}), json!({})).await;
            let body = json!({"jsonrpc": "2.0", "id": 9, "method": method, "params": {"cursor": cursor}});
            let legacy =
                messages(session.post().body(body.to_string()).send().await.expect("an answer")).await;
            for answer in [modern.last(), legacy.last()] {
                let error = &answer.expect("an answer")["error"];
                assert_eq!(error["code"], -32602, "{method} {cursor}: {error}");
                let seen = error["message"].as_str().unwrap_or_default();
                assert!(seen.contains("leave it out for the first page"), "{seen}");
            }
        }
        // Clients whose language has no absent text write an empty one.
        let first = raw.ask_modern(method, json!({"cursor": ""}), json!({})).await;
        assert!(first.last().is_some_and(|answer| answer["result"].is_object()), "{method}: {first:?}");
    }
}

#[tokio::test]
async fn own_lists_refuse_cursors_of_no_page_and_take_an_empty_text_as_none() {
    let world = World::with(McpOptions { state_tools: true, ..McpOptions::default() }).await;
    for era in ERAS {
        let client = world.client(era).await;
        for number in 0..3 {
            client.call("double", json!({"n": number}), &CallOptions::default()).await.expect("an answer");
            let write = vec![StateWrite::put(format!("k{number}"), "1")];
            world.engine.state_write(&Principal::local(), "n", write).await.expect("written");
        }
        let rows = |page: &Value, rows: &str| page[rows].as_array().map(Vec::len).unwrap_or_default();
        let empty = json!({"limit": 2.0, "cursor": "", "tool": "", "state": "", "parent": ""});
        let tasks = value(ask(&client, "task_list", empty).await);
        let entries = value(
            ask(&client, "state_list", json!({"namespace": "n", "limit": 2, "cursor": "", "prefix": ""}))
                .await,
        );
        assert_eq!((rows(&tasks, "tasks"), rows(&entries, "entries")), (2, 2));
        let next = json!({"namespace": "n", "cursor": entries["next_cursor"]});
        assert_eq!(rows(&value(ask(&client, "state_list", next).await), "entries"), 1);
        let swapped = [
            ("task_list", json!({"cursor": entries["next_cursor"]})),
            ("task_list", json!({"cursor": tasks["next_cursor"], "tool": "double"})),
            ("task_list", json!({"cursor": "null"})),
            ("task_list", json!({"cursor": "k1"})),
            ("state_list", json!({"namespace": "n", "cursor": tasks["next_cursor"]})),
            ("state_list", json!({"namespace": "m", "cursor": entries["next_cursor"]})),
            ("state_list", json!({"namespace": "n", "prefix": "k", "cursor": entries["next_cursor"]})),
            ("state_list", json!({"namespace": "n", "cursor": "k1"})),
        ];
        for (tool, arguments) in swapped {
            let refused = ask(&client, tool, arguments.clone()).await;
            let seen = refused.text();
            assert!(
                refused.is_error && seen.contains("leave it out for the first page"),
                "{arguments}: {seen}"
            );
        }
        client.close().await;
    }
}

#[tokio::test]
async fn a_number_with_a_zero_fraction_is_an_integer_for_every_tool_and_option() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    for (stages, seconds) in [(json!(1.0), json!(5)), (json!(2), json!(5.0)), (json!(20e-1), json!(0.0))] {
        world.pass(2);
        let params = json!({"name": "stages", "arguments": {"stages": stages}});
        let meta = json!({"longhaul/reply": "inline", "longhaul/inline-wait-seconds": seconds});
        let answer = raw.ask_modern("tools/call", params, meta).await;
        let done = &answer.last().expect("an answer")["result"]["structuredContent"]["done"];
        assert_eq!(*done, json!(stages.as_f64().unwrap_or_default() as u64), "{answer:?}");
    }
    for wrong in [json!(0.5), json!(-1.0), json!(1e300)] {
        let params = json!({"name": "stages", "arguments": {"stages": 1}});
        let answer =
            raw.ask_modern("tools/call", params, json!({"longhaul/inline-wait-seconds": wrong})).await;
        assert_eq!(answer.last().expect("an answer")["error"]["code"], -32602, "{wrong}");
    }
    let params = json!({"name": "stages", "arguments": {"stages": 9_007_199_254_740_992.0}});
    let answer = raw.ask_modern("tools/call", params, json!({})).await;
    let refused = &answer.last().expect("an answer")["result"];
    assert_eq!(refused["isError"], true, "{refused}");
    let seen = refused["content"][0]["text"].as_str().unwrap_or_default();
    assert!(seen.contains("/stages") && seen.contains("2^53"), "{seen}");
}
