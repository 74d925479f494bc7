use super::raw::{Raw, messages};
use super::*;
use crate::catalog::Schema;
use crate::task::Content;

fn inline() -> CallOptions {
    CallOptions { reply: Some(Reply::Inline), ..CallOptions::default() }
}

async fn output_schema(client: &Client, tool: &str) -> Schema {
    let tools = client.tools().await.expect("tools");
    let tool = tools.into_iter().find(|listed| listed.name == tool).expect("listed");
    Schema::compile(&tool.output_schema.expect("an output schema")).expect("a schema")
}

#[tokio::test]
async fn a_link_comes_at_once_and_resolves() {
    let world = World::new().await;
    for era in ERAS {
        let client = world.client(era).await;
        let options = CallOptions::default();
        let outcome = client.call("stages", json!({"stages": 1}), &options).await.expect("an answer");
        let link = outcome.link().expect("a link");
        assert_eq!(outcome.task.as_deref(), Some(link.task_id.as_str()));
        assert_eq!(link.uri, format!("task://{}", link.task_id));
        let text = format!(
            "Started stages as task {id}. Call task_wait {{\"task_id\":\"{id}\"}} for its result.",
            id = link.task_id
        );
        assert_eq!(outcome.content[0], Content::Text(text));
        assert!(matches!(&outcome.content[1], Content::Link { uri, .. } if *uri == link.uri));
        // What a checking client does with it.
        let schema = output_schema(&client, "stages").await;
        schema.check(outcome.structured.as_ref().expect("structured")).expect("fits");
        let task = client.task(&link.uri).await.expect("resolves");
        assert_eq!((task.id, task.tool.as_str()), (link.task_id, "stages"));
        client.close().await;
    }
}

#[tokio::test]
async fn an_inline_call_tells_every_report_in_order_before_its_result() {
    let world = World::new().await;
    for era in ERAS {
        let client = world.client(era).await;
        world.pass(50);
        let mut call = client.start_call("stages", json!({"stages": 50}), &inline()).await.expect("a call");
        let mut seen = Vec::new();
        let mut named = Vec::new();
        while let Some(event) = in_time(call.next()).await {
            // The session hears of log lines too.
            let CallEvent::Progress { progress, total, message, task } = event else { continue };
            assert_eq!(total, Some(50.0));
            assert_eq!(message, Some(format!("stage {progress} is done")));
            seen.push(progress as u64);
            named.extend(task);
        }
        assert_eq!(seen, (1..=50).collect::<Vec<u64>>());
        let outcome = call.answer().await.expect("an answer");
        assert_eq!((outcome.is_error, outcome.link()), (false, None));
        assert_eq!(outcome.structured, Some(json!({"done": 50})));
        // The first report, and it alone, names the task, as does the answer.
        assert_eq!(named, [outcome.task.expect("a task")]);
        client.close().await;
    }
}

#[tokio::test]
async fn a_result_that_is_no_object_is_wrapped_as_its_schema_says() {
    let world = World::new().await;
    for era in ERAS {
        let client = world.client(era).await;
        let outcome =
            client.call("double", json!({"n": 21}), &CallOptions::default()).await.expect("an answer");
        assert_eq!(outcome.structured, Some(json!({"result": 42})));
        assert_eq!(outcome.text(), "42");
        output_schema(&client, "double").await.check(&json!({"result": 42})).expect("fits");
        client.close().await;
    }
}

#[tokio::test]
async fn a_legacy_call_without_a_token_gets_log_messages_on_its_own_stream() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    world.pass(3);
    let params = json!({
        "name": "stages", "arguments": {"stages": 3}, "_meta": {"longhaul/reply": "inline"},
    });
    let got = session.ask("tools/call", params.clone()).await;
    let logs: Vec<&Value> = got.iter().filter(|m| m["method"] == "notifications/message").collect();
    let texts: Vec<&str> = logs.iter().filter_map(|log| log["params"]["data"].as_str()).collect();
    assert_eq!(
        texts,
        ["1/3 stage 1 is done", "2/3 stage 2 is done", "3/3 stage 3 is done", "no more stages"]
    );
    assert_eq!(logs[3]["params"]["level"], "warning");
    assert_eq!(
        (&logs[0]["params"]["level"], &logs[0]["params"]["logger"]),
        (&json!("info"), &json!("stages"))
    );
    let answer = got.last().expect("an answer");
    assert_eq!(answer["result"]["structuredContent"], json!({"done": 3}));
    assert_eq!(logs[0]["params"]["_meta"]["longhaul/task"], answer["result"]["_meta"]["longhaul/task"]);
    // A client that wants only errors gets none.
    session.ask("logging/setLevel", json!({"level": "error"})).await;
    world.pass(3);
    assert_eq!(session.ask("tools/call", params).await.len(), 1);
}

#[tokio::test]
async fn a_tools_log_lines_come_on_its_calls_stream_as_far_as_the_client_wants_them() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    let params = json!({"name": "chatty", "arguments": {}, "_meta": {"progressToken": "t"}});
    let messages = |got: &[Value]| -> Vec<(String, String)> {
        let logs = got.iter().filter(|m| m["method"] == "notifications/message");
        logs.map(|m| (m["params"]["level"].to_string(), m["params"]["data"].to_string())).collect()
    };
    let seen = |levels: &[(&str, &str)]| -> Vec<(String, String)> {
        levels.iter().map(|(level, text)| (format!("{level:?}"), format!("{text:?}"))).collect()
    };
    let loud = [("warning", "hot"), ("error", "burnt")];
    let all = [&[("debug", "a detail"), ("info", "1/1 it begins")][..], &loud].concat();
    for (level, expected) in [("info", &all[1..]), ("debug", &all), ("warning", &loud), ("alert", &[])] {
        session.ask("logging/setLevel", json!({"level": level})).await;
        let got = session.ask("tools/call", params.clone()).await;
        assert_eq!(messages(&got), seen(expected), "{level}");
        assert_eq!(got.last().expect("an answer")["result"]["content"][0]["text"], "said");

        let meta = json!({"io.modelcontextprotocol/logLevel": level});
        let got = raw.ask_modern("tools/call", params.clone(), meta).await;
        assert_eq!(messages(&got), seen(expected), "{level}, 2026-07-28");
    }
}

#[tokio::test]
async fn a_call_that_is_repeated_by_its_key_is_not_told_the_log_again() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    let params = json!({"name": "chatty", "arguments": {}, "_meta": {"longhaul/idempotency-key": "k"}});
    assert_eq!(session.ask("tools/call", params.clone()).await.len(), 4);
    assert_eq!(session.ask("tools/call", params).await.len(), 1);
}

#[tokio::test]
async fn the_trace_of_a_call_is_kept_with_its_task() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
    let world = World::new().await;
    let raw = Raw::new(&world);
    let call = async |meta: Value| {
        let answer =
            raw.ask_modern("tools/call", json!({"name": "double", "arguments": {"n": 1}}), meta).await;
        let id = answer[0]["result"]["_meta"]["longhaul/task"].as_str().expect("a task").to_owned();
        world.until(&id, TaskDocument::is_terminal).await.trace
    };
    let trace = call(json!({"traceparent": PARENT, "tracestate": "a=1", "baggage": "user=x"})).await;
    let trace = serde_json::to_value(trace).expect("JSON");
    assert_eq!(trace, json!({"traceparent": PARENT, "tracestate": "a=1", "baggage": "user=x"}));
    assert_eq!(call(json!({"traceparent": "nonsense", "tracestate": 7})).await, None);
    assert_eq!(call(json!({})).await, None);
}

/// Needs the subscriber that the command line brings.
#[tokio::test]
async fn what_is_logged_of_an_attempt_bears_the_trace_of_its_call() {
    #[derive(Clone, Default)]
    struct Log(Arc<parking_lot::Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (log, parent) = (Log::default(), "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01");
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::NEW)
        .finish();
    // The runtime of this test has one thread.
    let _here = tracing::subscriber::set_default(subscriber);
    let world = World::new().await;
    // Another test may have come to the span in the same moment and noted that it is not wanted: the one that
    // subscribes has all of them asked again.
    let _asks_again = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let call = json!({"name": "double", "arguments": {"n": 1}});
    Raw::new(&world)
        .ask_modern("tools/call", call, json!({"traceparent": parent, "tracestate": "a=1"}))
        .await;
    let text = String::from_utf8(log.0.lock().clone()).expect("text");
    let expected = format!("attempt{{tool=\"double\" traceparent={parent:?} tracestate=\"a=1\"}}");
    assert!(text.contains(&expected), "{expected} in {text}");
}

#[tokio::test]
async fn under_2026_07_28_log_messages_come_only_where_the_request_wants_them() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let params = json!({"name": "stages", "arguments": {"stages": 1}});
    for (level, expected) in
        [(Value::Null, 0), (json!("info"), 2), (json!("warning"), 1), (json!("error"), 0)]
    {
        world.pass(1);
        let mut meta = json!({"longhaul/reply": "inline"});
        if !level.is_null() {
            meta["io.modelcontextprotocol/logLevel"] = level.clone();
        }
        let got = raw.ask_modern("tools/call", params.clone(), meta).await;
        let logs = got.iter().filter(|m| m["method"] == "notifications/message").count();
        assert_eq!((logs, got.len()), (expected, expected + 1), "{level}: {got:?}");
    }
}

#[tokio::test]
async fn past_its_time_an_inline_call_turns_into_a_link_and_its_task_goes_on() {
    let world = World::new().await;
    for era in ERAS {
        let client = world.client(era).await;
        let options = CallOptions { inline_wait_seconds: Some(1), ..inline() };
        let outcome = client.call("stages", json!({"stages": 1}), &options).await.expect("an answer");
        let link = outcome.link().expect("a link");
        world.pass(1);
        let task = world.until(&link.task_id, TaskDocument::is_terminal).await;
        assert_eq!(task.state, "completed");
        client.close().await;
    }
}

#[tokio::test]
async fn a_tools_own_error_a_crash_and_a_missing_extension_are_three_things() {
    let world = World::new().await;
    for era in ERAS {
        let client = world.client(era).await;
        let options = CallOptions::default();
        let refused = client.call("refuse", json!({}), &options).await.expect("an answer");
        assert_eq!((refused.is_error, refused.text().as_str()), (true, "the ticket is closed"));

        let crashed = client.call("crash", json!({}), &options).await.expect("an answer");
        let id = crashed.task.clone().expect("a task");
        assert!(crashed.is_error);
        for part in ["failed (trap)", "out of cheese", &format!("longhaul task retry {id}"), "task_retry"] {
            assert!(crashed.text().contains(part), "{part} in {}", crashed.text());
        }
        assert_eq!(crashed.structured.expect("structured")["error"]["reason"], "trap");

        match client.call("needs_tasks", json!({}), &options).await {
            Err(ClientError::Protocol { code: -32021, data: Some(data), .. }) => {
                assert!(data.to_string().contains("io.modelcontextprotocol/tasks"), "{data}");
            }
            other => panic!("{other:?}"),
        }
        client.close().await;
    }
}

#[tokio::test]
async fn wrong_arguments_come_back_with_their_path_and_no_task_is_made() {
    let world = World::new().await;
    for era in ERAS {
        let client = world.client(era).await;
        let options = CallOptions::default();
        for (arguments, part) in [
            (json!({"stages": "two"}), "/stages"),
            (json!({}), "stages"),
            (json!({"stages": 1, "colour": "red"}), "colour"),
        ] {
            let outcome = client.call("stages", arguments, &options).await.expect("an answer");
            assert!(outcome.is_error && outcome.text().contains(part), "{}", outcome.text());
        }
        match client.call("stagse", json!({}), &options).await {
            Err(ClientError::Protocol { code: -32602, message, .. }) => {
                assert!(message.contains("did you mean 'stages'"), "{message}")
            }
            other => panic!("{other:?}"),
        }
        let large = json!({"stages": 1, "text": "x".repeat(crate::limits::MAX_ARGUMENTS_BYTES)});
        let outcome = client.call("stages", large, &options).await.expect("an answer");
        assert!(outcome.is_error && outcome.text().contains("bytes"), "{}", outcome.text());
        client.close().await;
    }
    assert_eq!(world.engine.metrics().submitted, 0);
}

#[tokio::test]
async fn an_idempotency_key_leads_to_the_same_task_and_to_no_other() {
    let world = World::new().await;
    let client = world.client(Era::Modern).await;
    let options = CallOptions { idempotency_key: Some("once".into()), ..CallOptions::default() };
    let call =
        async |arguments: Value, options: &CallOptions| client.call("stages", arguments, options).await;
    let first = call(json!({"stages": 2}), &options).await.expect("an answer");
    world.pass(1);
    // Again, inline: it hears where the task is, and gets its result.
    world.until(first.task.as_deref().expect("a task"), |task| task.progress.is_some()).await;
    let again = CallOptions { reply: Some(Reply::Inline), ..options.clone() };
    let mut running = client.start_call("stages", json!({"stages": 2}), &again).await.expect("a call");
    let seen = in_time(running.next()).await;
    assert!(matches!(seen, Some(CallEvent::Progress { progress: 1.0, .. })), "{seen:?}");
    world.pass(1);
    let second = running.answer().await.expect("an answer");
    assert_eq!((&second.task, &second.structured), (&first.task, &Some(json!({"done": 2}))));
    // Once more, when it has ended.
    let third = call(json!({"stages": 2}), &again).await.expect("an answer");
    assert_eq!((third.task, third.structured), (first.task, Some(json!({"done": 2}))));
    match call(json!({"stages": 3}), &options).await {
        Err(ClientError::Protocol { code: -32602, message, .. }) => {
            assert!(message.contains("once"), "{message}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.engine.metrics().submitted, 1);
    client.close().await;
}

/// Who closes the response of an inline call gives up its task under 2026-07-28, unless a key brings it back.
/// No other does.
#[tokio::test]
async fn a_closed_response_cancels_its_task_only_where_the_protocol_says_so() {
    for (era, key, cancelled) in
        [(Era::Modern, None, true), (Era::Modern, Some("back-soon"), false), (Era::Legacy, None, false)]
    {
        let world = World::new().await;
        let raw = Raw::new(&world);
        let mut meta = json!({"longhaul/reply": "inline", "progressToken": "p"});
        if let Some(key) = key {
            meta["longhaul/idempotency-key"] = json!(key);
        }
        let mut params = json!({"name": "stages", "arguments": {"stages": 2}});
        world.pass(1);
        let mut answer = match era {
            Era::Modern => raw.modern("tools/call", params, meta).send().await.expect("an answer"),
            Era::Legacy => {
                params["_meta"] = meta;
                raw.session().await.send("tools/call", params).await
            }
        };
        // Not before the first report: it names the task.
        let mut text = String::new();
        while !text.contains("longhaul/task") {
            let chunk = in_time(answer.chunk()).await.expect("a stream").expect("more");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        drop(answer);
        let id = world.open_tasks(1).await.remove(0);
        if !cancelled {
            world.pass(1);
        }
        let task = world.until(&id, TaskDocument::is_terminal).await;
        assert_eq!(task.state, if cancelled { "cancelled" } else { "completed" }, "{era:?} {key:?}");
    }
}

#[tokio::test]
async fn a_stopping_server_answers_what_waits_with_a_link_and_cancels_nothing() {
    let world = World::new().await;
    let mut calls = Vec::new();
    for era in ERAS {
        let client = world.client(era).await;
        let call = client.start_call("stages", json!({"stages": 1}), &inline()).await.expect("a call");
        calls.push((client, call));
        world.open_tasks(calls.len()).await;
    }
    // A client that only listens must not hold the server up.
    let idle = world.client(Era::Legacy).await;
    let World { folder, engine, http, .. } = world;
    in_time(http.shutdown()).await;
    let mut tasks = Vec::new();
    for (_client, call) in calls {
        let outcome = in_time(call.answer()).await.expect("an answer");
        tasks.push(outcome.link().expect("a link").task_id);
    }
    drop(idle);
    in_time(engine.shutdown()).await;
    drop(engine);
    // The next server takes both up where they were.
    let gate = Arc::new(Semaphore::new(2));
    let engine = self::engine(folder.path(), &gate).await;
    for id in tasks {
        let task = until(&engine, &id, TaskDocument::is_terminal).await;
        assert_eq!((task.state.as_str(), task.progress.map(|p| p.done)), ("completed", Some(1)));
    }
}

#[tokio::test]
async fn bad_choices_of_a_call_are_errors_that_name_them() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let params = json!({"name": "double", "arguments": {}});
    for meta in [
        json!({"longhaul/reply": "soon"}),
        json!({"longhaul/inline-wait-seconds": 1e9}),
        json!({"longhaul/idempotency-key": ""}),
        json!({"longhaul/idempotency-key": "k".repeat(257)}),
    ] {
        let got = raw.ask_modern("tools/call", params.clone(), meta.clone()).await;
        assert_eq!(got[0]["error"]["code"], -32602, "{meta}: {got:?}");
    }
    let session = raw.session().await;
    let mut params = params.clone();
    params["_meta"] = json!({"longhaul/reply": 1});
    let got = session.ask("tools/call", params).await;
    assert!(got[0]["error"]["message"].as_str().expect("a message").contains("longhaul/reply"));
    assert_eq!(
        messages(raw.modern("tools/list", json!({}), json!({})).send().await.expect("an answer")).await.len(),
        1
    );
}
