//! A secret that a component uses and never sees: put into its requests by the server, right after a kill as well, and found
//! in nothing that the server keeps, says or shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Authority, Client, Server, Tls, VALID, Web, command, guest};

const CANARY: &str = "canary-7f3a~9Q/secret+of=ours";

/// The component `fetch` as a stranger's, with the canary as its secret.
struct House {
    root: tempfile::TempDir,
    web: Web,
    /// With a certificate that no one vouches for.
    tls: Web,
}

impl House {
    fn new() -> Self {
        let unknown = Authority::new("unknown").server("localhost", VALID);
        let tls = Web::with_tls(Tls { config: Arc::clone(&unknown), late: Duration::ZERO });
        let house = Self { root: tempfile::tempdir().expect("a folder"), web: Web::start(), tls };
        fs::create_dir(house.path("tools")).expect("a folder");
        fs::copy(guest("fetch"), house.path("tools/fetch.wasm")).expect("a copy");
        house.write_key(CANARY);
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Replaced as deployments do it: the old file stays as it was.
    fn write_key(&self, key: &str) {
        fs::write(self.path("key.new"), format!("{key}\n")).expect("a key");
        fs::rename(self.path("key.new"), self.path("key")).expect("renamed");
    }

    fn start(&self, isolate: &str, variables: &[(&str, &str)]) -> Server {
        // Next to the configuration.
        self.start_from("file:key", isolate, variables)
    }

    /// With `key` as the source of what goes to the web server.
    fn start_from(&self, key: &str, isolate: &str, variables: &[(&str, &str)]) -> Server {
        let config = self.path(&format!("{isolate}.toml"));
        let secret = |host: &str, from: &str| {
            format!(
                "{{ name = \"key\", host = {host:?}, header = \"Authorization: Bearer\", from = {from:?} }}"
            )
        };
        let text = format!(
            "[engine]\nisolate = {isolate:?}\n[grants.fetch]\n\
             http = [{:?}, \"https://localhost:{}\", \"http://localhost:1\", \"http://secrets.example\", \"http://[::1]:1\"]\n\
             secrets = [{}, {}, {}, {}]\n[cli]\nanswer_without_terminal = true\n",
            self.web.url(""),
            self.tls.port,
            secret("127.0.0.1", key),
            secret("localhost", "env:LONGHAUL_TEST_SECRET"),
            secret("secrets.example", key),
            secret("[::1]", "file:/nowhere/key"),
        );
        fs::write(&config, text).expect("a configuration");
        let variables: Vec<_> = variables
            .iter()
            .copied()
            .chain([("LONGHAUL_TEST_SECRET", CANARY), ("RUST_LOG", "trace")])
            .collect();
        let data = self.path(&format!("{isolate}-data"));
        Server::start_granted_with(&data, &[self.path("tools")], &config, &variables)
    }

    fn sent(&self) -> Vec<Option<String>> {
        self.web.seen().into_iter().map(|seen| seen.authorization).collect()
    }
}

async fn begun(client: &Client, url: &str) -> String {
    client.start("fetch", json!({"url": url}), None).await.expect("a task")
}

/// What the guest got: its page, or its error.
async fn fetched(client: &Client, url: &str) -> String {
    let id = begun(client, url).await;
    result(client, &id).await
}

async fn result(client: &Client, id: &str) -> String {
    let document = client.ended(id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{document}");
    let result = client.call("task_result", json!({"task_id": id}), json!({})).await.expect("a result");
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}")).to_owned()
}

/// The canary and what it is easily made into.
fn forms() -> Vec<Vec<u8>> {
    let reversed: String = CANARY.chars().rev().collect();
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent = CANARY.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D").replace('~', "%7E");
    let (base64, shifted) = ("Y2FuYXJ5LTdmM2F", "bYW5hcnktN2YzYX");
    let halves = CANARY.split_at(CANARY.len() / 2);
    [CANARY, &reversed, &hex, &percent, base64, shifted, halves.0, halves.1]
        .map(|form| form.as_bytes().to_vec())
        .to_vec()
}

#[track_caller]
fn check_hidden(place: &str, bytes: &[u8]) {
    for form in forms() {
        let found = bytes.windows(form.len()).position(|window| window == form);
        assert_eq!(found, None, "{place} has {:?}", String::from_utf8_lossy(&form));
    }
}

/// All files of a folder.
fn check_files(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        match entry.file_type().expect("a type") {
            kind if kind.is_dir() => check_files(&path),
            kind if kind.is_file() => {
                check_hidden(&path.display().to_string(), &fs::read(&path).expect("read"))
            }
            _ => {}
        }
    }
}

async fn check_shown(server: &Server, tasks: &[String]) {
    let mut said = Vec::new();
    for words in
        [&["audit", "list"][..], &["tool", "list"], &["tool", "inspect", "fetch"], &["task", "list", "--all"]]
    {
        said.push((words.join(" "), server.longhaul(words).to_string()));
    }
    for id in tasks {
        for words in [["task", "show"], ["task", "journal"]] {
            said.push((words.join(" "), server.longhaul(&[words[0], words[1], id]).to_string()));
        }
        let log = server.client().read(&format!("task://{id}/log")).await.expect("a log");
        check_hidden("the task's log", log.as_bytes());
    }
    said.push(("/metrics".to_owned(), server.page("metrics").await));
    for (place, text) in said {
        assert!(text.len() > 1, "{place} says nothing");
        check_hidden(&place, text.as_bytes());
    }
}

async fn used_and_not_seen(isolate: &str) {
    let house = House::new();
    let server = house.start(isolate, &[]);
    let client = server.client();

    // It is used, also where the guest would have it come back.
    let stars = "*".repeat(CANARY.len());
    assert_eq!(fetched(&client, &house.web.url("/echo")).await, format!("Bearer {stars}"));
    assert_eq!(house.sent(), [Some(format!("Bearer {CANARY}"))]);
    // Also where it comes in two bits of an answer that streams.
    assert_eq!(fetched(&client, &house.web.url("/drip")).await, format!("data: Bearer {stars}\n\n"));

    // Each way in which a request fails.
    for (url, why) in [
        (format!("https://localhost:{}/", house.tls.port), "TlsCertificateError"),
        ("http://localhost:1/".to_owned(), "ConnectionRefused"),
        ("http://secrets.example/".to_owned(), "by https alone"),
        ("http://[::1]:1/".to_owned(), "no value for the secret 'key'"),
        ("http://elsewhere.example/".to_owned(), "HttpRequestDenied"),
    ] {
        let failed = fetched(&client, &url).await;
        assert!(failed.contains(why), "{url}: {failed}");
        check_hidden(&url, failed.as_bytes());
    }
    assert!(server.said().contains("file:/nowhere/key"), "the operator is told which source it is");
    assert_eq!(house.tls.seen(), []);

    // Killed while a request is under way, it is sent again with its secret.
    let id = begun(&client, &house.web.url("/slow/300/echo")).await;
    house.web.asked_for("/slow/300/echo").await;
    let said = server.said();
    server.kill();
    check_hidden("stderr", said.as_bytes());
    house.web.forget();
    let server = house.start(isolate, &[]);
    let client = server.client();
    assert_eq!(result(&client, &id).await, format!("Bearer {stars}"));
    assert_eq!(house.sent(), [Some(format!("Bearer {CANARY}"))]);

    let tasks: Vec<String> = match server.longhaul(&["task", "list", "--all"])["tasks"].as_array() {
        Some(tasks) => tasks.iter().map(|task| task["id"].as_str().expect("an id").to_owned()).collect(),
        None => panic!("there is no list"),
    };
    assert_eq!(tasks.len(), 8);
    check_shown(&server, &tasks).await;
    let said = server.said();
    assert!(said.contains("DEBUG"), "it says all that it can say: {said}");
    check_hidden("stderr", said.as_bytes());
    let data = server.data().to_owned();
    assert!(server.stop().success());
    check_files(&data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_used_and_never_seen() {
    used_and_not_seen("none").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_used_and_never_seen_by_a_worker() {
    used_and_not_seen("process").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_has_nothing_is_named_before_it_is_wanted() {
    let house = House::new();
    let server = house.start("none", &[]);
    server.says("file:/nowhere/key cannot be read").await;
    let config = house.path("none.toml");
    let words = ["--config", config.to_str().expect("a text"), "doctor"];
    let doctor =
        command(server.data(), &words).env("LONGHAUL_TEST_SECRET", CANARY).output().expect("longhaul runs");
    check_hidden("doctor", &doctor.stdout);
    let said: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let checks = said["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["what"] == "secrets").expect("it is looked at");
    assert_eq!(check["ok"], false, "{check}");
    let found = check["found"].as_str().expect("words");
    assert!(found.starts_with("of 3 there are not: file:/nowhere/key"), "{found}");
    assert!(!found.contains("env:"), "{found}");
}

/// The program that desktops on Linux have for it, played by a script that knows one entry.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_is_asked_by_its_program() {
    use std::os::unix::fs::PermissionsExt;
    let house = House::new();
    fs::create_dir(house.path("bin")).expect("a folder");
    let program = house.path("bin/secret-tool");
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = \"lookup service longhaul account web/ours\" ] && printf %s '{CANARY}'\n"
    );
    fs::write(&program, script).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it may be run");
    let path = std::env::var("PATH").expect("a path");
    let path = format!("{}:{path}", house.path("bin").display());
    // Each a server with a data folder of its own: another source is another grant, which waits for approval.
    for (isolate, entry, gets) in [("process", "longhaul/web/ours", true), ("none", "longhaul/other", false)]
    {
        house.web.forget();
        let server = house.start_from(&format!("keyring:{entry}"), isolate, &[("PATH", &path)]);
        let got = fetched(&server.client(), &house.web.url("/echo")).await;
        assert_eq!(house.sent().len(), usize::from(gets), "{got}");
        if !gets {
            assert!(got.contains("no value for the secret 'key'"), "{got}");
            server.says("keyring:longhaul/other is not in the keyring").await;
        }
        assert!(server.stop().success());
    }
}

/// The configuration grants it nothing; a person binds the source while the server runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_bound_at_an_approval_is_used_at_once_and_after_a_restart() {
    let house = House::new();
    let manifest = format!(
        "[capabilities]\nhttp = [{:?}]\nsecrets = [{{ name = \"key\", host = \"127.0.0.1\", header = \"Authorization: Bearer\" }}]\n",
        house.web.url("")
    );
    fs::write(house.path("tools/fetch.toml"), &manifest).expect("a manifest");
    let (config, data) = (house.path("bound.toml"), house.path("bound-data"));
    let text = "[engine]\nisolate = \"process\"\n[cli]\nanswer_without_terminal = true\n";
    fs::write(&config, text).expect("a configuration");
    // What a person binds is kept where the server cannot write.
    let home = house.path("config");
    let variables = [("XDG_CONFIG_HOME", home.to_str().expect("a text"))];
    let start = || Server::start_granted_with(&data, &[house.path("tools")], &config, &variables);
    let server = start();
    let approve = |words: &[&str]| {
        let config = config.to_str().expect("a text");
        let words = [&["--config", config, "tool", "approve", "fetch"], words].concat();
        let output = command(&data, &words).envs(variables).output().expect("longhaul runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default(), said)
    };
    let key = format!("key=file:{}", house.path("key").display());
    // Without a terminal it says the command that approves what was shown.
    let (_, said) = approve(&["--secret", &key]);
    assert!(said.contains("it may use: http:") && said.contains("secrets:key"), "{said}");
    let digest = said.rsplit_once("--digest ").expect("a command").1.trim().to_owned();
    let (_, said) = approve(&["--digest", &digest]);
    assert!(said.contains("and not: secrets:key, without --secret key=SOURCE"), "{said}");
    let echo = house.web.url("/echo");
    assert!(!fetched(&server.client(), &echo).await.contains("Bearer"), "it was bound to nothing");
    let (approved, said) = approve(&["--digest", &digest, "--secret", &key]);
    assert!(said.contains("bound: key to file:"), "{said}");
    assert_eq!(approved["bindings"]["secrets"]["key"], key["key=".len()..]);
    let hidden = format!("Bearer {}", "*".repeat(CANARY.len()));
    assert_eq!(fetched(&server.client(), &echo).await, hidden);
    check_hidden("what approve says", said.as_bytes());

    // Another version that asks for it in the same words has it once a person approves that.
    server.kill();
    fs::write(house.path("tools/fetch.toml"), format!("version = \"2\"\n{manifest}")).expect("a manifest");
    let server = start();
    let (_, said) = approve(&[]);
    assert!(said.contains("bound as before: secrets:key to file:"), "{said}");
    let digest = said.rsplit_once("--digest ").expect("a command").1.trim().to_owned();
    approve(&["--digest", &digest]);
    assert_eq!(fetched(&server.client(), &echo).await, hidden);

    // What no person has bound on this machine is not read, though the server asks for it.
    let bindings = home.join("longhaul/bindings.toml");
    let without = fs::read_to_string(&bindings).expect("written").replace("/key\"", "/elsewhere\"");
    server.kill();
    fs::write(&bindings, without).expect("written");
    let server = start();
    let got = fetched(&server.client(), &echo).await;
    assert!(got.contains("no value for the secret 'key'"), "{got}");
    server.says("longhaul tool approve --secret").await;
    server.kill();
    // A lock file says it on a machine where no person has.
    fs::write(&config, format!("lock_file = \"longhaul.lock\"\n{text}")).expect("a configuration");
    let (_, said) = approve(&[
        "--digest",
        &digest,
        "--secret",
        &key,
        "--tools",
        &house.path("tools").display().to_string(),
    ]);
    assert!(said.contains("longhaul.lock"), "{said}");
    fs::remove_file(&bindings).expect("removed");
    let server = start();
    assert_eq!(fetched(&server.client(), &echo).await, hidden);
    let lock = fs::read_to_string(house.path("longhaul.lock")).expect("a lock file");
    for part in ["manifest = \"blake3:", "approver = \"local\"", "bindings.secrets = { key = \"file:"] {
        assert!(lock.contains(part), "{part}: {lock}");
    }
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_is_read_again() {
    let house = House::new();
    let server = house.start("none", &[]);
    let client = server.client();
    fetched(&client, &house.web.url("/one")).await;
    house.write_key("another-canary");
    // What was just read counts for some seconds.
    let until = tokio::time::Instant::now() + Duration::from_secs(longhaul::limits::SECRET_KEPT_SECONDS + 20);
    while house.sent().last() != Some(&Some("Bearer another-canary".to_owned())) {
        assert!(tokio::time::Instant::now() < until, "{:?}", house.sent());
        fetched(&client, &house.web.url("/again")).await;
    }
    let sent: Vec<Value> = house.sent().into_iter().map(|sent| json!(sent)).collect();
    assert_eq!(sent[0], json!(format!("Bearer {CANARY}")));
}
