//! Four hostile callers and an honest one. The honest one is served all that it asks for, about as fast as without the
//! others; memory stays within its bound; and what was acknowledged is there after a `kill -9` in the middle of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cores::Cores;
use crate::generator::Generator;
use crate::honest::{Phase, Seen, work};
use crate::hostile;
use crate::is_long;
use crate::place::Place;
use crate::support::scale;
use crate::wire::{Caller, Outcome};

/// All memory that callers cause.
const MEMORY_MIB: u64 = 1024;
/// What the server takes besides: its program, compiled code, the store's cache, rows on their way.
const BESIDES_MIB: u64 = 256;
const CONNECTIONS: u64 = 400;
/// Below this, times say more of what else a machine does.
const FLOOR: Duration = Duration::from_millis(25);
const TIMES: u32 = 3;
/// A build that is not optimised has all of its core taken by what it must read to refuse it.
const FLOOR_OF_DEBUG: Duration = Duration::from_secs(5);

pub fn run(cores: &Cores) {
    let seconds = scale("LONGHAUL_SOAK_SECONDS", if is_long() { 600 } else { 60 });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(soak(cores, Duration::from_secs(seconds)));
}

fn config() -> String {
    format!(
        "[shares]\nmemory_mib = {MEMORY_MIB}\nconnections = {CONNECTIONS}\nsessions = 2000\n[shares.principal]\n\
         memory_mib = {}\ntasks = 500\n",
        MEMORY_MIB / 8
    )
}

async fn soak(cores: &Cores, duration: Duration) {
    let place = Place::new(cores, &config());
    let calm = duration / 6;
    let ann = place.caller("ann", 10);
    let seen: Arc<Mutex<Seen>> = Arc::default();
    work(&ann, &seen, Duration::from_secs(3)).await;
    let before = work(&ann, &seen, calm).await;
    println!("calm:    {before}");
    let busy = beside_bystanders(cores, &ann, &seen, calm).await;
    println!("busy:    {busy}");
    println!("memory:  {} MiB, store {} MiB", place.server.most_resident_kib() >> 10, place.store_mib());

    let callers: Vec<Caller> = hostile::KINDS
        .iter()
        .zip(20..)
        .map(|(kind, number)| place.caller(&format!("eve-{kind}"), number))
        .collect();
    let started: Vec<Generator> = hostile::KINDS
        .iter()
        .zip(&callers)
        .map(|(kind, caller)| Generator::start(cores, kind, &orders(caller, duration)))
        .collect();
    let disturbed = work(&ann, &seen, duration).await;
    println!("hostile: {disturbed}");
    let most_mib = place.server.most_resident_kib() >> 10;
    println!(
        "memory:  {most_mib} MiB at most, {} may be; store {} MiB",
        MEMORY_MIB + BESIDES_MIB,
        place.store_mib()
    );
    leave_open(&ann, &seen).await;

    let place = place.kill_and_restart();
    let reports: Vec<Value> = started.into_iter().map(Generator::end).collect();
    for (kind, report) in hostile::KINDS.iter().zip(&reports) {
        println!("{kind}: {}", report["counts"]);
    }
    let ann = Caller::new(&place.server.url, &ann.token, ann.from);
    let seen_so_far = std::mem::take(&mut *seen.lock().expect("what was seen"));
    nothing_is_lost(&ann, &seen_so_far.acknowledged).await;
    for (caller, report) in callers.iter().zip(&reports) {
        let caller = Caller::new(&place.server.url, &caller.token, caller.from);
        let acknowledged = report["acknowledged"].as_array().expect("tasks");
        let acknowledged: Vec<&str> = acknowledged.iter().filter_map(Value::as_str).collect();
        links_resolve(&caller, &acknowledged).await;
        println!("{} of the others' acknowledged tasks resolve", acknowledged.len());
    }
    for kind in hostile::KINDS {
        place.server.longhaul(&["token", "revoke", &format!("eve-{kind}"), "--cancel-tasks"]);
    }
    let after = work(&ann, &seen, calm).await;
    println!("calm:    {after}");
    judge(&[before, busy, after], &disturbed, &seen_so_far, most_mib);
    let late = seen.lock().expect("what was seen");
    assert!(late.not_served.is_empty(), "after the restart: {:#?}", late.not_served);
}

/// Work while both cores compute and nothing else calls the server. Of a virtual machine whose cores are all busy the
/// disk answers late too: by itself, and not for what callers do.
async fn beside_bystanders(
    cores: &Cores,
    ann: &Caller,
    seen: &Arc<Mutex<Seen>>,
    duration: Duration,
) -> Phase {
    let started = [cores.for_bystander(), cores.for_hostile()]
        .map(|words| Generator::start_by(&words, hostile::BYSTANDER, &json!({})));
    let phase = work(ann, seen, duration).await;
    started.into_iter().for_each(|bystander| drop(bystander.end()));
    phase
}

/// What a hostile caller is to do; some of it is bounded for the sake of the disk.
fn orders(caller: &Caller, duration: Duration) -> Value {
    let mut orders = caller.orders();
    orders["connections"] = json!(CONNECTIONS);
    orders["large_calls"] = json!(60 + duration.as_secs());
    orders["outputs"] = json!(60 + duration.as_secs());
    orders
}

/// Some tasks of the honest one are under way when the server is killed.
async fn leave_open(ann: &Caller, seen: &Mutex<Seen>) {
    for _ in 0..10 {
        let outcome =
            ann.call("run_program", json!({"program": [{"op": "sleep", "ms": 2_000}]}), "link").await;
        match outcome.task() {
            Some(task) => seen.lock().expect("what was seen").acknowledged.push(task.to_owned()),
            None => seen
                .lock()
                .expect("what was seen")
                .not_served
                .push(format!("a task to leave open: {outcome:?}")),
        }
    }
}

/// What was acknowledged is there, and ends well.
async fn nothing_is_lost(ann: &Caller, acknowledged: &[String]) {
    for task in acknowledged {
        let arguments = json!({"task_id": task, "seconds": 30});
        match patient(ann, "task_wait", &arguments).await {
            Outcome::Served(result) => {
                assert_eq!(result["structuredContent"]["state"], "completed", "{task}: {result}");
            }
            other => panic!("{task} was acknowledged: {other:?}"),
        }
    }
    println!("the honest one's {} acknowledged tasks are there, and have ended", acknowledged.len());
}

async fn links_resolve(caller: &Caller, acknowledged: &[&str]) {
    for task in acknowledged {
        match patient(caller, "task_status", &json!({"task_id": task})).await {
            Outcome::Served(result) => assert_eq!(result["structuredContent"]["id"], **task, "{result}"),
            other => panic!("{task} was acknowledged: {other:?}"),
        }
    }
}

/// Asks again at the time that a refusal names.
async fn patient(caller: &Caller, tool: &str, arguments: &Value) -> Outcome {
    loop {
        match caller.call(tool, arguments.clone(), "inline").await {
            Outcome::Refused { retry_after: Some(after), .. } => {
                tokio::time::sleep(Duration::from_secs(after)).await;
            }
            other => return other,
        }
    }
}

fn judge(calm: &[Phase; 3], disturbed: &Phase, seen: &Seen, most_mib: u64) {
    let base = calm.iter().map(Phase::p99).max().unwrap_or_default();
    let bound = (base * TIMES).max(if cfg!(debug_assertions) { FLOOR_OF_DEBUG } else { FLOOR });
    println!(
        "p99 {:.1?}; {bound:.1?} may be, {TIMES} times that of the phases without the others or a floor",
        disturbed.p99()
    );
    let (count, calls) = (seen.not_served.len(), disturbed.calls());
    assert!(count == 0, "{count} of about {calls} were not served: {:#?}", &seen.not_served[..count.min(10)]);
    assert!(most_mib <= MEMORY_MIB + BESIDES_MIB, "the server had {most_mib} MiB");
    assert!(
        disturbed.p99() <= bound,
        "the honest one feels the others: {:?}, {bound:?} may be",
        disturbed.p99()
    );
}
