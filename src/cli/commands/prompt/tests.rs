use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::follower::Event;
use super::*;
use crate::catalog::ToolDefinition;
use crate::cli::client::servers::Server;
use crate::cli::config::{Overrides, Settings};
use crate::cli::show::render::Output;
use crate::engine::closures::{Closures, Steps};
use crate::engine::questions::{Answer, Ask};
use crate::engine::{EngineOptions, TaskEngine};
use crate::launch::{Launch, Programs};
use crate::mcp::{HttpServer, McpOptions, McpServer};
use crate::task::{By, ToolResult};
use crate::walls::Standing;

/// A server whose tool `books` asks for two fields and hands the answer back.
async fn serve(folder: &std::path::Path) -> (TaskEngine, HttpServer) {
    let form = json!({
        "type": "object",
        "properties": { "confirm": { "type": "boolean" }, "notes": { "type": "string" } },
        "required": ["confirm"],
    });
    let tools = Closures::new().tool(
        ToolDefinition::new("books", "Asks first.", json!({ "type": "object" })),
        "1",
        move |steps: Steps, _: Value| {
            let schema = form.to_string();
            async move {
                let ask = Ask::Form { message: "Book it?".to_owned(), schema };
                let asking = steps.ask(Some("price"), By::Person, ask, Duration::from_secs(60))?;
                Ok(ToolResult::text(match steps.answer(asking).await? {
                    Answer::Accept(content) => format!("booked {content}"),
                    other => format!("not booked: {other:?}"),
                }))
            }
        },
    );
    let catalog = tools.catalog().expect("a catalog");
    let engine = TaskEngine::open(folder, Arc::new(tools), EngineOptions::default()).await.expect("opened");
    engine.set_catalog(Arc::new(catalog));
    engine.start().await.expect("started");
    let server = McpServer::new(engine.clone(), McpOptions::default());
    let http = HttpServer::bind(server, crate::http::Options::new(([127, 0, 0, 1], 0).into()))
        .await
        .expect("listens");
    (engine, http)
}

fn context(folder: &std::path::Path) -> Context {
    let overrides = Overrides { data: Some(folder.to_owned()), ..Overrides::default() };
    let settings = Settings::load(overrides, |_| None, folder).expect("settings");
    Context {
        settings,
        output: Output { json: true, terminal: false },
        data_named: true,
        token: None,
        certificates: Vec::new(),
        launch: Launch::here(Programs::new()),
        secrets: Default::default(),
        walls: Standing::default(),
    }
}

fn client<'a>(context: &'a Context, http: &HttpServer) -> (Client<'a>, mpsc::Receiver<Event>) {
    let (events, seen) = mpsc::channel(limits::MAX_CLIENT_EVENTS);
    let client = Client {
        context,
        servers: vec![Server::new(&http.url(), None, true, context)],
        memory: Memory::in_folder(&context.data().join("state")),
        followed: Vec::new(),
        events,
        form: None,
        is_person: true,
        screen: Screen { terminal: false, prompted: false },
    };
    (client, seen)
}

/// Takes what followers tell until it has come so far.
async fn until(
    client: &mut Client<'_>,
    seen: &mut mpsc::Receiver<Event>,
    so_far: impl Fn(&Client<'_>) -> bool,
) {
    while !so_far(client) {
        let event = tokio::time::timeout(Duration::from_secs(30), seen.recv()).await.expect("in time");
        client.event(event.expect("an event")).expect("taken");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_asked_at_the_prompt_and_by_the_next_client_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, http) = serve(folder.path()).await;
    let context = context(folder.path());
    let (mut first, mut seen) = client(&context, &http);
    first.line("books").await.expect("called");
    until(&mut first, &mut seen, |client| client.form.is_some()).await;
    first.line("perhaps").await.expect_err("it is neither yes nor no");
    first.line("yes").await.expect("taken");
    // It ends in the middle of the form.
    let remembered = first.memory.entries().expect("read");
    assert_eq!(remembered.len(), 1);
    drop((first, seen));

    let (mut second, mut seen) = client(&context, &http);
    second.take_up(remembered);
    until(&mut second, &mut seen, |client| client.form.is_some()).await;
    second.line(":later").await.expect("put off");
    assert!(second.form.is_none() && second.is_attached());
    second.line("answer").await.expect("asked again");
    for line in ["no", "some other time"] {
        second.line(line).await.expect("taken");
    }
    assert!(second.form.is_none());
    until(&mut second, &mut seen, |client| client.followed.is_empty()).await;
    assert_eq!(second.memory.entries(), Ok(Vec::new()));
    let local = crate::authority::Principal::local();
    let page = engine.tasks(&local, &Default::default()).await.expect("a page");
    assert_eq!(page.tasks.len(), 1);
    let task = engine.task(&local, page.tasks[0].id).await.expect("a task");
    assert_eq!(task.state.name(), "completed");
    assert_eq!(task.answered[0].by.channel, "mcp");
    http.shutdown().await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_one_line_and_one_that_comes_too_late() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, http) = serve(folder.path()).await;
    let context = context(folder.path());
    let ((mut one, mut seen), (mut other, mut told_other)) =
        (client(&context, &http), client(&context, &http));
    one.line("books").await.expect("called");
    until(&mut one, &mut seen, |client| client.form.is_some()).await;
    other.take_up(one.memory.entries().expect("read"));
    until(&mut other, &mut told_other, |client| client.form.is_some()).await;
    assert!(one.detach(), "the form is left with the task");
    one.line("answer confirm=perhaps").await.expect_err("no boolean");
    one.line("answer --key nonsense --decline").await.expect_err("no such question");
    one.line("answer confirm=true").await.expect("answered");
    until(&mut one, &mut seen, |client| client.followed.is_empty()).await;
    until(&mut other, &mut told_other, |client| client.followed.is_empty()).await;
    assert!(other.form.is_none(), "it is not open any more");
    http.shutdown().await;
    engine.shutdown().await;
}
