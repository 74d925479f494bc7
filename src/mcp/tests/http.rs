use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::raw::{Raw, messages};
use super::*;

#[tokio::test]
async fn pages_and_names_from_elsewhere_are_refused() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let port = world.http.address().port();
    let list = || raw.modern("tools/list", json!({}), json!({}));
    for (header, value, status) in [
        ("host", "evil.example".to_owned(), 403),
        ("host", format!("localhost.evil.example:{port}"), 403),
        ("origin", "https://evil.example".to_owned(), 403),
        ("origin", "null".to_owned(), 403),
        ("origin", format!("http://127.0.0.1.evil.example:{port}"), 403),
        ("origin", format!("http://localhost:{port}"), 200),
        ("origin", "http://127.0.0.1:5173".to_owned(), 200),
        ("host", format!("localhost:{port}"), 200),
    ] {
        let answer = list().header(header, &value).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{header}: {value}");
    }
    let metrics = raw.http.get(raw.url.replace("/mcp", "/metrics")).header("host", "evil.example");
    assert_eq!(metrics.send().await.expect("an answer").status(), 403);
    // What a page can send without asking first.
    let simple = raw.http.post(&raw.url).header("content-type", "text/plain").body("{}");
    let simple = simple.header("accept", "application/json, text/event-stream");
    assert_eq!(simple.send().await.expect("an answer").status(), 415);
}

#[tokio::test]
async fn what_is_no_request_is_told_so() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    for (body, status, code, part) in [
        ("{\"jsonrpc\":".to_owned(), 400, (-32700, Value::Null), "line 1"),
        ("\u{0}".to_owned(), 400, (-32700, Value::Null), "JSON"),
        (r#"{"id":4,"method":"a","params":"\ud83d"}"#.to_owned(), 400, (-32700, json!(4)), "surrogate"),
        (
            format!(r#"{{"id":"d","method":"a","params":{}"#, "[".repeat(200)),
            400,
            (-32700, json!("d")),
            "deep",
        ),
        ("[]".to_owned(), 400, (-32600, Value::Null), "batch"),
        (r#"{"jsonrpc":"2.0","id":5,"method":7}"#.to_owned(), 400, (-32600, json!(5)), "\"method\""),
        (r#"{"jsonrpc":"2.0","id":5,"method":"a","error":1}"#.to_owned(), 400, (-32600, json!(5)), "answer"),
        // It names a request of the server's, if any.
        (r#"{"id":6,"result":"\ud83d"}"#.to_owned(), 400, (-32700, Value::Null), "surrogate"),
        (
            format!("\"{}\"", "x".repeat(crate::limits::MAX_REQUEST_BYTES)),
            413,
            (-32600, Value::Null),
            "larger",
        ),
    ] {
        let shown: String = body.chars().take(20).collect();
        let answer = raw.post().body(body).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{shown}");
        let seen = &messages(answer).await[0];
        let error = &seen["error"];
        assert_eq!((&error["code"], seen.get("id")), (&json!(code.0), Some(&code.1)), "{shown}");
        assert!(error["message"].as_str().expect("a message").contains(part), "{error}");
    }
    let session = raw.session().await;
    for method in ["tools/guess", "prompts/list", "prompts/get"] {
        let unknown = session.ask(method, json!({})).await;
        assert_eq!(unknown[0]["error"]["code"], -32601, "{method}");
    }
    let unknown = raw.modern("tools/guess", json!({}), json!({})).send().await.expect("an answer");
    assert_eq!(unknown.status(), 404);
    // Nothing was lost by all that.
    assert!(session.ask("tools/list", json!({})).await[0]["result"]["tools"].is_array());
}

#[tokio::test]
async fn a_client_may_accept_by_ranges_and_call_with_a_slash_at_the_end() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let ask = async |path: &str, accept: Option<&str>| {
        let mut request = raw.modern("tools/list", json!({}), json!({})).build().expect("a request");
        *request.url_mut() = raw.url.replace("/mcp", path).parse().expect("an address");
        request.headers_mut().remove("accept");
        if let Some(accept) = accept {
            request.headers_mut().insert("accept", accept.parse().expect("a header"));
        }
        let answer = raw.http.execute(request).await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    for (path, accept) in [
        ("/mcp", Some("*/*")),
        ("/mcp/", Some("*/*")),
        ("/mcp", Some("application/*;q=0.9, text/event-stream;q=0.1")),
        ("/mcp", None),
        ("/mcp/?links=text", None),
    ] {
        let (status, text) = ask(path, accept).await;
        assert_eq!((status, text.contains("\"tools\"")), (200, true), "{path} {accept:?}: {text}");
    }
    for accept in ["application/json", "text/html", "*/*, text/event-stream;q=0"] {
        let (status, text) = ask("/mcp", Some(accept)).await;
        assert_eq!(
            (status, text.contains("-32600") && text.contains("Accept: ")),
            (406, true),
            "{accept}: {text}"
        );
    }
    for path in ["/", "/sse", "/mcp/x", "/MCP"] {
        let (status, text) = ask(path, Some("*/*")).await;
        assert_eq!((status, text.contains("MCP is at /mcp")), (404, true), "{path}: {text}");
    }
}

/// Its clients also speak the version before it, which had no batches.
#[tokio::test]
async fn the_one_version_with_batches_is_not_agreed_on() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    for (asked, agreed) in [
        ("2025-03-26", "2024-11-05"),
        ("2024-11-05", "2024-11-05"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let params = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let answer = raw.post().body(body.to_string()).send().await.expect("an answer");
        assert_eq!(messages(answer).await[0]["result"]["protocolVersion"], agreed, "{asked}");
    }
    let found = &raw.ask_modern("server/discover", json!({}), json!({})).await[0]["result"];
    assert!(!found["supportedVersions"].to_string().contains("2025-03-26"), "{found}");
    for batch in ["[]", " [{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", "[1]"] {
        let answer = raw.post().body(batch).send().await.expect("an answer");
        assert_eq!(answer.status(), 400);
        let error = &messages(answer).await[0]["error"];
        assert!(error["code"] == -32600 && error["message"].to_string().contains("batch"), "{error}");
    }
}

#[tokio::test]
async fn discovery_tells_who_answers_and_how_long_it_holds() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let found = &raw.ask_modern("server/discover", json!({}), json!({})).await[0]["result"];
    assert_eq!(found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "longhaul");
    assert_eq!(found["cacheScope"], "public");
    assert!(found["ttlMs"].as_u64() > Some(0));
    assert_eq!(found["capabilities"]["resources"], json!({"subscribe": true, "listChanged": true}));
    let tools = &raw.ask_modern("tools/list", json!({}), json!({})).await[0]["result"];
    assert!(tools["ttlMs"].is_u64() && tools["cacheScope"] == "private" && tools["resultType"] == "complete");
    // Sessions know nothing of all that.
    let legacy = &raw.session().await.ask("tools/list", json!({})).await[0]["result"];
    assert!(legacy.get("resultType").is_none());
    assert_eq!(legacy["tools"], tools["tools"]);
}

#[tokio::test]
async fn health_readiness_and_counts() {
    let world = World::new().await;
    let client = world.client(Era::Legacy).await;
    client.call("double", json!({"n": 1}), &CallOptions::default()).await.expect("an answer");
    let raw = Raw::new(&world);
    let get = async |path: &str| {
        let answer = raw.http.get(raw.url.replace("/mcp", path)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    };
    assert_eq!(get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get("/readyz").await, (200, "ready\n".to_owned()));
    let (status, counts) = get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "longhaul_tasks_submitted_total 1",
        "longhaul_tasks_ended_total{state=\"completed\"} 1",
        "longhaul_mcp_sessions 1",
        "longhaul_store_latched 0",
        "# TYPE longhaul_tasks_open gauge",
    ] {
        assert!(counts.lines().any(|there| there == line), "{line} in {counts}");
    }
    client.close().await;
}

#[tokio::test]
async fn a_port_in_use_and_an_address_for_all_are_refused_with_what_to_do() {
    let world = World::new().await;
    let server = || McpServer::new(world.engine.clone(), McpOptions::default());
    let taken = HttpServer::bind(server(), Options::new(world.http.address())).await;
    let seen = taken.err().expect("in use").to_string();
    assert!(seen.contains("in use") && seen.contains("--http"), "{seen}");
    let open = HttpServer::bind(server(), Options::new(SocketAddr::from(([0, 0, 0, 0], 0)))).await;
    assert!(matches!(open, Err(HttpError::Server(ServerError::BeyondLoopback(_)))));
}

#[tokio::test]
async fn a_client_says_what_is_wrong_and_what_to_do() {
    let world = World::new().await;
    let url = world.http.url();
    let failure = async |url: &str| Client::connect(url).await.err().expect("an error");
    assert!(matches!(failure("localhost:1919").await, ClientError::BadUrl { .. }));
    assert!(matches!(failure(&url.replace("/mcp", "/healthz")).await, ClientError::NotMcp { .. }));
    let client = Client::connect(&url).await.expect("a client");
    assert_eq!((client.era(), client.server().expect("a name").0.as_str()), (Era::Modern, "longhaul"));
    let missing = client.read("task://nothing").await.expect_err("an error");
    assert!(matches!(missing, ClientError::NotFound { .. }), "{missing:?}");
    in_time(world.http.shutdown()).await;
    let gone = failure(&url).await;
    assert!(matches!(gone, ClientError::Unreachable { .. }), "{gone:?}");
    assert!(gone.to_string().contains("longhaul serve"), "{gone}");
    let gone = client.tools().await.expect_err("an error");
    assert!(matches!(gone, ClientError::Unreachable { .. }), "{gone:?}");
}

/// What is answered to these bytes: the status of the first line.
async fn status(world: &World, head: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(world.http.address()).await.expect("connected");
    // It may be refused before it was all read.
    let _ = stream.write_all(head).await;
    let mut answer = Vec::new();
    let mut piece = [0; 512];
    while !answer.contains(&b'\r') {
        match in_time(stream.read(&mut piece)).await {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
        }
    }
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_goes_nowhere() {
    let world = World::new().await;
    let port = world.http.address().port();
    for (line, headers, expected) in [
        ("/healthz", format!("Host: localhost:{port}\r\n"), "200"),
        (&*format!("http://localhost:{port}/healthz"), format!("Host: LOCALHOST:{port}\r\n"), "200"),
        ("/healthz", format!("Host: localhost:{port}\r\nHost: evil.example\r\n"), "400"),
        ("/healthz", format!("Host: localhost:{port}\r\nhost: localhost:{port}\r\n"), "400"),
        ("http://evil.example/healthz", format!("Host: localhost:{port}\r\n"), "400"),
        (&*format!("http://localhost:{port}/healthz"), "Host: evil.example\r\n".to_owned(), "400"),
        ("/healthz", "Host: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n".to_owned(), "400"),
        ("/metrics", "Host: localhost\r\nMcp-Name: a\r\nMcp-Name: b\r\n".to_owned(), "400"),
    ] {
        let head = format!("GET {line} HTTP/1.1\r\n{headers}\r\n");
        assert_eq!(status(&world, head.as_bytes()).await, expected, "{head}");
    }
}

#[tokio::test]
async fn the_bound_of_a_head_is_what_the_manual_says() {
    let world = World::new().await;
    let head = |bytes: usize, headers: usize| {
        let mut head = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n".to_owned();
        let left = (bytes - head.len() - 2) / headers;
        for number in 0..headers {
            let name = format!("X-{number}: ");
            head.push_str(&format!("{name}{}\r\n", "v".repeat(left - name.len() - 2)));
        }
        head + "\r\n"
    };
    const BOUND: usize = crate::limits::MAX_REQUEST_HEAD_BYTES;
    for (bytes, headers, expected) in [
        (BOUND / 2, 1, "200"),
        (BOUND - 100, 1, "200"),
        (BOUND - 100, 90, "200"),
        (BOUND + 100, 1, "431"),
        (BOUND + 100, 90, "431"),
        (BOUND * 3 / 2, 4, "431"),
        (BOUND * 2 - 100, 90, "431"),
        (8_192, 120, "431"),
    ] {
        assert_eq!(status(&world, head(bytes, headers).as_bytes()).await, expected, "{bytes} in {headers}");
    }
}
