//! Components that are added to a running server, or to a store that none has open.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Server, answer_of, command, export, install};

fn component(folder: &Path, number: u32) -> std::path::PathBuf {
    let core = format!(r#"(func (export "run") (result i32) i32.const {number})"#);
    install(folder, "number", &export("number", "(result u32)", &core), "[tools.number]\nreply = \"inline\"")
}

async fn number(server: &Server) -> Value {
    server.client().structured("number", json!({})).await["result"].clone()
}

#[tokio::test]
async fn what_is_added_is_served_at_once_and_after_a_restart_without_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, tools) = (folder.path().join("data"), folder.path().join("tools"));
    fs::create_dir(&tools).expect("made");
    let path = component(&tools, 7);
    let path = path.to_str().expect("text");
    let server = Server::start(&data, &[]);
    let added = server.longhaul(&["tool", "add", path]);
    assert_eq!((&added["name"], &added["state"]), (&json!("number"), &json!("ready")));
    assert_eq!(number(&server).await, 7);
    let again = command(&data, &["tool", "add", path]).output().expect("it runs");
    assert_eq!(again.status.code(), Some(4), "there is one of that name");
    // No model and no client of MCP does it, but the owner.
    let refused = server.owner().call("tool_add", json!({ "path": path }), json!({})).await;
    assert!(refused.is_err(), "{refused:?}");
    server.stop();
    fs::remove_dir_all(&tools).expect("removed");
    let server = Server::start(&data, &[]);
    assert_eq!(number(&server).await, 7);

    fs::create_dir(&tools).expect("made");
    component(&tools, 8);
    let updated = server.longhaul(&["tool", "update", "number"]);
    assert_ne!(updated["component"], added["component"]);
    assert_eq!((updated["state"].clone(), number(&server).await), (json!("ready"), json!(8)));
    server.stop();
    let server = Server::start(&data, &[]);
    assert_eq!(number(&server).await, 8);
    server.longhaul(&["tool", "remove", "number"]);
    let gone = server.client().call("number", json!({}), json!({})).await;
    assert!(gone.is_err(), "{gone:?}");
    server.stop();
    let server = Server::start(&data, &[]);
    let gone = server.client().call("number", json!({}), json!({})).await;
    assert!(gone.is_err(), "{gone:?}");
    let missing = command(&data, &["tool", "remove", "number"]).output().expect("it runs");
    assert_eq!(missing.status.code(), Some(3));
}

#[tokio::test]
async fn what_is_added_without_a_server_is_looked_at_by_the_next_start_and_a_change_of_it_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, tools) = (folder.path().join("data"), folder.path().join("tools"));
    fs::create_dir(&tools).expect("made");
    let path = component(&tools, 7);
    let added = answer_of(command(&data, &["tool", "add", path.to_str().expect("text")]));
    assert_eq!((&added["name"], &added["state"]), (&json!("number"), &Value::Null));
    let config = folder.path().join("none.toml");
    fs::write(&config, "").expect("written");
    let server = Server::start_granted(&data, &[], &config);
    assert_eq!(number(&server).await, 7);
    component(&tools, 8);
    let updated = server.longhaul(&["tool", "update", "number"]);
    assert_eq!(updated["state"], "waits_for_approval", "{updated}");
    // What was approved goes on, here and after a restart, and is what `tool revoke` takes away.
    assert_eq!(number(&server).await, 7);
    drop(server);
    let server = Server::start_granted(&data, &[], &config);
    assert!(server.said().contains("number is served until then as what was approved"), "{}", server.said());
    let states = |server: &Server| {
        let listed = server.longhaul(&["tool", "list"])["components"].clone();
        let states = listed.as_array().expect("a list").iter().map(|component| component["state"].clone());
        states.collect::<Vec<_>>()
    };
    assert_eq!(
        (states(&server), number(&server).await),
        (vec![json!("ready"), json!("waits_for_approval")], json!(7))
    );
    server.longhaul(&["tool", "revoke", "number"]);
    let waits = server.client().call("number", json!({}), json!({})).await;
    assert!(format!("{waits:?}").contains("longhaul tool approve number"), "{waits:?}");
    drop(server);
    let server = Server::start_granted(&data, &[], &config);
    assert_eq!(states(&server), [json!("waits_for_approval")]);
    server.longhaul(&["tool", "remove", "number"]);
    assert!(states(&server).is_empty(), "both versions are gone");
}
