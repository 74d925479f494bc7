//! Bodies of requests that stream out: they leave while they are written, as fast as their server takes them, and after a kill
//! they are sent once more from their begin where that is allowed, for their guest writes them again.

use serde_json::{Value, json};

use crate::http::{Place, Run, words};
use crate::support::{Oracle, Server, Sink, Taken, long, scale};

const KIB: usize = 14 * 1024;

fn send(method: &str, url: &str, kib: usize) -> Value {
    json!({"op": "http", "request": {"method": method, "url": url, "body_kib": kib}})
}

/// With these keys besides that of the body.
fn send_with(method: &str, url: &str, kib: usize, with: &[(&str, Value)]) -> Value {
    let mut op = send(method, url, kib);
    for (name, value) in with {
        op["request"][*name] = value.clone();
    }
    op
}

fn answered(text: &str) -> String {
    format!("200 {:016x}", Oracle::hash(text.as_bytes()))
}

fn taken_whole(kib: usize) -> String {
    answered(&Sink::answer(&long(kib)))
}

fn place(sink: &Sink, isolate: &str, effects: &str) -> Place {
    let place = Place::with_grants(&[sink.url("")], effects);
    place.configure(&format!("[engine]\nisolate = {isolate:?}\n"));
    place
}

fn check_taken(taken: &[Taken], what: &str) {
    let last = taken.last().expect("a request");
    assert!(last.is_whole && last.bytes == (KIB * 1024) as u64, "{what}: {taken:?}");
    assert_eq!(last.hash, blake3::hash(&long(KIB)).to_string(), "{what}");
    assert_eq!(last.length, None, "{what}: it is chunked");
    assert!(taken.iter().all(|taken| taken.key == last.key && taken.key.is_some()), "{what}: {taken:?}");
    assert!(taken.len() == 1 || !taken[0].is_whole || what.contains("op_done"), "{what}: {taken:?}");
}

/// `LONGHAUL_UPLOAD_KILLS=1000` kills at every record.
async fn sent_again(isolate: &str, kills: u64) {
    let sink = Sink::start();
    let mut place = place(&sink, isolate, "");
    let program = [send("PUT", &sink.url("/take/it"), KIB), json!({"op": "step", "name": "end"})];
    let undisturbed = place.undisturbed(&program).await;
    assert_eq!(words(&undisturbed, "http"), [taken_whole(KIB)], "{}", undisturbed.document);
    check_taken(&sink.taken(), "undisturbed");
    let records = undisturbed.document["steps"].as_u64().expect("a number");
    assert!((6..40).contains(&records), "each wait for room is a record: {records}");
    let mut edges: Vec<String> = (1..=records).map(|number| format!("record:{number}")).collect();
    edges.truncate(usize::try_from(scale("LONGHAUL_UPLOAD_KILLS", kills)).expect("a number"));
    edges.extend(["op_intent:1", "op_done:1"].map(str::to_owned));
    let mut killed = 0;
    for edge in edges {
        sink.forget();
        let Some((data, id)) = place.crashed(&program, &edge).await else { continue };
        killed += 1;
        let run = place.resumed(&data, &id, &program).await;
        assert_eq!(words(&run, "http"), [taken_whole(KIB)], "{isolate} {edge}: {}", run.document);
        check_taken(&sink.taken(), &format!("{isolate} {edge}"));
    }
    assert!(killed >= kills / 2, "{killed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_is_sent_again_after_a_kill() {
    sent_again("none", 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_is_sent_again_by_a_worker_after_a_kill() {
    sent_again("process", 3).await;
}

async fn came_of(place: &mut Place, op: Value) -> Run {
    let program = [op, json!({"op": "step", "name": "end"})];
    let run = place.undisturbed(&program).await;
    assert_eq!(run.document["state"], "completed", "{}", run.document);
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_on_disk_is_not_asked_for_again() {
    let sink = Sink::start();
    let mut place = place(&sink, "none", "");
    for (method, url, ends, expected) in [
        ("POST", "/take/it", "finished", taken_whole(KIB)),
        // The body goes on behind its answer, and what was sent of it before is known again.
        ("POST", "/early/it", "finished", answered("early")),
        ("POST", "/refuse/it", "at_answer", format!("413 {:016x}", Oracle::hash(b"early"))),
    ] {
        sink.forget();
        let op = send_with(method, &sink.url(url), KIB, &[("ends", json!(ends))]);
        let program = [op, json!({"op": "step", "name": "end"})];
        let run = place.undisturbed(&program).await;
        assert_eq!(words(&run, "http"), [expected.as_str()], "{url}: {}", run.document);
        let last = run.document["steps"].as_u64().expect("a number");
        sink.forget();
        let (data, id) = place.crashed(&program, &format!("record:{last}")).await.expect("killed");
        let run = place.resumed(&data, &id, &program).await;
        assert_eq!(words(&run, "http"), [expected.as_str()], "{url}: {}", run.document);
        assert_eq!(sink.took(1).await.len(), 1, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_whose_body_may_have_arrived_goes_by_the_policy() {
    let sink = Sink::start();
    let program = [send("POST", &sink.url("/take/it"), KIB), json!({"op": "step", "name": "end"})];
    let mut fails = place(&sink, "none", "");
    for edge in ["op_intent:1", "record:3", "op_done:1"] {
        sink.forget();
        let (data, id) = fails.crashed(&program, edge).await.expect("killed");
        let before = sink.taken().len();
        let run = fails.resumed(&data, &id, &program).await;
        let Value::Object(document) = &run.document else { panic!("no document") };
        assert_eq!((&document["state"], &document["reason"]), (&json!("failed"), &json!("unknown_outcome")));
        assert!(sink.taken().len() <= before.max(1), "{edge}: {:?}", sink.taken());
    }
    let mut keyed = place(&sink, "none", "idempotent_hosts = [\"127.0.0.1\"]");
    sink.forget();
    let (data, id) = keyed.crashed(&program, "record:3").await.expect("killed");
    let run = keyed.resumed(&data, &id, &program).await;
    assert_eq!(words(&run, "http"), [taken_whole(KIB)], "{}", run.document);
    check_taken(&sink.taken(), "to a host that honours keys");
}

async fn ends_with_an_error(isolate: &str) {
    let sink = Sink::start();
    let mut place = place(&sink, isolate, "");
    let patience = ("first_byte_ms", json!(1_000));
    // A server that closes in the middle, one that reads nothing, and one that waits for the end which waits for it.
    for (url, ends, kib, expected) in [
        ("/cut/5000", "finished", KIB, "error ConnectionTerminated"),
        ("/gated/never", "finished", KIB, "error HttpResponseTimeout"),
        ("/take/it", "behind_answer", KIB, "error HttpResponseTimeout"),
        ("/take/it", "behind_answer", 8, "error HttpResponseTimeout"),
        ("/take/it", "unfinished", KIB, "error HttpProtocolError"),
        ("/take/it", "unfinished", 8, "error HttpProtocolError"),
    ] {
        sink.forget();
        let op = send_with("PUT", &sink.url(url), kib, &[("ends", json!(ends)), patience.clone()]);
        let program = [op, json!({"op": "step", "name": "end"})];
        let run = place.undisturbed(&program).await;
        assert_eq!(words(&run, "http"), [expected], "{isolate} {url} {ends} {kib}: {}", run.document);
        assert!(sink.taken().iter().all(|taken| !taken.is_whole), "{url} {ends}: {:?}", sink.taken());
        if isolate == "none" && kib == KIB {
            // It is the same again, without another request where it is on disk.
            let last = run.document["steps"].as_u64().expect("a number");
            let (data, id) = place.crashed(&program, &format!("record:{last}")).await.expect("killed");
            let run = place.resumed(&data, &id, &program).await;
            assert_eq!(words(&run, "http"), [expected], "{url} {ends}: {}", run.document);
        }
    }
    sink.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_ends_with_an_error_and_stays_one() {
    ends_with_an_error("none").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_from_a_worker_ends_with_an_error() {
    ends_with_an_error("process").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_come_before_the_body_has_its_end() {
    for isolate in ["none", "process"] {
        let sink = Sink::start();
        let mut place = place(&sink, isolate, "");
        for (url, ends, kib, expected) in [
            ("/refuse/it", "finished", KIB, format!("413 {:016x}", Oracle::hash(b"early"))),
            ("/refuse/it", "at_answer", KIB, format!("413 {:016x}", Oracle::hash(b"early"))),
            ("/early/it", "behind_answer", KIB, answered("early")),
            ("/early/it", "behind_answer", 8, answered("early")),
            ("/take/it", "at_answer", KIB, taken_whole(KIB)),
        ] {
            let op = send_with("POST", &sink.url(url), kib, &[("ends", json!(ends))]);
            let run = came_of(&mut place, op).await;
            assert_eq!(words(&run, "http"), [expected], "{isolate} {url} {ends} {kib}");
        }
    }
}

/// Far more than is held, of a server that waits in the middle.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_streams_is_not_held_in_memory() {
    const MIB: usize = 64;
    let sink = Sink::start();
    let mut place = place(&sink, "none", "");
    let server = Server::start(&place.data(), &place.tools);
    let client = server.client();
    let before = server.resident_kib();
    let program = json!({"program": [send("PUT", &sink.url("/gated/it"), MIB * 1024)]});
    let id = client.start("run_program", program, None).await.expect("a task");
    let neighbour = json!({"program": [{"op": "step", "name": "neighbour"}]});
    let neighbour = client.start("run_program", neighbour, None).await.expect("a task");
    assert_eq!(client.ended(&neighbour).await.expect("an end")["state"], "completed");
    assert_eq!(client.task(&id).await.expect("a task")["state"], "running", "its server takes nothing");
    sink.release();
    assert_eq!(client.ended(&id).await.expect("an end")["state"], "completed");
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    assert!(log.contains(&taken_whole(MIB * 1024)), "{log}");
    let more = server.most_resident_kib().saturating_sub(before) / 1024;
    println!("{more} MiB more for {MIB} MiB");
    assert!(more < MIB as u64 / 2, "{more} MiB more for {MIB} MiB");
    let taken = sink.took(1).await;
    assert!(taken[0].is_whole && taken[0].bytes == (MIB << 20) as u64, "{taken:?}");
}
