//! A server, or a command where none runs, that dies while it moves tasks.

use serde_json::{Value, json};

use super::count;
use super::served::{Place, begin, go};
use crate::support::{Client, Web};

const TASKS: usize = 3;

/// Posts, then waits for a message.
fn posting(web: &Web, number: usize) -> Value {
    let request = json!({"method": "POST", "url": web.url(&format!("/paid-{number}")), "body": "1"});
    json!({"program": [
        {"op": "step", "name": "a"}, {"op": "http", "request": request}, {"op": "receive", "names": ["go"]},
        {"op": "step", "name": "b"},
    ]})
}

async fn components(client: &Client, ids: &[String]) -> Vec<Value> {
    let mut found = Vec::new();
    for id in ids {
        found.push(client.task(id).await.expect("a task")["component"].clone());
    }
    found
}

/// Tasks that have posted, of a component of which another version is approved; no server runs.
async fn prepared(web: &Web) -> (Place, Vec<String>, Value) {
    let place = Place::new(&format!("[grants.interpreter]\nhttp = [\"{}\"]\n", web.url("")));
    let server = place.start(&[]);
    let mut ids = Vec::new();
    for number in 0..TASKS {
        ids.push(begin(&server.owner(), posting(web, number)).await);
    }
    let old = components(&server.owner(), &ids).await[0].clone();
    assert!(server.stop().success());
    place.install("next");
    let server = place.start(&[]);
    place.approve(&[]);
    assert!(server.stop().success());
    (place, ids, old)
}

/// The tasks are wholly on one version or the other, whichever moment it died in; the same again moves the rest, and
/// no request leaves twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_cut_short_is_finished_by_the_next() {
    let web = Web::start();
    let (template, ids, old) = prepared(&web).await;
    for is_served in [true, false] {
        for (point, passing) in
            [("task-moving", 1_usize), ("task-moving", 3), ("task-moved", 1), ("task-moved", 2)]
        {
            let place = template.copied();
            let crash = [("LONGHAUL_CRASH", &*format!("{point}:{passing}"))];
            let at = format!("{point}:{passing}, a server runs: {is_served}");
            // Two at a time: the third comes behind both, and what was handed over before it died may be on disk.
            let (least, most) =
                if point == "task-moving" { (passing - 1, passing) } else { (passing, passing + 1) };
            if is_served {
                let mut server = place.start(&crash);
                let (exit, _, said) = place.tool(&["update", "interpreter", "--move-tasks"]);
                assert_ne!(exit, Some(0), "{at}: {said}");
                assert_eq!(server.died().expect("it is dying").code(), None, "{at}");
            } else {
                let tools = place.tools();
                let tools = tools.to_str().expect("text");
                let words = ["update", "interpreter", "--move-tasks", "--tools", tools];
                let (exit, _, said) = place.tool_with(&words, &crash);
                assert_eq!(exit, None, "{at}: {said}");
            }
            let server = place.start(&[]);
            let client = server.owner();
            let found = components(&client, &ids).await;
            let new = found.iter().filter(|component| **component != old).count();
            assert!((least..=most).contains(&new), "{at}: {found:?}");
            let (exit, moved, said) = place.tool(&["update", "interpreter", "--move-tasks"]);
            assert_eq!(
                (exit, count(&moved, "moved") as usize),
                (Some(0), TASKS - new),
                "{at}: {moved} {said}"
            );
            let found = components(&client, &ids).await;
            assert!(found.iter().all(|component| *component == moved["component"]), "{at}: {found:?}");
            for id in &ids {
                assert_eq!(go(&client, id).await["state"], "completed", "{at}");
            }
            assert!(server.stop().success());
        }
    }
    for number in 0..TASKS {
        assert_eq!(web.count(&format!("/paid-{number}")), 1);
    }
}

/// A request that had left when its server died: a version that would send another one does not fit, and one that fits
/// gets its unknown outcome, and sends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_under_way_stays_the_same_and_leaves_once() {
    let web = Web::start();
    let place = Place::new(&format!("[grants.interpreter]\nhttp = [\"{}\"]\n", web.url("")));
    let server = place.start(&[]);
    let request = json!({"method": "POST", "url": web.url("/never/paid"), "body": "1", "key": "mine"});
    let program = json!({"program": [{"op": "step", "name": "a"}, {"op": "http", "request": request}]});
    let id = server.owner().start("run_program", program, None).await.expect("a task");
    web.asked_for("/never/paid").await;
    // While it is under way, its instance stays.
    let next = place.file("next");
    let next = next.to_str().expect("text");
    place.tool(&["update", next]);
    place.approve(&[]);
    let (exit, left, said) = place.tool(&["update", "interpreter", "--move-tasks"]);
    assert_eq!((exit, count(&left, "busy")), (Some(1), 1), "{left} {said}");
    server.kill();

    let header = place.file("header");
    let (exit, tried, said) = place.tool(&["update", "interpreter", header.to_str().expect("text"), "--try"]);
    let task = &tried["tasks"][0];
    assert_eq!((exit, &task["verdict"]), (Some(1), &json!("differs")), "{tried} {said}");
    assert!(task["journal"].as_str().expect("words").contains("the request"), "{task}");
    assert!(task["guest"].as_str().expect("words").contains("POST"), "{task}");
    place.install("next");
    let tools = place.tools();
    let words = ["update", "interpreter", "--move-tasks", "--tools", tools.to_str().expect("text")];
    let (exit, moved, said) = place.tool(&words);
    assert_eq!((exit, count(&moved, "moved")), (Some(0), 1), "{moved} {said}");
    let server = place.start(&[]);
    let ended = server.owner().ended(&id).await.expect("a task");
    assert_eq!(
        (&ended["reason"], &ended["component"]),
        (&json!("unknown_outcome"), &moved["component"]),
        "{ended}"
    );
    assert_eq!(web.count("/never/paid"), 1);
    assert!(server.stop().success());
}
