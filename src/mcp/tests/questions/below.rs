//! What a task's child asks, asked on the task's own call.

use super::*;

fn through(tool: &str) -> Value {
    json!({"tool": tool})
}

/// The only child of the task.
async fn child_of(world: &World, id: &str) -> String {
    let id = id.parse().expect("an id");
    let task = world.engine.task(&Principal::local(), id).await.expect("a task");
    let [child] = task.children.as_slice() else { panic!("{:?}", task.children) };
    child.to_string()
}

#[tokio::test]
async fn a_session_is_asked_what_a_child_asks() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session_with(json!({"elicitation": {}, "sampling": {}})).await;
    let mut stream = session.call("calls", through("asks")).await;
    let asked = stream.next().await;
    let (id, child) = {
        let open = world.open_tasks(2).await;
        let (mut children, mut parents) = (Vec::new(), Vec::new());
        for id in open {
            let task = world.engine.task(&Principal::local(), id.parse().expect("an id")).await;
            let is_child = task.expect("a task").parent.is_some();
            if is_child { &mut children } else { &mut parents }.push(id);
        }
        (parents[0].clone(), children[0].clone())
    };
    let params = &asked["params"];
    assert_eq!(params["message"], "Question 1?\n\n[asks, asks@1]", "{asked}");
    assert_eq!(
        (&params["_meta"]["longhaul/task"], &params["_meta"]["longhaul/tool"]),
        (&json!(child), &json!("asks"))
    );

    // The parent waits for its child, and tells what that one asks.
    let task = world.until(&id, |task| task.state == "waiting").await;
    assert_eq!(task.reason.as_deref(), Some("child"));
    let request = &task.input_requests[&format!("{child}:q1")];
    assert_eq!((request.task.as_ref(), request.tool.as_str()), (Some(&child), "asks"));
    session.reply(&asked, accepted(true)).await;
    assert_eq!(text(&stream.next().await), "{\"confirm\":true}");
    let by = world.until(&child, TaskDocument::is_terminal).await.questions_answered;
    assert_eq!((by[0].key.as_str(), by[0].answered_by.channel.as_str()), ("q1", "mcp"));

    let mut stream = session.call("calls", through("samples")).await;
    let asked = stream.next().await;
    assert_eq!(asked["method"], "sampling/createMessage");
    let said = json!({"model": "m", "role": "assistant", "content": {"type": "text", "text": "hello"}});
    session.reply(&asked, said).await;
    assert!(text(&stream.next().await).contains("hello"));
}

#[tokio::test]
async fn a_childs_question_that_is_answered_on_its_own_is_taken_back_from_the_parents_call() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session_with(json!({"elicitation": {}})).await;
    let mut stream = session.call("calls", through("asks")).await;
    let asked = stream.next().await;
    let child = asked["params"]["_meta"]["longhaul/task"].clone();
    let params =
        json!({"name": "task_answer", "arguments": {"task_id": child, "action": "decline"}, "_meta": {}});
    let refused = raw.ask_modern("tools/call", params.clone(), json!({})).await;
    assert_eq!(refused[0]["result"]["isError"], true, "it is a person's");
    let owner = Raw::with_token(&world, KEY);
    owner.ask_modern("tools/call", params, json!({"longhaul/by-person": true})).await;
    let mut seen = [stream.next().await, stream.next().await];
    seen.sort_by_key(|message| message.get("method").is_none());
    assert_eq!(seen[0]["params"]["requestId"], asked["id"], "{seen:?}");
    assert_eq!(text(&seen[1]), "Decline");
}

#[tokio::test]
async fn a_child_asks_in_the_rounds_of_its_parents_call() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let calls = call("calls", json!({"tool": "asks", "arguments": {"questions": 2}}));
    let first = raw.one(calls.clone()).await;
    let id = first["result"]["_meta"]["longhaul/task"].as_str().expect("a task").to_owned();
    let child = child_of(&world, &id).await;
    let key = |number: u32| format!("{child}:q{number}");
    assert_eq!(first["result"]["inputRequests"][key(1)]["method"], "elicitation/create", "{first}");
    let second = raw.one(round(&calls, &first, json!({ key(1): accepted(true) }))).await;
    assert!(second["result"]["inputRequests"][key(2)].is_object(), "{second}");
    let last = raw.one(round(&calls, &second, json!({ key(2): accepted(false) }))).await;
    assert_eq!(text(&last), "{\"confirm\":true} {\"confirm\":false}");
    // The same once more is the present answer, though the child has ended.
    let repeated = raw.one(round(&calls, &second, json!({ key(2): accepted(false) }))).await;
    assert_eq!(text(&repeated), text(&last));
}

#[tokio::test]
async fn a_task_tells_and_takes_what_its_child_asks() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let capabilities = json!({"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}});
    let meta = json!({"io.modelcontextprotocol/clientCapabilities": capabilities, "longhaul/reply": "task"});
    let ask = async |method: &str, params: Value| {
        let mut answer = raw.ask_modern(method, params, meta.clone()).await.pop().expect("an answer");
        assert_eq!(answer.get("error"), None, "{answer}");
        answer["result"].take()
    };
    let created = ask("tools/call", call("calls", through("asks"))).await;
    let id = created["taskId"].as_str().expect("a task").to_owned();
    world.until(&id, |task| !task.input_requests.is_empty()).await;
    let task = ask("tasks/get", json!({"taskId": id})).await;
    assert_eq!(task["status"], "input_required");
    let key = format!("{}:q1", child_of(&world, &id).await);
    assert_eq!(task["inputRequests"][&key]["method"], "elicitation/create", "{task}");
    ask("tasks/update", json!({"taskId": id, "inputResponses": {key: accepted(true)}})).await;
    world.until(&id, TaskDocument::is_terminal).await;
    let done = ask("tasks/get", json!({"taskId": id})).await;
    assert_eq!(done["result"]["content"][0]["text"], "{\"confirm\":true}");
}

/// Two generations down, and of a task that ends before it is answered.
#[tokio::test]
async fn a_grandchild_is_answered_through_the_root_and_withdrawn_with_it() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let nested = json!({"tool": "calls", "arguments": {"tool": "asks"}});
    let link = async || {
        let mut link = raw
            .ask_modern("tools/call", call("calls", nested.clone()), json!({"longhaul/reply": "link"}))
            .await;
        link.pop().expect("a link")["result"]["structuredContent"]["task_id"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    let (local, person) = (Principal::local(), crate::mcp::questions::asks::BY_PROTOCOL);
    let id = link().await;
    let task = world.until(&id, |task| !task.input_requests.is_empty()).await;
    let root: TaskId = id.parse().expect("an id");
    let wrong = Given::Accept(json!({"confirm": "perhaps"}));
    let bad = world.engine.answer(&local, root, None, wrong, person).await;
    assert!(matches!(bad, Err(EngineError::BadAnswer { .. })), "{bad:?}");
    let yes = Given::Accept(json!({"confirm": true}));
    let answered = world.engine.answer(&local, root, None, yes.clone(), person).await.expect("taken");
    assert_eq!(answered.id, root);
    let ended = world.until(&id, TaskDocument::is_terminal).await;
    assert_eq!((ended.state.as_str(), ended.input_requests.len()), ("completed", 0));

    // A task of another tree has no say.
    let (key, _) = task.input_requests.into_iter().next().expect("one");
    let other = link().await;
    let asks = world.until(&other, |task| !task.input_requests.is_empty()).await;
    let foreign = world.engine.answer(&local, other.parse().expect("an id"), Some(&key), yes, person).await;
    assert!(matches!(foreign, Err(EngineError::NoSuchQuestion { .. })), "{foreign:?}");
    world.engine.cancel(&local, other.parse().expect("an id"), None).await.expect("cancelled");
    let child =
        asks.input_requests.values().next().and_then(|request| request.task.clone()).expect("a child");
    let ended = world.until(&child, TaskDocument::is_terminal).await;
    assert_eq!((ended.state.as_str(), ended.input_requests.len()), ("cancelled", 0));
}
