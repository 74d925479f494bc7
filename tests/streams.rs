//! Answers that stream: each bit is there when it comes, and after a kill the guest reads on where it was, or hears that it
//! cannot.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use longhaul::limits;
use serde_json::{Value, json};

use crate::http::{Place, Run, words};
use crate::support::{Client, Oracle, Server, Web, guest, long, scale};

const KIB: usize = 3 * 1024;

fn get(url: &str) -> Value {
    json!({"op": "http", "request": {"method": "GET", "url": url}})
}

fn of_long() -> String {
    format!("200 {:016x}", Oracle::hash(&long(KIB)))
}

fn place(web: &Web, isolate: &str, effects: &str) -> Place {
    let place = Place::with_grants(&[web.url("")], effects);
    place.configure(&format!("[engine]\nisolate = {isolate:?}\n"));
    place
}

/// So many of them, spread evenly.
fn spread(edges: Vec<String>, variable: &str, most: u64) -> Vec<String> {
    let (all, most) = (edges.len(), usize::try_from(scale(variable, most)).expect("a number"));
    let step = all.div_ceil(most.max(1)).max(1);
    edges.into_iter().step_by(step).collect()
}

/// `LONGHAUL_STREAM_KILLS=1000` kills at every record and every piece.
async fn read_on(isolate: &str, kills: u64) {
    let web = Web::start();
    let mut place = place(&web, isolate, "");
    let program = [get(&web.url(&format!("/long/{KIB}/1"))), json!({"op": "step", "name": "end"})];
    let undisturbed = place.undisturbed(&program).await;
    assert_eq!(words(&undisturbed, "http"), [of_long()], "{}", undisturbed.document);
    let records = undisturbed.document["steps"].as_u64().expect("a number");
    assert!(records > 20, "each wait for a piece is a record: {records}");
    let records = (1..=records).map(|number| format!("record:{number}"));
    let pieces = (1..=20).flat_map(|number| [format!("piece_written:{number}"), format!("piece:{number}")]);
    let edges = records.chain(pieces).chain(["op_done:1".to_owned()]).collect();
    let mut killed = 0;
    for edge in spread(edges, "LONGHAUL_STREAM_KILLS", kills) {
        web.forget();
        let Some((data, id)) = place.crashed(&program, &edge).await else { continue };
        killed += 1;
        let run = place.resumed(&data, &id, &program).await;
        assert_eq!(words(&run, "http"), [of_long()], "{isolate} {edge}: {}", run.document);
        assert!((1..=2).contains(&web.seen().len()), "{isolate} {edge}: {:?}", web.seen());
    }
    assert!(killed >= kills / 2, "{killed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_read_on_after_a_kill() {
    read_on("none", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_read_on_in_a_worker_after_a_kill() {
    read_on("process", 2).await;
}

/// The component `follower`, which prints each line as it comes.
struct Follower {
    root: tempfile::TempDir,
    runs: u64,
}

impl Follower {
    fn new(web: &Web, isolate: &str) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("tools")).expect("a folder");
        fs::copy(guest("follower"), root.path().join("tools/follower.wasm")).expect("a copy");
        let manifest = format!("name = \"follower\"\n[capabilities]\nhttp = [{:?}]\n", web.url(""));
        fs::write(root.path().join("tools/follower.toml"), manifest).expect("a manifest");
        let configuration = format!("[engine]\nisolate = {isolate:?}\n");
        fs::write(root.path().join("longhaul.toml"), configuration).expect("a file");
        Self { root, runs: 0 }
    }

    fn start(&self, variables: &[(&str, &str)]) -> Server {
        let data = self.root.path().join(format!("data-{}", self.runs));
        fs::create_dir_all(data.join("longhaul")).expect("a folder");
        fs::copy(self.root.path().join("longhaul.toml"), data.join("longhaul/longhaul.toml"))
            .expect("a copy");
        let tools: [PathBuf; 1] = [self.root.path().join("tools/follower.wasm")];
        Server::start_with(&data, &tools, variables).expect("a server")
    }

    /// With another data folder from now on.
    fn start_new(&mut self, variables: &[(&str, &str)]) -> Server {
        self.runs += 1;
        self.start(variables)
    }
}

async fn begun(client: &Client, url: &str) -> Option<String> {
    client.start("follow", json!({"url": url}), Some("the one")).await.ok()
}

/// Its result and what it printed.
async fn end(client: &Client, id: &str) -> (Value, String) {
    let document = client.ended(id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{document}");
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    (client.result(id).await.expect("a result"), log)
}

async fn events_survive(isolate: &str, kills: u64) {
    const EVENTS: u64 = 5;
    let web = Web::start();
    let mut follower = Follower::new(&web, isolate);
    let url = web.url(&format!("/events/{EVENTS}"));
    let server = follower.start_new(&[]);
    let client = server.client();
    let undisturbed = end(&client, &begun(&client, &url).await.expect("a task")).await;
    let printed: String = (0..EVENTS).map(|event| format!("data: {event}\n\n")).collect();
    assert_eq!(undisturbed.1, printed, "{}", undisturbed.0);
    drop(server);
    let records = (1..=10).map(|number| format!("record:{number}"));
    let pieces =
        (1..=EVENTS + 1).flat_map(|number| [format!("piece_written:{number}"), format!("piece:{number}")]);
    let edges = records.chain(pieces).chain(["op_done:1".to_owned()]).collect();
    let mut killed = 0;
    for edge in spread(edges, "LONGHAUL_STREAM_KILLS", kills) {
        web.forget();
        let mut server = follower.start_new(&[("LONGHAUL_CRASH", &edge)]);
        let client = server.client();
        let id = begun(&client, &url).await;
        if let Some(id) = &id
            && client.ended(id).await.is_ok()
        {
            continue;
        }
        server.died().expect("it is dying");
        killed += 1;
        let server = follower.start(&[]);
        let client = server.client();
        let id = match id {
            Some(id) => id,
            None => begun(&client, &url).await.expect("a task"),
        };
        assert_eq!(end(&client, &id).await, undisturbed, "{isolate} {edge}");
    }
    assert!(killed >= kills / 2, "{killed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_each_read_once_whenever_the_server_is_killed() {
    events_survive("none", 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_each_read_once_by_a_worker_whenever_the_server_is_killed() {
    events_survive("process", 3).await;
}

async fn first_event(isolate: &str) {
    let web = Web::start();
    let mut follower = Follower::new(&web, isolate);
    let server = follower.start_new(&[]);
    let client = server.client();
    let id = begun(&client, &web.url("/gated/one")).await.expect("a task");
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    let mut log = String::new();
    while !log.contains("data: 0") {
        assert!(tokio::time::Instant::now() < until, "{}", client.task(&id).await.expect("a task"));
        // What is not there yet is an error.
        log = client.read(&format!("task://{id}/log")).await.unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!log.contains("data: 1"), "{log}");
    assert_eq!(client.task(&id).await.expect("a task")["state"], "running");
    web.release();
    assert_eq!(end(&client, &id).await.1, "data: 0\n\ndata: 1\n\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_event_is_there_while_the_connection_is_open() {
    first_event("none").await;
    first_event("process").await;
}

/// What the only `http` op came to, at a kill after some pieces, and how often its server was asked.
async fn after_a_kill(request: Value, web: &Web, place: &mut Place) -> (String, usize) {
    let program = [json!({"op": "http", "request": request}), json!({"op": "step", "name": "end"})];
    web.forget();
    let (data, id) = place.crashed(&program, "piece:3").await.expect("killed");
    let run: Run = place.resumed(&data, &id, &program).await;
    let came = words(&run, "http").first().map(|came| (*came).to_owned());
    (came.unwrap_or_else(|| run.document.to_string()), web.seen().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_on_ends_with_an_error() {
    let web = Web::start();
    let mut plain = place(&web, "none", "");
    let request = |method: &str, path: &str| json!({"method": method, "url": web.url(path), "body": ""});
    let (came, asked) = after_a_kill(request("POST", "/long/1024/2"), &web, &mut plain).await;
    assert!(came.starts_with("error HttpResponseIncomplete within "), "{came}");
    assert_eq!(asked, 1, "what may have an effect is not sent again");
    let (came, asked) = after_a_kill(request("GET", "/turning/1024/2"), &web, &mut plain).await;
    assert!(came.starts_with("error InternalError within "), "{came}");
    assert_eq!(asked, 2);

    let mut keyed = place(&web, "none", "idempotent_hosts = [\"127.0.0.1\"]");
    let (came, asked) = after_a_kill(request("POST", "/long/1024/2"), &web, &mut keyed).await;
    assert_eq!(came, format!("200 {:016x}", Oracle::hash(&long(1024))));
    let keys: Vec<_> = web.seen().into_iter().map(|seen| seen.key).collect();
    assert!(asked == 2 && keys[0].is_some() && keys[0] == keys[1], "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_is_an_error_and_stays_one() {
    let web = Web::start();
    let mut place = place(&web, "none", "");
    let program = [get(&web.url("/cut/200")), get(&web.url("/long/1/0"))];
    let run = place.undisturbed(&program).await;
    let expected = [
        format!("error HttpResponseIncomplete within {:016x}", Oracle::hash(&long(200))),
        format!("200 {:016x}", Oracle::hash(&long(1))),
    ];
    assert_eq!(words(&run, "http"), expected, "{}", run.document);
    web.forget();
    // How many pieces, and so how many records, there are is the network's: the second answer is behind all of them.
    let (data, id) = place.crashed(&program, "op_done:2").await.expect("killed");
    let run = place.resumed(&data, &id, &program).await;
    assert_eq!(words(&run, "http"), expected, "{}", run.document);
    let cut = web.seen().iter().filter(|seen| seen.path == "/cut/200").count();
    assert_eq!(cut, 1, "its end is on disk");
}

/// Far more than is held, next to a task that is answered meanwhile.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_streams_is_not_held_in_memory() {
    const MIB: usize = 64;
    let web = Web::start();
    let mut place = place(&web, "none", "");
    let program = [get(&web.url(&format!("/long/{}/0", MIB * 1024)))];
    let server = Server::start(&place.data(), &place.tools);
    let client = server.client();
    let before = server.resident_kib();
    let id = client.start("run_program", json!({"program": program}), None).await.expect("a task");
    web.asked_for(&format!("/long/{}/0", MIB * 1024)).await;
    let neighbour = json!({"program": [{"op": "step", "name": "neighbour"}]});
    let neighbour = client.start("run_program", neighbour, None).await.expect("a task");
    assert_eq!(client.ended(&neighbour).await.expect("an end")["state"], "completed");
    assert_eq!(
        client.task(&id).await.expect("a task")["state"],
        "running",
        "the neighbour was not behind it"
    );
    assert_eq!(client.ended(&id).await.expect("an end")["state"], "completed");
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    let expected = format!("200 {:016x}", Oracle::hash(&long(MIB * 1024)));
    assert!(log.contains(&expected), "{log}");
    let more = server.most_resident_kib().saturating_sub(before) / 1024;
    println!("{more} MiB more for {MIB} MiB");
    // What the store takes by itself for so much; held whole, the answer would come on top of it.
    let of_store = (limits::STORE_CACHE_BYTES + limits::MAX_UNFOLDED_BYTES) as u64 >> 20;
    assert!(more < of_store + MIB as u64 / 2, "{more} MiB more for {MIB} MiB");
}
