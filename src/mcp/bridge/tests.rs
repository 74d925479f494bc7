use serde_json::{Value, json};

use super::conversation::line_of;
use super::*;
use crate::mcp::wire::client_settings::{ClientSettings, Links};
use crate::mcp::wire::reading::Scan;

/// Lines of a side, as JSON.
fn read(lines: &[Vec<u8>]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_slice(line).expect("JSON")).collect()
}

fn host(talk: &mut Conversation, message: Value) -> Vec<Value> {
    let carried = talk.host_said(Line::Whole(line_of(&message)));
    assert_eq!(carried.to_host, [] as [Vec<u8>; 0]);
    read(&carried.to_server)
}

fn server(talk: &mut Conversation, message: Value) -> Vec<Value> {
    let carried = talk.server_said(Line::Whole(line_of(&message)));
    assert_eq!(carried.to_server, [] as [Vec<u8>; 0]);
    read(&carried.to_host)
}

fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id.into(), "method": method, "params": params })
}

fn notification(method: &str) -> Value {
    json!({ "jsonrpc": "2.0", "method": method })
}

fn answer(id: impl Into<Value>) -> Value {
    json!({ "jsonrpc": "2.0", "id": id.into(), "result": {} })
}

fn legacy() -> Conversation {
    let mut talk = Conversation::default();
    host(&mut talk, request(0, "initialize", json!({ "protocolVersion": "2025-11-25" })));
    server(&mut talk, answer(0));
    host(&mut talk, notification("notifications/initialized"));
    talk
}

#[test]
fn lines_pass_unchanged() {
    let mut talk = Conversation::default();
    for line in [
        "{ \"id\" : 1.0, \"method\":\"x\", \"jsonrpc\":\"2.0\" }\n",
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"y\",\"params\":[]}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"y\",\"params\":{\"uri\":1,\"uri\":2}}\n",
    ] {
        assert_eq!(talk.host_said(Line::Whole(line.into())).to_server, [line.as_bytes()]);
    }
    for line in ["{ \"id\" : 1, \"result\":1e3 }\n", "{\"method\": \"notifications/x\"}\n", "no JSON\n"] {
        assert_eq!(talk.server_said(Line::Whole(line.into())).to_host, [line.as_bytes()]);
    }
    let waiting: Vec<&str> = talk.open.keys().map(String::as_str).collect();
    assert_eq!(waiting, ["2", "3"], "the answer to 1.0 is that of 1");
}

/// What reaches the host of a line that no server gets.
fn refused(talk: &mut Conversation, line: Line) -> Vec<Value> {
    let carried = talk.host_said(line);
    assert_eq!(carried.to_server, [] as [Vec<u8>; 0]);
    read(&carried.to_host)
}

#[test]
fn what_cannot_be_read_is_answered_and_the_talk_goes_on() {
    let mut talk = legacy();
    host(&mut talk, request(1, "tools/list", json!({})));
    let broken = |line: &str| Line::Whole(format!("{line}\n").into_bytes());
    for (line, code, id) in [
        (broken("{\"id\":2,\"method\":\"tools/call\",\"params\":\"\\ud83d\"}"), -32700, json!(2)),
        (broken("[]"), -32600, Value::Null),
        (broken("{\"jsonrpc\":\"2.0\",\"id\":3}"), -32600, json!(3)),
        (Line::TooLong(Scan { id: Some(json!("long")), is_response: false }), -32600, json!("long")),
        (Line::TooLong(Scan::default()), -32600, Value::Null),
    ] {
        let seen = refused(&mut talk, line);
        assert_eq!((&seen[0]["error"]["code"], &seen[0]["id"]), (&json!(code), &id));
        assert!(seen[0].get("id").is_some(), "null is an id: {seen:?}");
    }
    assert_eq!(server(&mut talk, answer(1)), [answer(1)]);
    assert_eq!(talk.open.len(), 0);
}

#[test]
fn an_answer_to_a_question_that_cannot_be_read_ends_the_question() {
    let mut talk = legacy();
    for (id, line) in [
        (1, Line::Whole(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":\"\\ud83d\"}}\n".to_vec())),
        (2, Line::Whole(b"{\"id\":2,\"result\":{}}\n".to_vec())),
        (3, Line::TooLong(Scan { id: Some(json!(3)), is_response: true })),
    ] {
        server(&mut talk, request(format!("q{id}"), "elicitation/create", json!({})));
        let carried = talk.host_said(line);
        assert_eq!(carried.to_host, [] as [Vec<u8>; 0], "an answer has no answer");
        let seen = read(&carried.to_server);
        assert_eq!((&seen[0]["id"], seen[0]["error"].is_object()), (&json!(format!("q{id}")), true));
    }
}

#[test]
fn an_id_that_is_in_use_is_refused_and_the_first_request_goes_on() {
    let mut talk = legacy();
    for (id, same) in [(json!(1), json!(1.0)), (json!("1"), json!("1")), (json!("a"), json!("a"))] {
        host(&mut talk, request(id.clone(), "tools/list", json!({})));
        let again = Line::Whole(line_of(&request(same, "ping", json!({}))));
        let seen = refused(&mut talk, again);
        assert_eq!((&seen[0]["id"], &seen[0]["error"]["code"]), (&id, &json!(-32600)));
        assert!(seen[0]["error"]["message"].as_str().is_some_and(|seen| seen.contains(&id.to_string())));
    }
    for id in [json!("1"), json!(1), json!("a")] {
        assert_eq!(server(&mut talk, answer(id.clone())), [answer(id.clone())]);
        // It may be used again once it is answered.
        host(&mut talk, request(id, "ping", json!({})));
    }
}

#[test]
fn an_answer_that_is_too_long_to_be_carried_is_told() {
    let mut talk = legacy();
    host(&mut talk, request("a", "resources/read", json!({})));
    let long = Line::TooLong(Scan { id: Some(json!("a")), is_response: true });
    let seen = read(&talk.server_said(long).to_host);
    assert_eq!((&seen[0]["id"], &seen[0]["error"]["code"]), (&json!("a"), &json!(-32603)));
    assert_eq!(talk.server_said(Line::TooLong(Scan::default())), Carried::default());
    talk.closing();
    assert!(talk.is_over());
}

#[test]
fn a_handshake_and_its_subscriptions_are_repeated_and_their_answers_kept() {
    let mut talk = legacy();
    host(&mut talk, request(1, "logging/setLevel", json!({ "level": "debug" })));
    for (id, uri) in [(2, "task://a"), (3, "task://b")] {
        host(&mut talk, request(id, "resources/subscribe", json!({ "uri": uri })));
    }
    host(&mut talk, request(4, "resources/unsubscribe", json!({ "uri": "task://a" })));
    (1..=4).for_each(|id| drop(server(&mut talk, answer(id))));

    for first in [1, 4] {
        let carried = talk.replaced();
        assert_eq!(carried.to_host, [] as [Vec<u8>; 0]);
        let id = |number: u32| format!("longhaul-bridge-{number}");
        assert_eq!(
            read(&carried.to_server),
            [
                request(id(first), "initialize", json!({ "protocolVersion": "2025-11-25" })),
                notification("notifications/initialized"),
                request(id(first + 1), "logging/setLevel", json!({ "level": "debug" })),
                request(id(first + 2), "resources/subscribe", json!({ "uri": "task://b" })),
            ]
        );
        let changed = ["notifications/tools/list_changed", "notifications/resources/list_changed"];
        assert_eq!(server(&mut talk, answer(id(first))), changed.map(notification));
        assert_eq!(server(&mut talk, answer(id(first + 1))), [] as [Value; 0]);
        // What changed meanwhile was not reported.
        let mut updated = notification("notifications/resources/updated");
        updated["params"] = json!({ "uri": "task://b" });
        assert_eq!(server(&mut talk, answer(id(first + 2))), [updated]);
    }
}

#[test]
fn what_a_host_set_for_itself_goes_along_with_its_calls_and_no_other_line_changes() {
    let client = ClientSettings { wait: Some(Duration::from_secs(4)), links: Some(Links::Text) };
    let mut talk = Conversation::new(BridgeOptions { client, ..BridgeOptions::default() });
    let set = json!({ "longhaul/wait-bound-seconds": 4, "longhaul/links": "text" });
    let arguments = json!({ "n": 1.5, "text": "é" });
    let [call, own, list] = [
        request(1, "tools/call", json!({ "name": "t", "arguments": arguments })),
        request(2, "tools/call", json!({ "name": "t", "_meta": { "longhaul/links": "block", "x": [1] } })),
        request(3, "tools/list", json!({})),
    ]
    .map(|message| host(&mut talk, message).remove(0));
    assert_eq!(call["params"], json!({ "name": "t", "arguments": arguments, "_meta": set }));
    let expected = json!({ "longhaul/links": "block", "x": [1], "longhaul/wait-bound-seconds": 4 });
    assert_eq!(own["params"]["_meta"], expected);
    assert_eq!(list["params"], json!({}));
    // Params that are of no use are the server's to refuse.
    for line in [
        "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":[]}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"tools/call\"}\n",
    ] {
        assert_eq!(talk.host_said(Line::Whole(line.into())).to_server, [line.as_bytes()]);
    }
}

#[test]
fn what_was_asked_is_asked_again_only_where_that_does_no_harm() {
    let mut talk = Conversation::default();
    let keyed = json!({ "name": "book_agent", "_meta": { "longhaul/idempotency-key": "k" } });
    let again = [
        request(1, "resources/read", json!({ "uri": "task://a" })),
        request("2", "tools/call", json!({ "name": "task_wait", "arguments": {} })),
        request(3, "tools/call", keyed),
        request(4, "subscriptions/listen", json!({})),
    ];
    again.iter().for_each(|message| drop(host(&mut talk, message.clone())));
    host(&mut talk, request(5, "tools/call", json!({ "name": "book_agent" })));
    host(&mut talk, request(6, "subscriptions/listen", json!({})));
    let mut acknowledged = notification("notifications/subscriptions/acknowledged");
    acknowledged["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] = json!(6);
    server(&mut talk, acknowledged);
    host(&mut talk, request(7, "tools/call", json!({ "name": "book_agent" })));
    let mut cancelled = notification("notifications/cancelled");
    cancelled["params"]["requestId"] = json!(7);
    host(&mut talk, cancelled);
    host(&mut talk, request(8, "tools/call", json!({ "name": "book_agent" })));
    server(&mut talk, answer(8));

    let carried = talk.replaced();
    let mut sent = read(&carried.to_server);
    sent.sort_by_key(|message| message["id"].to_string().replace('"', ""));
    assert_eq!(sent, again);
    let [lost, ended] = <[Value; 2]>::try_from(read(&carried.to_host)).expect("two");
    assert_eq!((&lost["id"], &lost["error"]["data"]["reason"]), (&json!(5), &json!("server_restarted")));
    assert!(lost["error"]["message"].as_str().is_some_and(|seen| seen.contains("task_list")), "{lost}");
    assert_eq!((&ended["id"], &ended["result"]["resultType"]), (&json!(6), &json!("complete")));

    // Nor is anything lost twice.
    let seen = read(&talk.abandoned("no disk"));
    assert_eq!(
        seen.iter().map(|seen| &seen["id"]).collect::<Vec<_>>(),
        [&json!("2"), &json!(1), &json!(3), &json!(4)]
    );
    assert!(seen[0]["error"]["message"].as_str().is_some_and(|seen| seen.contains("no disk")));
    assert_eq!(talk.replaced(), Carried::default());
}

#[test]
fn an_answer_to_a_server_that_is_gone_reaches_no_other() {
    let mut talk = legacy();
    let ask = |id| request(id, "elicitation/create", json!({ "message": "sure?" }));
    assert_eq!(server(&mut talk, ask(0)), [ask(1)]);
    assert_eq!(server(&mut talk, ask(1)), [ask(2)]);
    assert_eq!(host(&mut talk, answer(2)), [answer(1)]);
    let mut given_up = notification("notifications/cancelled");
    given_up["params"] = json!({ "requestId": 1, "reason": "the server was started again" });
    assert_eq!(read(&talk.replaced().to_host), [given_up.clone()]);
    // The new server counts from the beginning.
    assert_eq!(server(&mut talk, ask(0)), [ask(3)]);
    assert_eq!(host(&mut talk, answer(1)), [] as [Value; 0]);
    given_up["params"] = json!({ "requestId": 0 });
    let mut known = given_up.clone();
    known["params"] = json!({ "requestId": 3 });
    assert_eq!(server(&mut talk, given_up), [known]);
    assert_eq!(host(&mut talk, answer(3)), [] as [Value; 0]);
}

/// Its id holds at the next server: the host hears it once, and its answer goes to whichever server is there.
#[test]
fn a_tasks_question_outlives_the_server_that_asked_it() {
    let mut talk = legacy();
    let ask = |id: &str| request(id, "elicitation/create", json!({ "message": "sure?" }));
    let [first, second, third] = ["question-a", "question-b", "question-c"];
    assert_eq!(server(&mut talk, ask(first)), [ask(first)]);
    assert_eq!(server(&mut talk, ask(second)), [ask(second)]);
    assert_eq!(host(&mut talk, answer(first)), [answer(first)]);
    let mut over = notification("notifications/cancelled");
    over["params"] = json!({ "requestId": third });
    assert_eq!(server(&mut talk, ask(third)), [ask(third)]);
    assert_eq!(server(&mut talk, over.clone()), [over]);

    let carried = talk.replaced();
    assert_eq!(carried.to_host, [] as [Vec<u8>; 0], "none is taken back");
    // The answer may not have been read.
    assert_eq!(read(&carried.to_server).last(), Some(&answer(first)));
    for asked_again in [first, second] {
        assert_eq!(server(&mut talk, ask(asked_again)), [] as [Value; 0], "it has been heard");
    }
    assert_eq!(server(&mut talk, ask(third)), [ask(third)], "it was taken back, and is asked after all");
    assert_eq!(host(&mut talk, answer(second)), [answer(second)]);
    let known: Vec<Value> = read(&talk.replaced().to_server);
    assert!(known.ends_with(&[answer(first), answer(second)]), "{known:?}");
    // Without a server there is none to answer to.
    let mut given_up = notification("notifications/cancelled");
    given_up["params"] = json!({ "requestId": third, "reason": "the server was started again" });
    assert_eq!(read(&talk.abandoned("no disk"))[0], given_up);
}

#[test]
fn answers_to_questions_are_kept_within_bounds() {
    let mut talk = legacy();
    for number in 0..=limits::MAX_BRIDGED_QUESTIONS {
        host(&mut talk, answer(format!("question-{number}")));
    }
    let mut large = answer("question-large");
    large["result"] = json!("x".repeat(limits::MAX_RESENT_BYTES));
    assert_eq!(host(&mut talk, large.clone()), [large]);
    let sent = read(&talk.replaced().to_server);
    let answers: Vec<&Value> = sent.iter().filter(|message| message["result"].is_object()).collect();
    assert_eq!(answers.len(), limits::MAX_BRIDGED_QUESTIONS);
    assert_eq!(*answers[0], answer("question-1"));
}

#[test]
fn a_host_that_has_closed_its_end_gets_its_answers_alone() {
    let mut talk = legacy();
    host(&mut talk, request(1, "tools/list", json!({})));
    talk.closing();
    assert!(!talk.is_over());
    assert_eq!(server(&mut talk, notification("notifications/tools/list_changed")), [] as [Value; 0]);
    assert_eq!(server(&mut talk, request(0, "elicitation/create", json!({}))), [] as [Value; 0]);
    for of_its_request in ["notifications/progress", "notifications/message"] {
        assert_eq!(server(&mut talk, notification(of_its_request)), [notification(of_its_request)]);
    }
    assert_eq!(server(&mut talk, answer(1)), [answer(1)]);
    assert!(talk.is_over());
}

#[test]
fn no_notification_comes_first() {
    let mut talk = Conversation::default();
    assert_eq!(host(&mut talk, notification("notifications/cancelled")), [] as [Value; 0]);
    assert_eq!(host(&mut talk, request(1, "server/discover", json!({}))).len(), 1);
    assert_eq!(host(&mut talk, notification("notifications/cancelled")), [] as [Value; 0]);
    assert_eq!(host(&mut talk, request(2, "tools/list", json!({}))).len(), 1);
    assert_eq!(host(&mut talk, notification("notifications/x")).len(), 1);
}

#[test]
fn a_host_that_waits_for_too_much_is_told() {
    let mut talk = legacy();
    for id in 0..limits::MAX_BRIDGED_REQUESTS {
        host(&mut talk, request(id, "tools/call", json!({})));
    }
    let carried = talk.host_said(Line::Whole(line_of(&request("more", "tools/call", json!({})))));
    assert_eq!(carried.to_server, [] as [Vec<u8>; 0]);
    assert_eq!(read(&carried.to_host)[0]["id"], "more");
}
