use rmcp::model::*;
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, PeerRequestOptions};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::mcp::transport::stdio::serve_pipes;

/// Serves one client over pipes; the client's end comes back.
pub(super) fn served(
    world: &World,
    stop: CancellationToken,
) -> (UnixStream, tokio::task::JoinHandle<Result<(), StdioError>>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let server = McpServer::new(world.engine.clone(), McpOptions::default());
    let reader = Reader::of(&ours);
    let serving = tokio::spawn(serve_pipes(server, ours.into_split(), reader, stop));
    (theirs, serving)
}

pub(super) fn lifecycle(era: Era) -> ClientLifecycleMode {
    match era {
        Era::Modern => {
            ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
        }
        Era::Legacy => ClientLifecycleMode::Initialize,
    }
}

pub(super) fn inline_call(stages: u64) -> (ClientRequest, PeerRequestOptions) {
    let mut params = CallToolRequestParams::new("stages");
    params.arguments = json!({"stages": stages}).as_object().cloned();
    let mut meta = RequestMetaObject::new();
    meta.insert("longhaul/reply".to_owned(), json!("inline"));
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
    (request, PeerRequestOptions::no_options().with_meta(meta))
}

#[tokio::test]
async fn over_pipes_both_protocols_work_and_a_client_that_goes_ends_no_task() {
    for era in ERAS {
        let world = World::new().await;
        let (pipe, serving) = served(&world, CancellationToken::new());
        let client = ().serve_with_lifecycle(pipe, lifecycle(era)).await.expect("a client");
        world.pass(1);
        let (request, options) = inline_call(1);
        let answer = client.peer().send_request_with_option(request, options).await.expect("sent");
        let ServerResult::CallToolResult(result) = in_time(answer.await_response()).await.expect("an answer")
        else {
            panic!("no tool result")
        };
        assert_eq!(result.structured_content, Some(json!({"done": 1})));

        let (request, options) = inline_call(2);
        let _waiting = client.peer().send_request_with_option(request, options).await.expect("sent");
        let id = world.open_tasks(1).await.remove(0);
        in_time(client.cancel()).await.expect("closed");
        // It does not wait for the task, which outlives it.
        let served = tokio::time::timeout(Duration::from_secs(3), serving).await.expect("at once");
        served.expect("no panic").expect("served");
        world.pass(2);
        assert_eq!(world.until(&id, TaskDocument::is_terminal).await.state, "completed", "{era:?}");
    }
}

#[tokio::test]
async fn over_pipes_an_explicit_cancellation_cancels_under_2026_07_28() {
    let world = World::new().await;
    let (pipe, serving) = served(&world, CancellationToken::new());
    let client = ().serve_with_lifecycle(pipe, lifecycle(Era::Modern)).await.expect("a client");
    let (request, options) = inline_call(1);
    let waiting = client.peer().send_request_with_option(request, options).await.expect("sent");
    let id = world.open_tasks(1).await.remove(0);
    world.until(&id, |task| task.state == "running").await;
    waiting.cancel(None).await.expect("sent");
    assert_eq!(world.until(&id, TaskDocument::is_terminal).await.state, "cancelled");
    in_time(client.cancel()).await.expect("closed");
    in_time(serving).await.expect("no panic").expect("served");
}

#[tokio::test]
async fn told_to_stop_it_answers_what_waits() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let (pipe, serving) = served(&world, stop.clone());
    let client = ().serve_with_lifecycle(pipe, lifecycle(Era::Legacy)).await.expect("a client");
    let (request, options) = inline_call(1);
    let waiting = client.peer().send_request_with_option(request, options).await.expect("sent");
    let id = world.open_tasks(1).await.remove(0);
    stop.cancel();
    let ServerResult::CallToolResult(result) = in_time(waiting.await_response()).await.expect("an answer")
    else {
        panic!("no tool result")
    };
    assert_eq!(result.structured_content.expect("structured")["task_id"], json!(id));
    in_time(serving).await.expect("no panic").expect("served");
}

#[tokio::test]
async fn over_pipes_a_listener_is_told_of_tasks_by_their_ids() {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let world = World::new().await;
    let foreign = world.foreign_task().await;
    let (pipe, serving) = served(&world, CancellationToken::new());
    let (read, mut write) = tokio::io::split(pipe);
    let mut lines = BufReader::new(read).lines();
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "extensions": { "io.modelcontextprotocol/tasks": {} } },
        "longhaul/reply": "link",
    });
    let mut ask = async |id: u64, method: &str, mut params: Value| {
        params["_meta"] = meta.clone();
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        write.write_all(format!("{request}\n").as_bytes()).await.expect("written");
        let line = in_time(lines.next_line()).await.expect("read").expect("a line");
        serde_json::from_str::<Value>(&line).expect("JSON")
    };
    let created = ask(1, "tools/call", json!({ "name": "stages", "arguments": { "stages": 1 } })).await;
    let id = created["result"]["taskId"].as_str().expect("a task").to_owned();
    let wanted =
        json!({ "taskIds": [id, foreign.to_string()], "resourceSubscriptions": ["task://nonsense"] });
    let seen = ask(2, "subscriptions/listen", json!({ "notifications": wanted })).await;
    assert_eq!(seen["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(seen["params"]["notifications"], json!({ "taskIds": [id] }));
    assert_eq!(seen["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 2);
    // One for the foreign task.
    world.pass(2);
    loop {
        let line = in_time(lines.next_line()).await.expect("read").expect("a line");
        let seen: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&seen["method"], &seen["params"]["taskId"]), (&json!("notifications/tasks"), &json!(id)));
        if seen["params"]["status"] == "completed" {
            break;
        }
    }
    drop((lines, write));
    in_time(serving).await.expect("no panic").expect("served");
}
