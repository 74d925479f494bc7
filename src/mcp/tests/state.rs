use super::raw::Raw;
use super::task_tools::{ask, value};
use super::*;
use crate::authority::Secret;
use crate::engine::{StateWrite, TokenGrant};

async fn put(world: &World, namespace: &str, key: &str, value: &str) {
    let write = vec![StateWrite::put(key, value)];
    world.engine.state_write(&Principal::local(), namespace, write).await.expect("written");
}

#[tokio::test]
async fn agents_outside_share_state_by_tools() {
    let world = World::with(McpOptions { state_tools: true, ..McpOptions::default() }).await;
    for (era, namespace) in ERAS.into_iter().zip(["modern", "legacy"]) {
        let client = world.client(era).await;
        let at = |more: Value| {
            let mut arguments = json!({"namespace": namespace, "key": "a/b"});
            arguments.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
            arguments
        };
        assert_eq!(value(ask(&client, "state_get", at(json!({}))).await), json!({"version": 0}));
        let put = at(json!({"value": {"price": 5}, "if_version": 0}));
        assert_eq!(value(ask(&client, "state_put", put.clone()).await), json!({"version": 1}));
        let lost = ask(&client, "state_put", put).await;
        assert!(lost.is_error && lost.text().contains("version 1"), "{}", lost.text());
        assert_eq!(value(ask(&client, "state_put", at(json!({"value": null}))).await), json!({"version": 2}));
        let got = value(ask(&client, "state_get", at(json!({}))).await);
        assert_eq!((&got["value"], &got["version"], &got["by"]), (&json!(null), &json!(2), &json!("local")));
        let listed = value(ask(&client, "state_list", json!({"namespace": namespace, "prefix": "a"})).await);
        assert_eq!(listed["entries"][0]["key"], "a/b");
        assert_eq!(listed["entries"].as_array().map(Vec::len), Some(1));
        let stale = ask(&client, "state_delete", at(json!({"if_version": 1}))).await;
        assert!(stale.is_error, "{}", stale.text());
        assert_eq!(value(ask(&client, "state_delete", at(json!({}))).await), json!({"version": 3}));
        let wrong = ask(&client, "state_get", json!({"namespace": "No Name", "key": "a"})).await;
        assert!(wrong.is_error && wrong.text().contains("namespace"), "{}", wrong.text());
        client.close().await;
    }
}

#[tokio::test]
async fn state_tools_are_listed_only_where_the_operator_says_so() {
    let world = World::new().await;
    let client = world.client(Era::Modern).await;
    let listed = client.tools().await.expect("tools");
    assert!(listed.iter().all(|tool| !tool.name.starts_with("state_")));
    client.close().await;
}

#[tokio::test]
async fn an_entry_is_a_resource_with_subscribers() {
    let world = World::new().await;
    for (era, key) in ERAS.into_iter().zip(["é/1", "é/2"]) {
        let client = world.client(era).await;
        let uri = crate::api::state_uri("trips", key);
        assert!(matches!(client.read(&uri).await, Err(ClientError::NotFound { .. })));
        // Also what is not there yet.
        let mut changes = client.watch(std::slice::from_ref(&uri)).await.expect("watched");
        put(&world, "trips", "another", "1").await;
        put(&world, "trips", key, "{\"a\":1}").await;
        assert_eq!(in_time(changes.next()).await.expect("told"), uri);
        let read = client.read(&uri).await.expect("an entry");
        let entry: Value = serde_json::from_str(read.text().expect("text")).expect("JSON");
        assert_eq!(
            (&entry["value"], &entry["version"], &entry["by"]),
            (&json!({"a": 1}), &json!(1), &json!("local"))
        );
        assert!(entry["updated_at"].is_string());
        let delete = vec![StateWrite::delete(key)];
        world.engine.state_write(&Principal::local(), "trips", delete).await.expect("deleted");
        assert_eq!(in_time(changes.next()).await.expect("told"), uri);
        client.close().await;
    }
}

/// A slow reader gets fewer notifications than there were writes, and none is the last one's loss.
#[tokio::test]
async fn a_watcher_sees_the_last_value_and_none_before_its_commit() {
    let world = World::new().await;
    let client = world.client(Era::Modern).await;
    let uri = crate::api::state_uri("n", "k");
    let mut changes = client.watch(std::slice::from_ref(&uri)).await.expect("watched");
    for number in 1..=200 {
        put(&world, "n", "k", &number.to_string()).await;
    }
    let last = async {
        loop {
            changes.next().await.expect("told");
            let read = client.read(&uri).await.expect("an entry");
            let entry: Value = serde_json::from_str(read.text().expect("text")).expect("JSON");
            assert_eq!(entry["value"], entry["version"]);
            if entry["version"] == 200 {
                return;
            }
        }
    };
    in_time(last).await;
    client.close().await;
}

#[tokio::test]
async fn namespaces_and_keys_complete() {
    let world = World::new().await;
    for (namespace, key) in [("trips", "paris"), ("trips", "prague"), ("tables", "one")] {
        put(&world, namespace, key, "1").await;
    }
    let raw = Raw::new(&world);
    let complete = async |argument: &str, value: &str| {
        let params = json!({
            "ref": {"type": "ref/resource", "uri": "state://{namespace}/{key}"},
            "argument": {"name": argument, "value": value},
            "context": {"arguments": {"namespace": "trips"}},
        });
        let got = raw.ask_modern("completion/complete", params, json!({})).await;
        got[0]["result"]["completion"]["values"].clone()
    };
    assert_eq!(complete("namespace", "t").await, json!(["tables", "trips"]));
    assert_eq!(complete("key", "pr").await, json!(["prague"]));
}

#[tokio::test]
async fn a_token_reads_and_watches_what_it_is_granted_and_the_rest_looks_like_nothing() {
    let world = World::new().await;
    let state = vec!["trips/eu-*:read".to_owned()];
    let grant = TokenGrant { name: "ann".to_owned(), state, ..TokenGrant::default() };
    let token = world.engine.new_token(&Principal::local(), grant).await.expect("a token");
    for key in ["eu-1", "us-1"] {
        put(&world, "trips", key, "1").await;
    }
    for era in ERAS {
        let token = Some(Secret::new(token.clone()));
        let options =
            ClientOptions { url: world.http.url(), era: Some(era), token, ..ClientOptions::default() };
        let client = Client::connect_with(options).await.expect("a client");
        let (granted, foreign) = ("state://trips/eu-1".to_owned(), "state://trips/us-1".to_owned());
        assert!(client.read(&granted).await.is_ok());
        assert!(matches!(client.read(&foreign).await, Err(ClientError::NotFound { .. })));
        assert!(client.watch(std::slice::from_ref(&foreign)).await.is_err());
        let mut changes = client.watch(std::slice::from_ref(&granted)).await.expect("watched");
        put(&world, "trips", "eu-1", "2").await;
        assert_eq!(in_time(changes.next()).await.expect("told"), granted);
        let arguments = json!({"namespace": "trips", "key": "eu-1", "value": 3});
        let denied = client.call("state_put", arguments, &CallOptions::default()).await.expect("an answer");
        assert!(denied.is_error && denied.text().contains("--state"), "{}", denied.text());
        client.close().await;
    }
}
