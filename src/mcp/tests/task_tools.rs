use super::*;
use crate::catalog::Schema;

/// Calls a task tool and checks its structured content against its own schema, as stock clients do.
pub(super) async fn ask(client: &Client, tool: &str, arguments: Value) -> CallOutcome {
    let outcome = client.call(tool, arguments, &CallOptions::default()).await.expect("an answer");
    let tools = client.tools().await.expect("tools");
    let listed = tools.into_iter().find(|listed| listed.name == tool).expect("listed");
    if let (Some(schema), false) = (listed.output_schema, outcome.is_error) {
        let structured = outcome.structured.as_ref().expect("structured content");
        Schema::compile(&schema).expect("a schema").check(structured).expect("fits");
    }
    outcome
}

pub(super) fn value(outcome: CallOutcome) -> Value {
    assert!(!outcome.is_error, "{}", outcome.text());
    outcome.structured.expect("structured content")
}

#[tokio::test]
async fn a_host_that_knows_neither_tasks_nor_resources_gets_everything() {
    let world = World::new().await;
    for era in ERAS {
        let client = world.client(era).await;
        let outcome = client.call("stages", json!({"stages": 2}), &CallOptions::default()).await;
        let id = outcome.expect("an answer").link().expect("a link").task_id;
        let task = json!({"task_id": id});
        world.pass(1);
        world.until(&id, |task| task.progress.is_some()).await;

        let early = ask(&client, "task_result", task.clone()).await;
        assert!(early.is_error && early.text().contains("running") && early.text().contains("task_wait"));
        let waited = value(ask(&client, "task_wait", json!({"task_id": id, "seconds": 0})).await);
        assert_eq!((&waited["state"], waited.get("result")), (&json!("running"), None));
        let output = value(ask(&client, "task_output", json!({"task_id": id, "name": "story"})).await);
        assert_eq!((&output["text"], &output["done"]), (&json!("# 1\n"), &json!(false)));

        // A wait that has begun ends with the task.
        let wait =
            client.start_call("task_wait", task.clone(), &CallOptions::default()).await.expect("a call");
        world.pass(1);
        let waited = in_time(wait.answer()).await.expect("an answer");
        assert_eq!(waited.text(), "{\"done\":2}");
        let waited = value(waited);
        assert_eq!((&waited["state"], &waited["result"]), (&json!("completed"), &json!({"done": 2})));

        assert_eq!(value(ask(&client, "task_result", task.clone()).await), json!({"done": 2}));
        let rest = json!({"task_id": id, "name": "story", "offset": 4, "limit": 3});
        let rest = value(ask(&client, "task_output", rest).await);
        assert_eq!(
            (&rest["text"], &rest["bytes"], &rest["next_offset"], &rest["done"]),
            (&json!("# 2"), &json!(8), &json!(7), &json!(true))
        );
        let log = value(ask(&client, "task_output", json!({"task_id": id, "name": "log"})).await);
        assert_eq!(log["text"], "stage 1\nstage 2\nwarning: no more stages\n");
        let none = ask(&client, "task_output", json!({"task_id": id, "name": "tale"})).await;
        assert!(none.is_error && none.text().contains("story"), "{}", none.text());

        let listed = value(ask(&client, "task_list", json!({"state": "completed", "tool": "stages"})).await);
        assert_eq!(listed["tasks"][0]["id"], json!(id));
        let none = value(ask(&client, "task_list", json!({"state": "failed"})).await);
        assert_eq!(none["tasks"], json!([]));
        client.close().await;
    }
}

#[tokio::test]
async fn a_page_of_tasks_leads_to_the_next() {
    let world = World::new().await;
    let client = world.client(Era::Modern).await;
    for _ in 0..3 {
        client.call("double", json!({"n": 1}), &CallOptions::default()).await.expect("an answer");
    }
    let first = value(ask(&client, "task_list", json!({"limit": 2})).await);
    assert_eq!(first["tasks"].as_array().map(Vec::len), Some(2));
    let next = json!({"limit": 2, "cursor": first["next_cursor"]});
    let second = value(ask(&client, "task_list", next).await);
    assert_eq!((second["tasks"].as_array().map(Vec::len), second.get("next_cursor")), (Some(1), None));
    client.close().await;
}

#[tokio::test]
async fn a_task_is_cancelled_and_retried_by_a_model() {
    let world = World::new().await;
    let client = world.client(Era::Legacy).await;
    let outcome = client.call("stages", json!({"stages": 1}), &CallOptions::default()).await;
    let id = outcome.expect("an answer").link().expect("a link").task_id;
    let task = json!({"task_id": id});
    value(ask(&client, "task_cancel", json!({"task_id": id, "reason": "not needed"})).await);
    let waited = ask(&client, "task_wait", task.clone()).await;
    assert!(waited.is_error && waited.text().contains("not needed"), "{}", waited.text());
    assert_eq!(waited.structured.expect("structured")["state"], "cancelled");
    value(ask(&client, "task_retry", task.clone()).await);
    world.pass(1);
    let waited = value(ask(&client, "task_wait", task.clone()).await);
    assert_eq!(waited["state"], "completed");
    let again = ask(&client, "task_retry", task).await;
    assert!(again.is_error && again.text().contains("completed"), "{}", again.text());
    client.close().await;
}

/// What has ended goes, with its resources, and is unknown from then on.
#[tokio::test]
async fn a_task_that_has_ended_is_deleted_by_a_model() {
    let world = World::new().await;
    for era in ERAS {
        let client = world.client(era).await;
        let outcome = client.call("stages", json!({"stages": 1}), &CallOptions::default()).await;
        let id = outcome.expect("an answer").link().expect("a link").task_id;
        let task = json!({"task_id": id});
        let early = ask(&client, "task_delete", task.clone()).await;
        assert!(early.is_error && early.text().contains("cancel this one"), "{}", early.text());
        world.pass(1);
        value(ask(&client, "task_wait", task.clone()).await);
        assert_eq!(value(ask(&client, "task_delete", task.clone()).await), json!({"deleted": 1}));
        for tool in ["task_status", "task_result", "task_delete"] {
            let gone = ask(&client, tool, task.clone()).await;
            assert!(gone.is_error && gone.text().contains(&format!("no task {id}")), "{}", gone.text());
        }
        for uri in [format!("task://{id}"), format!("task://{id}/result"), format!("task://{id}/log")] {
            let error = client.read(&uri).await.map(drop).expect_err("gone");
            assert!(matches!(error, ClientError::NotFound { .. }), "{error:?}");
        }
        client.close().await;
    }
}

#[tokio::test]
async fn a_failed_task_tells_why_by_wait_and_by_result() {
    let world = World::new().await;
    let client = world.client(Era::Modern).await;
    let outcome = client.call("crash", json!({}), &CallOptions::default()).await.expect("an answer");
    let task = json!({"task_id": outcome.task.expect("a task")});
    for tool in ["task_wait", "task_result"] {
        let outcome = ask(&client, tool, task.clone()).await;
        assert!(outcome.is_error && outcome.text().contains("out of cheese"), "{}", outcome.text());
        assert_eq!(outcome.structured.expect("structured")["error"]["reason"], "trap", "{tool}");
    }
    let status = value(ask(&client, "task_status", task).await);
    assert_eq!((&status["state"], &status["reason"]), (&json!("failed"), &json!("trap")));
    client.close().await;
}

#[tokio::test]
async fn tools_are_listed_in_order_and_task_tools_can_be_hidden() {
    let world = World::with(McpOptions { task_tools: false, ..McpOptions::default() }).await;
    let client = world.client(Era::Modern).await;
    let names: Vec<String> = client.tools().await.expect("tools").into_iter().map(|tool| tool.name).collect();
    assert_eq!(
        names,
        [
            "asks",
            "asks_both",
            "asks_first",
            "calls",
            "chatty",
            "crash",
            "double",
            "impatient",
            "needs_tasks",
            "refuse",
            "samples",
            "stages"
        ]
    );
    // The command line calls them all the same.
    let hidden = client.call("task_list", json!({}), &CallOptions::default()).await.expect("an answer");
    assert_eq!(hidden.structured, Some(json!({"tasks": []})));
    client.close().await;
    let world = World::new().await;
    let client = world.client(Era::Legacy).await;
    let names: Vec<String> = client.tools().await.expect("tools").into_iter().map(|tool| tool.name).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names, sorted);
    assert!(names.iter().any(|name| name == "task_wait"));
    client.close().await;
}

#[tokio::test]
async fn a_message_is_sent_once_and_another_principals_task_takes_none() {
    let world = World::new().await;
    for era in ERAS {
        let client = world.client(era).await;
        let outcome = client.call("stages", json!({"stages": 2}), &CallOptions::default()).await;
        let id = outcome.expect("an answer").link().expect("a link").task_id;
        let message = json!({"task_id": id, "name": "go", "payload": {"n": 1}, "key": "k"});
        assert_eq!(value(ask(&client, "task_send", message.clone()).await), json!({"seq": 1}));
        assert_eq!(value(ask(&client, "task_send", message).await), json!({"seq": 1}));
        let bare = json!({"task_id": id, "name": "go", "payload": null});
        assert_eq!(value(ask(&client, "task_send", bare).await), json!({"seq": 2}));
        let not_theirs = json!({"task_id": world.foreign_task().await, "name": "go", "payload": 1});
        assert!(ask(&client, "task_send", not_theirs).await.is_error);
        let long = "x".repeat(crate::limits::MAX_MESSAGE_PAYLOAD_BYTES);
        let large = ask(&client, "task_send", json!({"task_id": id, "name": "go", "payload": long})).await;
        assert!(large.is_error && large.text().contains("payload"), "{}", large.text());
        world.pass(2);
        client.close().await;
    }
}
