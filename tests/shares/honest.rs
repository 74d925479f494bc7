//! The one that works within its share, at a steady and modest rate, and what it feels of the others.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::support::Timing;
use crate::wire::{Caller, Outcome};

/// Between two calls.
const PERIOD: Duration = Duration::from_millis(50);
/// A percentile of fewer calls would be their maximum.
const WINDOW: Duration = Duration::from_secs(10);

/// What the honest one has seen so far.
#[derive(Default)]
pub struct Seen {
    /// Of what it was not served, in words.
    pub not_served: Vec<String>,
    /// Tasks that were acknowledged.
    pub acknowledged: Vec<String>,
}

/// Times of one stretch of time.
#[derive(Default)]
struct Window {
    inline: Vec<Duration>,
    link: Vec<Duration>,
    end: Vec<Duration>,
}

/// Times of one phase, by windows.
pub struct Phase {
    windows: Vec<Window>,
}

impl Phase {
    /// The median of the windows' p99 of all calls, so that one bad moment of the machine does not judge.
    pub fn p99(&self) -> Duration {
        let p99 = |times: &Vec<Duration>| times.iter().copied().collect::<Timing>().percentile(99);
        let mut each: Vec<Duration> =
            self.windows.iter().map(|window| p99(&window.inline).max(p99(&window.link))).collect();
        each.sort_unstable();
        each.get(each.len() / 2).copied().unwrap_or_default()
    }

    pub fn calls(&self) -> usize {
        self.windows.iter().map(|window| window.inline.len() + window.link.len()).sum()
    }

    fn whole(&self, of: impl Fn(&Window) -> &Vec<Duration>) -> Timing {
        self.windows.iter().flat_map(of).copied().collect()
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p99 = self.p99().as_secs_f64() * 1e3;
        write!(
            f,
            "p99 {p99:.1} ms (median of {} windows); inline {}",
            self.windows.len(),
            self.whole(|w| &w.inline)
        )?;
        write!(f, "; links {}; ends {}", self.whole(|w| &w.link), self.whole(|w| &w.end))
    }
}

/// Calls for so long, every second call as a link whose task it waits for. A call's time begins when it was due, so that
/// one slow answer does not hide what others would have felt.
pub async fn work(caller: &Caller, seen: &Arc<Mutex<Seen>>, duration: Duration) -> Phase {
    let windows = duration.as_secs().div_ceil(WINDOW.as_secs()).max(1);
    let times: Arc<Vec<Mutex<Window>>> = Arc::new((0..windows).map(|_| Mutex::default()).collect());
    let mut calls = JoinSet::new();
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let began = Instant::now();
    for number in 0_u64.. {
        let due = ticks.tick().await;
        let since = due.saturating_duration_since(began);
        if since >= duration {
            break;
        }
        let window = (since.as_secs() / WINDOW.as_secs()) as usize;
        let (caller, seen, times) = (caller.clone(), seen.clone(), times.clone());
        calls.spawn(async move {
            let of_window = &times[window];
            match number % 2 {
                0 => inline(&caller, &seen, of_window, due).await,
                _ => link(&caller, &seen, of_window, due).await,
            }
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended.expect("a call");
    }
    let windows = Arc::into_inner(times).expect("all calls have ended");
    Phase { windows: windows.into_iter().map(|window| window.into_inner().expect("times")).collect() }
}

async fn inline(caller: &Caller, seen: &Mutex<Seen>, times: &Mutex<Window>, due: Instant) {
    let outcome = caller.call("quick", json!({}), "inline").await;
    times.lock().expect("times").inline.push(due.elapsed());
    match &outcome {
        Outcome::Served(result) if result["structuredContent"]["result"] == 7 => {}
        other => seen.lock().expect("what was seen").not_served.push(format!("inline: {other:?}")),
    }
}

async fn link(caller: &Caller, seen: &Mutex<Seen>, times: &Mutex<Window>, due: Instant) {
    let not_served = |words: String| seen.lock().expect("what was seen").not_served.push(words);
    let outcome = caller.call("quick", json!({}), "link").await;
    times.lock().expect("times").link.push(due.elapsed());
    let Some(task) = outcome.task() else {
        return not_served(format!("link: {outcome:?}"));
    };
    seen.lock().expect("what was seen").acknowledged.push(task.to_owned());
    let outcome = caller.call("task_wait", json!({"task_id": task, "seconds": 30}), "inline").await;
    times.lock().expect("times").end.push(due.elapsed());
    match &outcome {
        Outcome::Served(result) if result["structuredContent"]["state"] == "completed" => {}
        other => not_served(format!("end of {task}: {other:?}")),
    }
}
