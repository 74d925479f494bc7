//! Sessions, listeners, questions and samples, as many as there are, and refusals for the audit.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use tokio::io::AsyncReadExt;

use super::{FutureExt, again, all, breathe, note};
use crate::generator::Counts;
use crate::wire::Caller;

pub async fn act(caller: &Caller, counts: &Counts) {
    let number = AtomicU64::new(0);
    all(vec![
        again(2, async |_| note(counts, "session", &caller.begin_session().await)).boxed(),
        again(24, async |_| listen(caller, counts).await).boxed(),
        again(2, async |_| ask(caller, counts, "ask_many").await).boxed(),
        again(2, async |_| ask(caller, counts, "sample").await).boxed(),
        again(2, async |_| {
            let name = format!("no_such_tool_{}", number.fetch_add(1, Ordering::Relaxed));
            note(counts, "no such tool", &caller.call(&name, json!({}), "inline").await);
        })
        .boxed(),
        again(2, async |_| {
            let stranger = Caller::new(&caller.url, "lh_guess", caller.from);
            note(counts, "bad token", &stranger.call("quick", json!({}), "inline").await);
        })
        .boxed(),
    ])
    .await;
}

/// Listens for as long as it may.
async fn listen(caller: &Caller, counts: &Counts) {
    let params = json!({"notifications": {"toolsListChanged": true}});
    if let Ok(mut stream) = caller.connect().await
        && caller.send_on(&mut stream, "subscriptions/listen", None, params).await.is_ok()
    {
        let mut bytes = [0; 1024];
        let begin = stream.read(&mut bytes).await.unwrap_or(0);
        let status = String::from_utf8_lossy(&bytes[..begin.min(12)]).into_owned();
        counts.add(&format!("listen: {status}"), &String::from_utf8_lossy(&bytes[..begin]));
        while let Ok(1..) = stream.read(&mut bytes).await {}
    }
    breathe().await;
}

/// A task that asks, and is never answered.
async fn ask(caller: &Caller, counts: &Counts, how: &str) {
    let op = match how {
        "sample" => json!({"op": "sample", "prompt": "what else?", "max_tokens": 10}),
        _ => json!({"op": "ask_many", "keys": ["a", "b", "c", "d", "e", "f", "g", "h"]}),
    };
    let outcome = caller.call("run_program", json!({"program": [op]}), "link").await;
    note(counts, how, &outcome);
    if outcome.task().is_none() {
        breathe().await;
    }
}
