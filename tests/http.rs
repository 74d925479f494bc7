//! Guests that talk to a server, killed on the way: what was answered is not asked again, what is asked again
//! bears its old key, and the end is that of an undisturbed run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{
    Client, Dice, Oracle, Seen, Server, Sink, Web, answer_of, command, copy_folder, guest, scale,
};

/// The interpreter with a grant for one web server, compiled once.
pub struct Place {
    root: tempfile::TempDir,
    pub tools: Vec<PathBuf>,
    copies: u64,
}

pub struct Run {
    pub document: Value,
    result: Value,
    /// What the program printed, by op.
    lines: Vec<String>,
}

impl Place {
    fn new(web: &Web, effects: &str) -> Self {
        Self::with_grants(&[web.url("")], effects)
    }

    pub fn with_grants(http: &[String], effects: &str) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let component = root.path().join("interpreter.wasm");
        fs::copy(guest("interpreter"), &component).expect("a copy");
        let manifest =
            format!("name = \"interpreter\"\n[capabilities]\nhttp = {http:?}\n[effects]\n{effects}\n");
        fs::write(root.path().join("interpreter.toml"), manifest).expect("a manifest");
        let tools = vec![component];
        let server = Server::start(&root.path().join("template"), &tools);
        assert!(server.stop().success());
        Self { root, tools, copies: 0 }
    }

    /// A `longhaul.toml` of its servers.
    pub fn configure(&self, text: &str) {
        let folder = self.root.path().join("template/longhaul");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("longhaul.toml"), text).expect("a file");
    }

    /// What the server of the last run said.
    pub fn said(&self) -> String {
        fs::read_to_string(self.root.path().join(format!("run-{}.server.log", self.copies))).expect("a log")
    }

    /// A file next to the data folders.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.root.path().join(name), text).expect("a file");
    }

    pub fn data(&mut self) -> PathBuf {
        self.copies += 1;
        let data = self.root.path().join(format!("run-{}", self.copies));
        copy_folder(&self.root.path().join("template"), &data);
        data
    }

    pub async fn undisturbed(&mut self, program: &[Value]) -> Run {
        let server = Server::start(&self.data(), &self.tools);
        let client = server.client();
        let id = start(&client, program).await.expect("a task");
        run_of(&client, &id, program).await
    }

    /// Runs until it dies at the crash point; the data folder and the task. `None` where it ended first.
    pub async fn crashed(&mut self, program: &[Value], crash: &str) -> Option<(PathBuf, String)> {
        let data = self.data();
        let variables = [("LONGHAUL_CRASH", crash)];
        let mut server = Server::start_with(&data, &self.tools, &variables).expect("a server");
        let client = server.client();
        let id = start(&client, program).await;
        if let Some(id) = &id
            && client.ended(id).await.is_ok()
        {
            return None;
        }
        let status = server.died().expect("it is dying");
        assert_eq!(status.code(), None, "killed, not ended: {}", server.said());
        // It may have died before its link was out, under its key it is found again.
        Some((data, id.unwrap_or_default()))
    }

    /// Takes a task up again that was left open.
    pub async fn resumed(&self, data: &Path, id: &str, program: &[Value]) -> Run {
        let server = Server::start(data, &self.tools);
        let client = server.client();
        let id = match id {
            "" => start(&client, program).await.expect("a task"),
            id => id.to_owned(),
        };
        run_of(&client, &id, program).await
    }
}

async fn start(client: &Client, program: &[Value]) -> Option<String> {
    client.start("run_program", json!({"program": program}), Some("the one")).await.ok()
}

async fn run_of(client: &Client, id: &str, program: &[Value]) -> Run {
    let document = client.ended(id).await.expect("an end");
    if document["state"] != "completed" {
        return Run { document, result: Value::Null, lines: Vec::new() };
    }
    let result = client.result(id).await.expect("a result");
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    let printed: String = log.split_inclusive('\n').filter(|line| line.starts_with("> ")).collect();
    let oracle = Oracle::of(program);
    assert_eq!(result["acc"], format!("{:016x}", oracle.acc), "{log}");
    assert_eq!(result["steps"], oracle.steps);
    assert_eq!(result["observed"], format!("{:016x}", Oracle::hash(printed.as_bytes())), "{log}");
    Run { document, result, lines: printed.lines().map(str::to_owned).collect() }
}

/// Words behind `> N op `.
pub fn words<'a>(run: &'a Run, op: &str) -> Vec<&'a str> {
    let of_op =
        |line: &'a String| line.split(' ').nth(2).filter(|name| *name == op).and(line.splitn(4, ' ').nth(3));
    run.lines.iter().filter_map(of_op).collect()
}

fn request(web: &Web, method: &str, path: &str, body: &str) -> Value {
    json!({"method": method, "url": web.url(path), "body": body})
}

/// Requests alone, together, and with a time in them; all may be sent again.
fn mixed(web: &Web) -> Vec<Value> {
    let many = |name: &str| {
        vec![
            request(web, "GET", &format!("/slow/20/{name}/1"), ""),
            request(web, "PUT", &format!("/{name}/2"), "two"),
            request(web, "PUT", &format!("/slow/10/{name}/3"), "three"),
            request(web, "DELETE", &format!("/{name}/4"), ""),
        ]
    };
    vec![
        json!({"op": "http", "request": request(web, "PUT", "/first", "one")}),
        json!({"op": "clock2"}),
        json!({"op": "http_many", "requests": many("a"), "timeout_ms": 60_000}),
        json!({"op": "http_clock", "request": request(web, "PUT", "/time", "")}),
        json!({"op": "step", "name": "half"}),
        json!({"op": "http_many", "requests": many("b")}),
        json!({"op": "http", "request": request(web, "GET", "/last", "")}),
    ]
}

/// What `mixed` must have printed, whatever happened on the way.
fn check_mixed(run: &Run) {
    assert_eq!(run.document["state"], "completed", "{}", run.document);
    assert!(run.result["acc"].is_string());
    let many = |name: &str| {
        [
            Web::answer("GET", &format!("/slow/20/{name}/1"), ""),
            Web::answer("PUT", &format!("/{name}/2"), "two"),
            Web::answer("PUT", &format!("/slow/10/{name}/3"), "three"),
            Web::answer("DELETE", &format!("/{name}/4"), ""),
        ]
        .join(", ")
    };
    assert_eq!(words(run, "http"), [Web::answer("PUT", "/first", "one"), Web::answer("GET", "/last", "")]);
    assert_eq!(words(run, "http_many"), [many("a"), many("b")]);
    let clock = words(run, "http_clock")[0];
    let (times, answer) = clock.split_at(clock.match_indices(' ').nth(1).expect("two times").0);
    assert_eq!(
        answer.trim_start(),
        Web::answer("PUT", "/time", times),
        "the time that was sent is the time that was read"
    );
}

/// At most `in_flight` requests were sent twice by one kill, none more often, and a key stands for one request.
fn check_repeats(seen: &[Seen], distinct: usize, in_flight: usize, what: &str) {
    let mut sent: BTreeMap<(&str, &str), Vec<&Seen>> = BTreeMap::new();
    for one in seen {
        sent.entry((&one.method, &one.path)).or_default().push(one);
    }
    assert_eq!(sent.len(), distinct, "{what}: {seen:?}");
    let repeated: Vec<_> = sent.values().filter(|all| all.len() > 1).collect();
    assert!(repeated.len() <= in_flight, "{what}: {repeated:?}");
    for all in &repeated {
        assert_eq!(all.len(), 2, "{what}: {all:?}");
        assert_eq!(all[0], all[1], "{what}: key and body are the same");
        assert_eq!(all[0].key.is_some(), all[0].method != "GET", "{what}");
    }
    let keys: BTreeMap<_, _> = seen.iter().filter_map(|one| Some((one.key.clone()?, &one.path))).collect();
    assert_eq!(
        keys.len(),
        sent.keys().filter(|(method, _)| *method != "GET").count(),
        "{what}: one key each"
    );
}

const DISTINCT: usize = 11;

/// A kill at each record, after each intent and before each outcome is on disk.
#[tokio::test(flavor = "multi_thread")]
async fn requests_survive_a_kill_at_every_edge() {
    let web = Web::start();
    let mut place = Place::new(&web, "");
    let program = mixed(&web);
    let undisturbed = place.undisturbed(&program).await;
    check_mixed(&undisturbed);
    check_repeats(&web.seen(), DISTINCT, 0, "undisturbed");
    let records = undisturbed.document["steps"].as_u64().expect("a number");
    let mut edges: Vec<String> = (1..=records).map(|number| format!("record:{number}")).collect();
    edges.extend((1..=8).map(|number| format!("op_intent:{number}")));
    edges.extend((1..=DISTINCT).map(|number| format!("op_done:{number}")));
    let mut kills = 0;
    for edge in &edges {
        web.forget();
        let Some((data, id)) = place.crashed(&program, edge).await else { continue };
        kills += 1;
        let before = web.seen();
        check_mixed(&place.resumed(&data, &id, &program).await);
        check_repeats(&web.seen(), DISTINCT, 4, edge);
        // What was sent alone before what was under way at the kill had come back.
        let is_first = |one: &Seen| one.path == "/first";
        if before.iter().any(|one| !is_first(one)) {
            assert_eq!(web.count("/first"), 1, "{edge}: an answered request was sent again");
        }
    }
    println!("{kills} kills at {} edges", edges.len());
    assert!(kills * 10 >= edges.len() * 8, "too few edges were reached: {kills} of {}", edges.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_survive_kills_at_random_moments() {
    let web = Web::start();
    let mut place = Place::new(&web, "");
    let program = mixed(&web);
    let mut dice = Dice::new(23);
    for _ in 0..scale("LONGHAUL_RANDOM_KILLS", 15) {
        web.forget();
        let data = place.data();
        let mut kills = 0;
        for _ in 0..2 {
            let server = Server::start(&data, &place.tools);
            if start(&server.client(), &program).await.is_some() {
                // The moment itself is under test here.
                std::thread::sleep(std::time::Duration::from_millis(dice.roll(120)));
                kills += 1;
            }
            server.kill();
        }
        assert_eq!(kills, 2);
        check_mixed(&place.resumed(&data, "", &program).await);
        let mut sent: BTreeMap<(String, String), Vec<Seen>> = BTreeMap::new();
        for one in web.seen() {
            sent.entry((one.method.clone(), one.path.clone())).or_default().push(one);
        }
        assert_eq!(sent.len(), DISTINCT);
        for all in sent.values() {
            assert!(all.len() <= 3 && all.iter().all(|one| *one == all[0]), "{all:?}");
        }
    }
}

/// A guest that gives up before the answer comes: the request is not sent again by any resume behind that.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_its_own_timeout_beat_is_not_sent_again() {
    let web = Web::start();
    let mut place = Place::new(&web, "");
    let program = [
        json!({"op": "http", "request": request(&web, "POST", "/never/1", "x"), "timeout_ms": 100}),
        json!({"op": "http", "request": {"method": "GET", "url": web.url("/never/2"), "first_byte_ms": 100}}),
        json!({"op": "step", "name": "after"}),
        json!({"op": "nap", "ms": 10}),
        json!({"op": "step", "name": "end"}),
    ];
    let undisturbed = place.undisturbed(&program).await;
    assert_eq!(
        words(&undisturbed, "http"),
        ["timeout", "error HttpResponseTimeout"],
        "{}",
        undisturbed.document
    );
    let records = undisturbed.document["steps"].as_u64().expect("a number");
    let mut behind = 0;
    for number in 1..=records {
        web.forget();
        let Some((data, id)) = place.crashed(&program, &format!("record:{number}")).await else { break };
        let posts = web.count("/never/1");
        let second = web.count("/never/2") > 0;
        let run = place.resumed(&data, &id, &program).await;
        if second {
            // The timeout of the first is in the journal.
            behind += 1;
            assert_eq!(run.document["state"], "completed", "record {number}: {}", run.document);
            assert_eq!(words(&run, "http"), ["timeout", "error HttpResponseTimeout"]);
        }
        assert_eq!((posts, web.count("/never/1")), (posts.min(1), 1), "record {number}");
    }
    assert!(behind > 2, "{behind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_over_what_is_held_and_dropped_answers_come_to_the_same_each_time() {
    let (web, sink) = (Web::start(), Sink::start());
    let mut place = Place::with_grants(&[web.url(""), sink.url("")], "");
    let large = json!({"method": "PUT", "url": sink.url("/take/large"), "body_bytes": 5 << 20});
    let dropped = json!({"method": "PUT", "url": web.url("/dropped"), "body_bytes": 300_000});
    let fits = json!({"method": "PUT", "url": web.url("/fits"), "body_bytes": 4 << 20});
    let program = [
        json!({"op": "http", "request": large}),
        json!({"op": "http_drop", "request": dropped}),
        json!({"op": "http_drop", "request": large}),
        json!({"op": "http", "request": fits}),
        json!({"op": "step", "name": "end"}),
    ];
    let check = |run: &Run| {
        let fits = Web::answer("PUT", "/fits", &"x".repeat(4 << 20));
        let large = Sink::answer(&vec![b'x'; 5 << 20]);
        let large = format!("200 {:016x}", Oracle::hash(large.as_bytes()));
        assert_eq!(words(run, "http"), [&large, &fits], "{}", run.document);
        assert_eq!(words(run, "http_drop"), ["written", "written"]);
    };
    let undisturbed = place.undisturbed(&program).await;
    check(&undisturbed);
    for number in 1..=undisturbed.document["steps"].as_u64().expect("a number") {
        let Some((data, id)) = place.crashed(&program, &format!("record:{number}")).await else { break };
        check(&place.resumed(&data, &id, &program).await);
    }
}

/// Nothing reaches a listener that is not granted, by whatever name.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_not_granted_sees_no_connection() {
    let (web, hidden) = (Web::start(), Web::start());
    let mut place = Place::with_grants(&[web.url(""), format!("http://localhost:{}", web.port)], "");
    let port = hidden.port;
    let urls = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://127.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f000001:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("https://127.0.0.1:{port}/"),
    ];
    let program: Vec<Value> = urls
        .iter()
        .map(|url| json!({"op": "http", "request": {"method": "GET", "url": url}}))
        .chain([json!({"op": "http", "request": {"method": "GET", "url": format!("http://localhost:{}/yes", web.port)}})])
        .collect();
    let run = place.undisturbed(&program).await;
    let got = words(&run, "http");
    assert_eq!(got[..urls.len()], vec!["error HttpRequestDenied"; urls.len()], "{}", run.document);
    assert_eq!(got[urls.len()], Web::answer("GET", "/yes", ""));
    assert_eq!(hidden.connections(), 0);
}

/// The lines on stderr are those of the configuration: copied into it, they let the tool through.
#[tokio::test(flavor = "multi_thread")]
async fn the_lines_that_a_refusal_names_grant_the_host() {
    let web = Web::start();
    let mut place = Place::with_grants(&[], "");
    let program = [json!({"op": "http", "request": request(&web, "GET", "/prices", "")})];
    let refused = place.undisturbed(&program).await;
    assert_eq!(words(&refused, "http"), ["error HttpRequestDenied"], "{}", refused.document);
    let said = place.said();
    let lines = said.split_once("takes the host):\n").expect("lines").1;
    let lines: Vec<&str> = lines.lines().take(2).collect();
    assert_eq!(lines[0], "[grants.interpreter]", "{said}");
    place.configure(&lines.join("\n"));
    let granted = place.undisturbed(&program).await;
    assert_eq!(words(&granted, "http"), [Web::answer("GET", "/prices", "")], "{}", granted.document);
}

/// A POST left, the server died before the answer was on disk: what follows is the manifest's to say, and in
/// the end the owner's.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_of_unknown_outcome_goes_by_the_policy() {
    let web = Web::start();
    let program = [
        json!({"op": "http", "request": request(&web, "POST", "/pay", "100")}),
        json!({"op": "step", "name": "end"}),
    ];
    let answered = Web::answer("POST", "/pay", "100");

    for effects in ["unknown_outcome = \"retry\"", "idempotent_hosts = [\"127.0.0.1\"]"] {
        web.forget();
        let mut place = Place::new(&web, effects);
        let (data, id) = place.crashed(&program, "op_done:1").await.expect("killed");
        let run = place.resumed(&data, &id, &program).await;
        assert_eq!(words(&run, "http"), [&answered], "{effects}: {}", run.document);
        check_repeats(&web.seen(), 1, 1, effects);
        assert_eq!(web.count("/pay"), 2, "{effects}");
    }

    let mut fails = Place::new(&web, "");
    for (resolution, got, sent) in [
        (vec!["--resend"], answered.clone(), 2),
        (vec!["--failed"], "error InternalError".to_owned(), 1),
        (
            vec!["--done", "{\"status\": 201, \"body\": \"paid\"}"],
            format!("201 {:016x}", Oracle::hash(b"paid")),
            1,
        ),
    ] {
        web.forget();
        let (data, id) = fails.crashed(&program, "op_done:1").await.expect("killed");
        let run = fails.resumed(&data, &id, &program).await;
        assert_eq!(
            (&run.document["state"], &run.document["reason"]),
            (&json!("failed"), &json!("unknown_outcome"))
        );
        assert!(
            run.document["error"]["next"].as_str().is_some_and(|next| next.contains("--step 0")),
            "{}",
            run.document
        );
        assert_eq!(web.count("/pay"), 1, "nothing is sent before the owner says so");
        let id = run.document["id"].as_str().expect("an id").to_owned();
        // Without a server, then with one: the task goes on from its journal.
        resolve(&data, &id, &resolution);
        let run = fails.resumed(&data, &id, &program).await;
        assert_eq!(words(&run, "http"), [got], "{resolution:?}: {}", run.document);
        assert_eq!(web.count("/pay"), sent, "{resolution:?}");
        check_repeats(&web.seen(), 1, 1, "resolved");
    }

    web.forget();
    let mut asks = Place::new(&web, "unknown_outcome = \"ask\"");
    let (data, id) = asks.crashed(&program, "op_done:1").await.expect("killed");
    let server = Server::start(&data, &asks.tools);
    let client = server.client();
    let id = if id.is_empty() { start(&client, &program).await.expect("a task") } else { id };
    let waiting = client.until(&id, |document| document["state"] == "waiting").await;
    assert_eq!(waiting["reason"], "input");
    let by_model = json!({"task_id": id, "step": 0, "resolution": "resend"});
    let refused = client.call("task_resolve", by_model, json!({})).await.expect("an answer");
    assert_eq!(refused["isError"], true, "{refused}");
    assert_eq!(web.count("/pay"), 1);
    resolve(&data, &id, &["--resend"]);
    assert_eq!(words(&run_of(&client, &id, &program).await, "http"), [&answered]);
    assert_eq!(web.count("/pay"), 2);
}

/// What a tool is granted never leads to the server that runs it.
#[tokio::test(flavor = "multi_thread")]
async fn no_grant_opens_the_server_itself() {
    let address =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    let hosts = ["127.0.0.1", "localhost", "0.0.0.0"].map(|host| format!("http://{host}:{}", address.port()));
    let mut place = Place::with_grants(&hosts, "");
    let data = place.data();
    let server = Server::start_at(&format!("http://{address}/mcp"), &data, &place.tools);
    let get =
        |host: &String| json!({"op": "http", "request": {"method": "GET", "url": format!("{host}/healthz")}});
    let program: Vec<Value> = hosts.iter().map(get).collect();
    let client = server.client();
    let id = start(&client, &program).await.expect("a task");
    let run = run_of(&client, &id, &program).await;
    assert_eq!(words(&run, "http"), ["error DestinationIpProhibited"; 3]);
}

/// `longhaul task resolve`, as a person would.
fn resolve(data: &Path, id: &str, how: &[&str]) {
    answer_of(command(data, &[&["task", "resolve", id, "--step", "0"], how].concat()));
}

/// The web digest knows nothing of Longhaul; killed while its pages are under way, it comes to the same end.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_digest_survives_kills() {
    let web = Web::start();
    let root = tempfile::tempdir().expect("a folder");
    let component = root.path().join("web_digest.wasm");
    fs::copy(guest("web_digest"), &component).expect("a copy");
    let manifest = format!("name = \"web_digest\"\n[capabilities]\nhttp = [{:?}]\n", web.url(""));
    fs::write(root.path().join("web_digest.toml"), manifest).expect("a manifest");
    let tools = vec![component];
    let urls: Vec<String> = (0..6).map(|page| web.url(&format!("/slow/{}/{page}", 40 - page * 5))).collect();
    let arguments = json!({"urls": urls});
    let mut ends = Vec::new();
    for round in 0..6 {
        web.forget();
        let data = root.path().join(format!("run-{round}"));
        if round > 0 {
            let edge = if round % 2 == 0 { format!("op_done:{round}") } else { format!("record:{round}") };
            let server = Server::start_with(&data, &tools, &[("LONGHAUL_CRASH", &edge)]).expect("a server");
            if let Ok(id) = server.client().start("web_digest", arguments.clone(), Some("k")).await {
                let _ = server.client().ended(&id).await;
            }
            server.kill();
        }
        let server = Server::start(&data, &tools);
        let client = server.client();
        let id = client.start("web_digest", arguments.clone(), Some("k")).await.expect("a task");
        assert_eq!(client.ended(&id).await.expect("an end")["state"], "completed");
        ends.push(client.result(&id).await.expect("a result"));
    }
    let pages = ends[0]["result"].as_array().expect("pages");
    assert_eq!(pages.len(), 6);
    assert!(
        pages.iter().all(|page| page["digest"]["status"] == 200 && page["digest"]["words"] == 5),
        "{pages:?}"
    );
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
}
