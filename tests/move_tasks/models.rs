//! A task that asks a model of the configuration is moved while the answer is on its way.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use serde_json::json;

use super::count;
use super::served::Place;
use crate::support::{Script, says};

const MANIFEST: &str = "name = \"interpreter\"\n[capabilities]\nmodels = [\"fast\"]\n";

/// The request goes on, and the version that the task goes on with gets its answer: it is paid once.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_moved_task_had_asked_a_model_is_answered_to_the_other_version() {
    let (go_on, may_answer) = channel::<()>();
    let may_answer = Mutex::new(may_answer);
    let script = Script::saying(move |_, _| {
        may_answer.lock().expect("no thread panics with it").recv().ok()?;
        Some(says("openai-chat", &["It is ", "fine."]))
    });
    let grant = format!(
        "[grants.interpreter]\nmodels = [\"fast\"]\n[models.fast]\napi = \"openai-chat\"\nurl = \
         \"http://127.0.0.1:{}/v1\"\nmodel = \"m\"\noutput_price = 10_000\n",
        script.port
    );
    let place = Place::asking_for(MANIFEST, &grant);
    let server = place.start(&[]);
    let client = server.owner();
    let asks =
        json!({"op": "model", "model": "fast", "prompt": "How is it?", "max_tokens": 50, "output": "draft"});
    let id = client.start("run_program", json!({"program": [asks]}), None).await.expect("a link");
    script.asked(1).await;
    // Its instance has left memory.
    client.until(&id, |task| task["state"] == "waiting").await;

    let next = place.file("next");
    let (exit, _, said) =
        place.tool(&["update", "interpreter", next.to_str().expect("text"), "--move-tasks"]);
    assert!(exit == Some(4) && said.contains("longhaul tool approve interpreter"), "{exit:?} {said}");
    place.approve(&[]);
    let (exit, moved, said) = place.tool(&["update", "interpreter", "--move-tasks"]);
    assert_eq!((exit, count(&moved, "moved")), (Some(0), 1), "{moved} {said}");
    go_on.send(()).expect("it waits");

    let document = client.ended(&id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{document}");
    assert_eq!(document["component"], moved["component"], "{document}");
    let draft = client.read(&format!("task://{id}/output/draft")).await.expect("an output");
    assert_eq!(draft, "It is fine.");
    assert_eq!((script.seen().len(), &document["model_cost"]), (1, &json!("0.05")), "{document}");
    assert!(server.stop().success());
}
