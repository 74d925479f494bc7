use std::collections::BTreeSet;

use super::raw::Raw;
use super::*;

async fn started(world: &World, client: &Client, stages: u64) -> TaskLink {
    let outcome = client.call("stages", json!({"stages": stages}), &CallOptions::default()).await;
    let link = outcome.expect("an answer").link().expect("a link");
    world.until(&link.task_id, |task| !task.outputs.is_empty()).await;
    link
}

#[tokio::test]
async fn every_resource_of_a_task_reads_as_what_it_is_while_it_grows_and_after() {
    let world = World::new().await;
    for era in ERAS {
        let client = world.client(era).await;
        let link = started(&world, &client, 2).await;
        let read = async |path: &str| client.read(&format!("{}{path}", link.uri)).await;
        world.pass(1);
        world.until(&link.task_id, |task| task.progress.is_some()).await;
        let story = read("/output/story").await.expect("an output");
        assert_eq!((story.mime_type.as_deref(), story.text()), (Some("text/markdown"), Some("# 1\n")));
        assert_eq!(read("/log").await.expect("a log").text(), Some("stage 1\n"));
        let early = read("/result").await.expect_err("no result yet").to_string();
        assert!(early.contains("running"), "{early}");
        world.pass(1);
        world.until(&link.task_id, TaskDocument::is_terminal).await;
        let result = read("/result").await.expect("a result");
        assert_eq!(
            (result.mime_type.as_deref(), result.text()),
            (Some("application/json"), Some("{\"done\":2}"))
        );
        assert_eq!(read("/output/story").await.expect("an output").text(), Some("# 1\n# 2\n"));
        let task = client.task(&link.uri).await.expect("a document");
        assert_eq!((task.state.as_str(), task.outputs.len()), ("completed", 1));
        client.close().await;
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_is_somebody_elses_look_alike() {
    let world = World::new().await;
    let foreign = world.foreign_task().await;
    let unknown = TaskId::new(1, &[1; 10]);
    let raw = Raw::new(&world);
    let session = raw.session().await;
    let alike = |got: &[Value], id: TaskId| got[0]["error"].to_string().replace(&id.to_string(), "ID");
    for path in ["", "/result", "/log", "/output/story"] {
        let mut errors = BTreeSet::new();
        for id in [foreign, unknown] {
            let params = json!({"uri": format!("task://{id}{path}")});
            let modern = raw.ask_modern("resources/read", params.clone(), json!({})).await;
            assert_eq!(modern[0]["error"]["code"], -32602);
            errors.insert(alike(&modern, id));
            for method in ["resources/read", "resources/subscribe"] {
                let legacy = session.ask(method, params.clone()).await;
                assert_eq!(legacy[0]["error"]["code"], -32002, "{method}");
            }
        }
        assert_eq!(errors.len(), 1, "{errors:?}");
    }
    for method in ["task_status", "task_result", "task_cancel", "task_retry", "task_wait"] {
        let mut texts = BTreeSet::new();
        for id in [foreign, unknown] {
            let params = json!({"name": method, "arguments": {"task_id": id.to_string()}});
            let got = session.ask("tools/call", params).await;
            assert_eq!(got[0]["result"]["isError"], true, "{method}");
            texts.insert(got[0]["result"].to_string().replace(&id.to_string(), "ID"));
        }
        assert_eq!(texts.len(), 1, "{texts:?}");
    }
    let listed = raw.ask_modern("resources/list", json!({}), json!({})).await;
    assert_eq!(listed[0]["result"]["resources"], json!([]));
    let client = world.client(Era::Modern).await;
    let refused = client.watch(&[foreign.uri()]).await;
    assert!(matches!(refused, Err(ClientError::NotFound { .. })));
    client.close().await;
}

/// Some hosts make a tool of each resource, and models take about 128 tools.
#[tokio::test]
async fn the_list_shows_open_tasks_first_and_a_few_that_ended_and_completions_know_more() {
    use crate::limits::{MAX_LISTED_ENDED_TASKS, MAX_LISTED_TASKS};
    let world = World::new().await;
    let (raw, client) = (Raw::new(&world), world.client(Era::Modern).await);
    let session = raw.session().await;
    let start = async |stages: u64| {
        let outcome = client.call("stages", json!({"stages": stages}), &CallOptions::default()).await;
        outcome.expect("an answer").link().expect("a link").uri
    };
    let listed = async || {
        let modern =
            raw.ask_modern("resources/list", json!({}), json!({})).await[0]["result"]["resources"].take();
        let legacy = session.ask("resources/list", json!({})).await[0]["result"]["resources"].take();
        // What stands next to the URI may change between the two: a queued task begins to run.
        let uris = |list: Value| -> Vec<String> {
            let resources = list.as_array().expect("a list").iter();
            resources.map(|resource| resource["uri"].as_str().expect("text").to_owned()).collect()
        };
        let (modern, legacy) = (uris(modern), uris(legacy));
        assert_eq!(modern, legacy);
        modern
    };
    // The oldest is open, all behind it have ended.
    let oldest = start(1).await;
    let mut ended = Vec::new();
    for _ in 0..MAX_LISTED_ENDED_TASKS + 3 {
        let uri = start(1).await;
        let id = uri.trim_start_matches("task://").parse().expect("an id");
        world.engine.cancel(&Principal::local(), id, None).await.expect("cancelled");
        ended.insert(0, uri);
    }
    let mut expected = vec![oldest.clone()];
    expected.extend_from_slice(&ended[..MAX_LISTED_ENDED_TASKS]);
    assert_eq!(listed().await, expected);
    // What was called first and ended last is the last that ended.
    let id = oldest.trim_start_matches("task://").parse().expect("an id");
    world.engine.cancel(&Principal::local(), id, None).await.expect("cancelled");
    ended.insert(0, oldest);
    assert_eq!(listed().await, ended[..MAX_LISTED_ENDED_TASKS]);
    // More that are open leave no room for those that have ended, and then not for the oldest.
    let mut open = Vec::new();
    for _ in 0..=MAX_LISTED_TASKS {
        open.insert(0, start(1).await);
    }
    assert_eq!(listed().await, open[..MAX_LISTED_TASKS]);
    let params = json!({
        "ref": {"type": "ref/resource", "uri": "task://{id}"}, "argument": {"name": "id", "value": ""},
    });
    let known = raw.ask_modern("completion/complete", params, json!({})).await;
    assert_eq!(known[0]["result"]["completion"]["total"], json!(open.len() + ended.len()));
    client.close().await;
}

/// Tasks come and go; the list of tools is the same all the while, and no client is notified otherwise.
#[tokio::test]
async fn a_new_task_is_no_change_of_the_list_of_tools() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    let get =
        raw.http.get(&raw.url).header("accept", "text/event-stream").header("mcp-session-id", &session.id);
    let of_session = get.send().await.expect("a stream");
    let filter = json!({"notifications": {"toolsListChanged": true, "resourcesListChanged": true}});
    let of_modern = raw.modern("subscriptions/listen", filter, json!({})).send().await.expect("an answer");
    let client = world.client(Era::Modern).await;
    for _ in 0..3 {
        let outcome = client.call("stages", json!({"stages": 1}), &CallOptions::default()).await;
        let link = outcome.expect("an answer").link().expect("a link");
        world.pass(1);
        world.until(&link.task_id, TaskDocument::is_terminal).await;
    }
    let mut seen = [String::new(), String::new()];
    let mut streams = [of_session, of_modern];
    let mut until = async |words: &str| {
        for (stream, seen) in streams.iter_mut().zip(&mut seen) {
            while !seen.contains(words) {
                let chunk = in_time(stream.chunk()).await.expect("a stream").expect("more");
                seen.push_str(&String::from_utf8_lossy(&chunk));
            }
        }
        seen.clone()
    };
    let seen = until("notifications/resources/list_changed").await;
    assert!(!seen.iter().any(|seen| seen.contains("tools/list_changed")), "{seen:?}");
    // Only this is one.
    world.engine.set_catalog(world.engine.catalog());
    until("notifications/tools/list_changed").await;
    client.close().await;
}

#[tokio::test]
async fn lists_templates_and_completions_show_the_callers_tasks() {
    let world = World::new().await;
    let client = world.client(Era::Modern).await;
    let link = started(&world, &client, 1).await;
    let raw = Raw::new(&world);
    let listed = &raw.ask_modern("resources/list", json!({}), json!({})).await[0]["result"];
    assert_eq!(listed["resources"][0]["uri"], json!(link.uri));
    assert_eq!((&listed["ttlMs"], &listed["cacheScope"]), (&json!(0), &json!("private")));
    assert_eq!(listed["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "longhaul");
    let templates = &raw.ask_modern("resources/templates/list", json!({}), json!({})).await[0]["result"];
    let uris: Vec<&str> = templates["resourceTemplates"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|t| t["uriTemplate"].as_str())
        .collect();
    assert_eq!(
        uris,
        [
            "task://{id}",
            "task://{id}/result",
            "task://{id}/output/{name}",
            "task://{id}/log",
            "task://{id}/journal",
            "task://{id}/steps",
            "state://{namespace}/{key}"
        ]
    );
    let complete = async |template: &str, argument: &str, value: &str, id: &str| {
        let params = json!({
            "ref": {"type": "ref/resource", "uri": template},
            "argument": {"name": argument, "value": value},
            "context": {"arguments": {"id": id}},
        });
        let got = raw.ask_modern("completion/complete", params, json!({})).await;
        got[0]["result"]["completion"]["values"].clone()
    };
    let output = "task://{id}/output/{name}";
    assert_eq!(complete(output, "id", &link.task_id[..6], "").await, json!([link.task_id]));
    assert_eq!(complete(output, "id", "zz", "").await, json!([]));
    assert_eq!(complete(output, "name", "st", &link.task_id).await, json!(["story"]));
    assert_eq!(complete(output, "name", "", &world.foreign_task().await.to_string()).await, json!([]));
    client.close().await;
}

#[tokio::test]
async fn a_subscriber_is_told_of_each_resource_after_its_commit() {
    let world = World::new().await;
    for era in ERAS {
        let client = world.client(era).await;
        let link = started(&world, &client, 2).await;
        let story = format!("{}/output/story", link.uri);
        let result = format!("{}/result", link.uri);
        let mut updates = client.watch(&[story.clone(), result.clone()]).await.expect("a subscription");
        for (stage, expected) in [(1, "# 1\n"), (2, "# 1\n# 2\n")] {
            world.pass(1);
            // What is reported is there to be read, and it is not reported for good before it is all there.
            loop {
                assert_eq!(in_time(updates.next()).await.expect("an update"), story, "stage {stage}");
                let text = client.read(&story).await.expect("an output");
                if text.text() == Some(expected) {
                    break;
                }
            }
        }
        loop {
            if in_time(updates.next()).await.expect("an update") == result {
                break;
            }
        }
        assert_eq!(client.read(&result).await.expect("a result").text(), Some("{\"done\":2}"));
        client.close().await;
    }
}

#[tokio::test]
async fn a_slow_subscriber_holds_nobody_up_and_is_told_the_last_change() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let client = world.client(Era::Modern).await;
    let link = started(&world, &client, 400).await;
    let filter = json!({"notifications": {"resourceSubscriptions": [link.uri]}});
    // It reads nothing but the acknowledgment until the task is done.
    let mut listening =
        raw.modern("subscriptions/listen", filter, json!({})).send().await.expect("an answer");
    let first = in_time(listening.chunk()).await.expect("a stream").expect("the acknowledgment");
    assert!(String::from_utf8_lossy(&first).contains("notifications/subscriptions/acknowledged"));
    world.pass(400);
    let task = world.until(&link.task_id, TaskDocument::is_terminal).await;
    assert_eq!(task.progress.map(|p| p.done), Some(400));
    let chunk = in_time(listening.chunk()).await.expect("a stream").expect("an update");
    let seen = String::from_utf8_lossy(&chunk).into_owned();
    assert!(seen.contains("notifications/resources/updated") && seen.contains("subscriptionId"), "{seen}");
    client.close().await;
}

/// Waits until there are so many: tasks of the server's own come and go.
async fn subscribers(world: &World, count: usize) {
    let waiting = async {
        while world.engine.feed().subscribers() != count {
            tokio::task::yield_now().await;
        }
    };
    in_time(waiting).await;
}

#[tokio::test]
async fn an_unsubscribed_session_is_told_nothing_more_and_a_closed_one_frees_its_place() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let client = world.client(Era::Modern).await;
    let link = started(&world, &client, 2).await;
    let session = raw.session().await;
    for uri in [link.uri.clone(), format!("{}/log", link.uri)] {
        let got = session.ask("resources/subscribe", json!({"uri": uri})).await;
        assert_eq!(got[0]["result"], json!({}));
    }
    assert_eq!(world.engine.feed().subscribers(), 1);
    let got = session.ask("resources/unsubscribe", json!({"uri": link.uri})).await;
    assert_eq!(got[0]["result"], json!({}));
    let get =
        raw.http.get(&raw.url).header("accept", "text/event-stream").header("mcp-session-id", &session.id);
    let mut stream = get.send().await.expect("a stream");
    world.pass(2);
    world.until(&link.task_id, TaskDocument::is_terminal).await;
    let mut seen = String::new();
    while !seen.contains("/log") {
        let chunk = in_time(stream.chunk()).await.expect("a stream").expect("more");
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(!seen.contains(&format!("\"{}\"", link.uri)), "{seen}");
    let delete = raw.http.delete(&raw.url).header("mcp-session-id", &session.id).send().await;
    assert_eq!(delete.expect("an answer").status(), 204);
    subscribers(&world, 0).await;
    client.close().await;
}
