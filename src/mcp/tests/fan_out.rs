//! Many subscribers, some of whom never read: nothing waits for them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::raw::{Events, Raw};
use super::*;

const SUBSCRIBERS: usize = 200;
const DEAF: usize = 20;

/// A listener that reads its acknowledgment, and from then on only what it is made to.
async fn listener(world: &World, uri: &str) -> TcpStream {
    let address = world.http.address();
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let params = json!({
        "notifications": {"resourceSubscriptions": [uri]},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    });
    let body =
        json!({"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen", "params": params}).to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: subscriptions/listen\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.expect("sent");
    until(&mut stream, "acknowledged").await;
    stream
}

async fn until(stream: &mut TcpStream, part: &str) {
    let (mut read, mut buffer) = (String::new(), [0; 2048]);
    let reading = async {
        while !read.contains(part) {
            let count = stream.read(&mut buffer).await.expect("a stream");
            assert!(count > 0, "the end, behind {read}");
            read.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    in_time(reading).await;
}

#[tokio::test]
async fn one_update_reaches_all_who_read_whatever_the_others_do() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    let answer = session.ask("tools/call", json!({"name": "stages", "arguments": {"stages": 300}})).await;
    let link = &answer[0]["result"]["structuredContent"];
    let (uri, id) = (link["uri"].as_str().expect("a URI"), link["task_id"].as_str().expect("an id"));
    session.ask("resources/subscribe", json!({"uri": uri})).await;
    let mut of_session = Events::of(session.get(None).await);
    let mut listeners = Vec::new();
    for _ in 0..SUBSCRIBERS {
        listeners.push(listener(&world, uri).await);
    }
    let deaf = listeners.split_off(SUBSCRIBERS - DEAF);
    // More than the buffers of those who never read could hold, were it not sent as one.
    world.pass(300);
    let task = super::until(&world.engine, id, TaskDocument::is_terminal).await;
    assert_eq!(task.state, "completed");
    for listener in &mut listeners {
        until(listener, uri).await;
    }
    while of_session.next().await.expect("an update").message["params"]["uri"] != uri {}
    assert!(world.engine.feed().subscribers() > SUBSCRIBERS);
    drop((deaf, listeners, of_session));
    let waiting = async {
        while world.engine.feed().subscribers() > 1 {
            tokio::task::yield_now().await;
        }
    };
    in_time(waiting).await;
}
