//! Bytes that a stream into a file has taken are written where the guest asks for that, and where it comes to what it could not
//! do it after: a wait, a checkpoint, its end.

use std::fs;

use serde_json::json;

use crate::support::{Server, Web, guest};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_has_taken_is_written_before_a_wait_a_checkpoint_and_the_end() {
    for isolate in ["none", "process"] {
        let root = tempfile::tempdir().expect("a folder");
        let path = |name: &str| root.path().join(name);
        for folder in ["tools", "out"] {
            fs::create_dir(path(folder)).expect("a folder");
        }
        fs::copy(guest("unflushed"), path("tools/unflushed.wasm")).expect("a copy");
        let web = Web::start();
        let config = format!(
            "[engine]\nisolate = {isolate:?}\n[grants.unflushed]\nhttp = [{:?}]\n\
             files = [{{ slot = \"out\", at = \"/out\", access = \"write\", path = {:?} }}]\n",
            web.url(""),
            path("out")
        );
        fs::write(path("longhaul.toml"), config).expect("a configuration");
        let server = Server::start_granted_with(&path("data"), &[path("tools")], &path("longhaul.toml"), &[]);
        let client = server.client();
        let written = |name: &str| fs::read_to_string(path("out").join(name)).unwrap_or_default();

        let id = client.start("unflushed", json!({ "nap_ms": 3_600_000 }), None).await.expect("a task");
        client.until(&id, |document| document["state"] == "waiting").await;
        assert_eq!(written("slept"), "slept", "{isolate}");
        client.structured("task_cancel", json!({ "task_id": id })).await;

        let id = client.start("unflushed", json!({ "nap_ms": 0 }), None).await.expect("a task");
        let document = client.ended(&id).await.expect("an end");
        assert_eq!(document["state"], "completed", "{isolate}: {document} {}", server.said());
        for name in ["slept", "saved", "ended"] {
            assert_eq!(written(name), name, "{isolate}");
        }

        let sends_to = format!("127.0.0.1:{}", web.port);
        let arguments = json!({ "nap_ms": 0, "sends_to": sends_to });
        let id = client.start("unflushed", arguments, None).await.expect("a task");
        let document = client.ended(&id).await.expect("an end");
        assert_eq!(document["reason"], "trap", "{isolate}: {document}");
        assert_eq!(written("sent"), "sent", "{isolate}");
    }
}
