//! What tools say is shown in full at every door, and data stays as it is.

use super::raw::{Raw, messages};
use super::*;
use crate::catalog::find_hidden;
use crate::engine::questions::{Answer, Ask};
use crate::task::{By, Content, EmbeddedBody};

/// Of each kind of the list one, in a text that is otherwise plain.
const SAID: &str = "a\u{1b}[2Jb\u{9b}31mc\u{202e}d\u{e0041}e\u{2066}f\u{200b}g\u{e0101}h\u{feff}i\u{7f}";
/// What must not be objected to.
const PLAIN: &str = "Grüße 👩‍💻 ❤️ می\u{200c}خواهم שלום 日本";

fn says() -> Closures {
    let anything = json!({"type": "object"});
    let inline = |name| definition(name, Reply::Inline, anything.clone(), None);
    Closures::new()
        .tool(inline("says"), "1", |steps: Steps, _| async move {
            let name = format!("draft {SAID}").replace(char::is_control, "");
            steps.output(OutputOp::Write { name: &name, mime_type: "text/plain", data: SAID.as_bytes() }).await?;
            steps.line(LogLevel::Info, SAID)?;
            steps.log(SAID)?;
            steps.progress(1, Some(2), Some(&format!("{SAID} {PLAIN}")))?;
            let link = Content::Link {
                uri: "x:y".to_owned(),
                name: SAID.to_owned(),
                title: Some(SAID.to_owned()),
                description: Some(SAID.to_owned()),
                mime_type: None,
            };
            let embedded = |mime_type: &str, text: &str| Content::Embedded {
                uri: "x:z".to_owned(),
                mime_type: Some(mime_type.to_owned()),
                body: EmbeddedBody::Text(text.to_owned()),
            };
            let data = json!({"text": SAID});
            let content = vec![
                Content::Text(format!("{SAID} {PLAIN}")),
                Content::Text(data.to_string()),
                link,
                embedded("text/markdown", SAID),
                embedded("application/x-data", SAID),
            ];
            Ok(ToolResult { content, structured: Some(data.to_string()), is_error: false })
        })
        .tool(inline("fails"), "1", |_: Steps, _| async { Err(StepError::Tool(SAID.to_owned())) })
        .tool(inline("traps"), "1", |_: Steps, arguments: Value| {
            let crashes = arguments["crashes"] != false;
            async move { if crashes { panic!("{SAID}") } else { Ok(ToolResult::text("well")) } }
        })
        .tool(inline("asks"), "1", |steps: Steps, _| async move {
            let schema = json!({"type": "object", "properties": {
                format!("way{SAID}"): {"type": "string", "enum": [format!("by {SAID}"), "by rail"], "title": SAID, "description": SAID},
            }});
            let ask = Ask::Form { message: format!("{SAID} {PLAIN}"), schema: schema.to_string() };
            let asking = steps.ask(Some("q"), By::Any, ask, Duration::from_secs(60))?;
            let structured = match steps.answer(asking).await? {
                Answer::Accept(content) => content,
                other => json!({ "other": format!("{other:?}") }).to_string(),
            };
            Ok(ToolResult { structured: Some(structured), ..ToolResult::default() })
        })
}

async fn world() -> World {
    let (folder, gate) = (tempfile::tempdir().expect("a folder"), Arc::new(Semaphore::new(0)));
    let closures = says();
    let catalog = Arc::new(closures.catalog().expect("a catalog"));
    let engine = TaskEngine::open(folder.path(), Arc::new(closures), EngineOptions::default()).await;
    let engine = engine.expect("an engine");
    engine.set_catalog(catalog);
    engine.start().await.expect("a start");
    let server = McpServer::new(engine.clone(), McpOptions::default());
    let http = HttpServer::bind(server, Options::new(loopback())).await.expect("a server");
    World { folder, engine, http, gate }
}

/// No text of it hides anything.
fn shows(what: &str, value: &Value) {
    let hidden = match value {
        Value::String(text) => {
            find_hidden(&text.replace(PLAIN, "")).map(|hidden| format!("{hidden}: {text:?}"))
        }
        Value::Array(items) => return items.iter().for_each(|item| shows(what, item)),
        Value::Object(fields) => {
            fields.values().for_each(|field| shows(what, field));
            fields.keys().find_map(|name| find_hidden(name)).map(|hidden| hidden.to_string())
        }
        _ => None,
    };
    assert_eq!(hidden, None, "{what}: {value}");
}

async fn call(raw: &Raw, tool: &str, arguments: Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments});
    let meta = json!({"progressToken": "p", "io.modelcontextprotocol/logLevel": "debug"});
    raw.ask_modern("tools/call", params, meta).await.into()
}

#[tokio::test]
async fn results_reports_logs_and_names_hide_nothing_and_data_stays() {
    let world = world().await;
    let raw = Raw::new(&world);
    let mut answer = call(&raw, "says", json!({})).await;
    let all = answer.as_array_mut().expect("messages");
    assert!(all.len() > 1, "progress and logs are told: {all:?}");
    let result = all.last_mut().expect("a result")["result"].take();
    shows("reports", &answer);
    assert!(answer.to_string().contains("می"), "plain text stays: {answer}");
    assert_eq!(result["structuredContent"], json!({"text": SAID}));
    let content = result["content"].as_array().expect("content");
    content[..4].iter().for_each(|block| shows("a result", block));
    assert!(content[0]["text"].as_str().expect("text").ends_with(PLAIN), "{}", content[0]);
    let data: Value = serde_json::from_str(content[1]["text"].as_str().expect("text")).expect("JSON");
    assert_eq!(data, json!({"text": SAID}), "JSON as text keeps its value");
    assert_eq!(content[4]["resource"]["text"], SAID, "what is no text is data");

    let id = result["_meta"]["longhaul/task"].as_str().expect("an id").to_owned();
    let status = call(&raw, "task_status", json!({"task_id": id})).await;
    shows("a document", &status);
    let outputs = &status[0]["result"]["structuredContent"]["outputs"][0];
    let (name, uri) = (outputs["name"].as_str().expect("a name"), outputs["uri"].as_str().expect("a URI"));
    assert!(name.contains("\\u{202e}"), "{name}");
    // The name as it was shown leads to the output, and its bytes are data.
    let output = call(&raw, "task_output", json!({"task_id": id, "name": name})).await;
    assert_eq!(output[0]["result"]["structuredContent"]["text"], SAID);
    shows("an output's text", &output[0]["result"]["content"]);
    let log = call(&raw, "task_output", json!({"task_id": id, "name": "log"})).await;
    shows("the log", &log);
    let read = async |uri: &str| {
        let read = raw.ask_modern("resources/read", json!({"uri": uri}), json!({})).await.remove(0);
        read["result"]["contents"][0]["text"].as_str().expect("text").to_owned()
    };
    assert_eq!(read(uri).await, SAID);
    for place in ["", "/log", "/result"] {
        shows(place, &json!(read(&format!("task://{id}{place}")).await));
    }
    shows("a list", &raw.ask_modern("resources/list", json!({}), json!({})).await.into());
    let legacy = raw.session().await.ask("tools/call", json!({"name": "task_list", "arguments": {}})).await;
    shows("a session", &legacy.into());
}

#[tokio::test]
async fn errors_hide_nothing_whoever_said_it() {
    let world = world().await;
    let raw = Raw::new(&world);
    for tool in ["fails", "traps"] {
        let answer = call(&raw, tool, json!({})).await;
        shows(tool, &answer);
        let text = answer.to_string();
        assert!(text.contains("u{202e}") && text.contains("u{e0041}"), "{tool}: {text}");
    }
    for (name, arguments) in
        [(SAID, json!({})), ("task_status", json!({"task_id": SAID})), ("task_list", json!({"cursor": SAID}))]
    {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": name, "arguments": arguments}});
        let session = raw.session().await;
        let answer = session.post().body(body.to_string()).send().await.expect("an answer");
        let seen = messages(answer).await.remove(0);
        shows(name, &json!([seen["error"]["message"], seen["result"]]));
    }
}

#[tokio::test]
async fn what_a_person_is_to_approve_is_what_they_see() {
    let world = world().await;
    let raw = Raw::new(&world);
    let params = json!({"name": "asks", "arguments": {}, "_meta": {"longhaul/reply": "link"}});
    let link = raw.session().await.ask("tools/call", params).await;
    shows("a link", &link.clone().into());
    let id = link[0]["result"]["structuredContent"]["task_id"].as_str().expect("an id").to_owned();
    let document = world.until(&id, |task| !task.input_requests.is_empty()).await;
    let question = serde_json::to_value(&document.input_requests["q"]).expect("JSON");
    shows("a question", &question);
    assert!(question["message"].as_str().expect("a message").ends_with(PLAIN), "{question}");
    let (field, schema) =
        question["schema"]["properties"].as_object().expect("fields").iter().next().expect("one");

    // The same question, as a client is asked it.
    let session = raw.session_with(json!({"elicitation": {}})).await;
    let calls = json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "asks", "arguments": {}}});
    let stream = session.post().body(calls.to_string()).send().await.expect("a stream");
    let mut events = super::raw::Events::of(stream);
    let asked = loop {
        let event = events.next().await.expect("an event").message;
        if event["method"] == "elicitation/create" {
            break event;
        }
    };
    shows("an elicitation", &asked);

    // An answer in the words that were shown is one in the tool's own.
    let content = json!({field.as_str(): schema["enum"][0]});
    let arguments = json!({"task_id": id, "action": "accept", "content": content});
    let answered =
        raw.ask_modern("tools/call", json!({"name": "task_answer", "arguments": arguments}), json!({})).await;
    assert_eq!(answered[0]["result"]["isError"], false, "{answered:?}");
    world.until(&id, TaskDocument::is_terminal).await;
    let result = call(&raw, "task_result", json!({"task_id": id})).await;
    let given = &result[0]["result"]["structuredContent"];
    assert_eq!(given, &json!({format!("way{SAID}"): format!("by {SAID}")}), "{result}");
}
