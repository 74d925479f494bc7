//! Components from and to a registry: Debian's docker-registry, and one that lies.

mod debian;
mod liar;
mod signed;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Authority, Server, VALID, answer_of, command, export, install};
use debian::DebianRegistry;
use liar::{Answer, Guard, Liar};

fn component(folder: &Path, number: u32) -> PathBuf {
    let core = format!(r#"(func (export "run") (result i32) i32.const {number})"#);
    install(folder, "number", &export("number", "(result u32)", &core), "[tools.number]\nreply = \"inline\"")
}

async fn number(server: &Server) -> Value {
    server.client().structured("number", json!({})).await["result"].clone()
}

/// The one that waits, as it is.
fn approve(data: &Path, config: &Path) {
    let approve = |words: &[&str]| {
        let mut command = command(data, &[&["tool", "approve"], words].concat());
        command.env("LONGHAUL_CONFIG", config);
        answer_of(command)
    };
    let waiting = approve(&[])["waiting"][0].clone();
    let digest = waiting["digest"].as_str().expect("a digest");
    let approved = approve(&[waiting["name"].as_str().expect("a name"), "--digest", digest]);
    assert_eq!(approved["name"], waiting["name"]);
}

fn run(data: &Path, words: &[&str]) -> Output {
    command(data, words).output().expect("longhaul runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Pushes; gives the reference with its digest, and what the tag stood for before.
fn push(data: &Path, path: &Path, to: &str) -> (String, Value) {
    let pushed = answer_of(command(data, &["tool", "push", path.to_str().expect("text"), to]));
    (pushed["pushed"].as_str().expect("text").to_owned(), pushed["before"].clone())
}

#[tokio::test]
async fn what_is_pushed_is_added_by_its_tag_pinned_and_looked_at_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(registry) = DebianRegistry::start(folder.path()) else { return };
    let (data, tools) = (folder.path().join("data"), folder.path().join("tools"));
    fs::create_dir(&tools).expect("made");
    let config = folder.path().join("longhaul.toml");
    fs::write(&config, "[cli]\nanswer_without_terminal = true\n").expect("written");
    let reference = format!("oci://{}/team/number:1", registry.address());
    let (first, before) = push(&data, &component(&tools, 7), &reference);
    assert_eq!(before, Value::Null);
    assert!(first.starts_with(&format!("{reference}@sha256:")), "{first}");
    let again = push(&data, &tools.join("number.wasm"), &reference);
    assert_eq!(again, (first.clone(), Value::Null), "pushed twice, it is one");

    let server = Server::start_granted(&data, &[], &config);
    let added = run(&data, &["tool", "add", &reference]);
    assert!(added.status.success(), "{}", stderr(&added));
    assert!(stderr(&added).contains(&first), "the digest is shown: {}", stderr(&added));
    assert_eq!(number(&server).await, 7);
    let same = run(&data, &["tool", "update", "number"]);
    assert!(stderr(&same).contains("still stands for what is here"), "{}", stderr(&same));

    let (second, before) = push(&data, &component(&tools, 8), &reference);
    let old_digest = first.rsplit_once('@').expect("pinned").1;
    assert_eq!(before, old_digest);
    let updated = run(&data, &["tool", "update", "number"]);
    let said = stderr(&updated);
    assert!(said.contains(&format!("was {first}")) && said.contains(&format!("is  {second}")), "{said}");
    let updated: Value = serde_json::from_slice(&updated.stdout).expect("JSON");
    assert_eq!(updated["state"], "waits_for_approval", "{updated}");
    let component = |state: &str| {
        let listed = server.longhaul(&["tool", "list"])["components"].clone();
        let mut all = listed.as_array().expect("a list").clone().into_iter();
        all.find(|component| component["state"] == state).expect("one of that state")
    };
    assert_eq!((&updated["serves"], number(&server).await), (&component("ready")["component"], json!(7)));
    assert_eq!(
        (&component("ready")["from"], &component("waits_for_approval")["from"]),
        (&json!(first), &json!(second))
    );
    assert_eq!(server.longhaul(&["tool", "inspect", "number"])["from"], first);
    // It goes on after a restart, until a person has looked at the other.
    drop(server);
    let server = Server::start_granted(&data, &[], &config);
    assert_eq!(number(&server).await, 7);
    approve(&data, &config);
    assert_eq!(number(&server).await, 8);
    let by_name = format!("oci://{}/copies/number:1", registry.address());
    let copied = answer_of(command(&data, &["tool", "push", "number", &by_name]));
    let digest = |place: &str| place.rsplit_once('@').expect("pinned").1.to_owned();
    let copied = digest(copied["pushed"].as_str().expect("a text"));
    assert_eq!(copied, digest(&second), "what was added is what is pushed");

    let missing = format!("oci://{}/team/number:2", registry.address());
    let missing = run(&data, &["tool", "add", &missing]);
    assert_eq!(missing.status.code(), Some(3), "{}", stderr(&missing));
    assert!(stderr(&missing).contains("there is no such artifact"), "{}", stderr(&missing));
    // Nothing is there any more, and what is here stays.
    drop(registry);
    let gone = run(&data, &["tool", "update", "number"]);
    assert!(
        stderr(&gone).contains("cannot be reached") && stderr(&gone).contains("stays as it is"),
        "{}",
        stderr(&gone)
    );
}

#[test]
fn a_registry_that_lies_is_refused_with_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let wasm = fs::read(component(folder.path(), 7)).expect("a component");
    let honest = liar::manifest(&wasm);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut manifest = honest.clone();
        change(&mut manifest);
        Answer::of(manifest.to_string())
    };
    let manifest = || Answer::of(honest.to_string());
    let blob = || Answer::of(wasm.clone());
    let mut other = wasm.clone();
    let last = other.len() - 1;
    other[last] ^= 1;
    let cases: Vec<(&str, Answer, Answer)> = vec![
        ("their digest is sha256:", manifest(), Answer::of(other)),
        (
            "their digest is sha256:",
            manifest().header("Docker-Content-Digest", &liar::digest(b"another")),
            blob(),
        ),
        ("it gives more than", manifest(), Answer::of([wasm.as_slice(), b"more"].concat())),
        ("it gives more than 1048576 bytes", Answer::of(vec![b' '; 1 << 21]), blob()),
        ("it gives more than 1048576 bytes", Answer::of(vec![b' '; 1 << 21]).without_length(), blob()),
        ("breaks off", manifest(), blob().cut()),
        ("breaks off", manifest(), Answer::of(wasm[..last].to_vec())),
        ("its layer has 68719476736 bytes", with(&|it| it["layers"][0]["size"] = json!(1_u64 << 36)), blob()),
        ("2 layers", with(&|it| it["layers"] = json!([it["layers"][0], it["layers"][0]])), blob()),
        ("its layer is text/plain", with(&|it| it["layers"][0]["mediaType"] = json!("text/plain")), blob()),
        ("its config is text/plain", with(&|it| it["config"]["mediaType"] = json!("text/plain")), blob()),
        ("cannot be read", Answer::of("<html>"), blob()),
        (
            "is longer than 131072 bytes",
            with(&|it| it["annotations"] = json!({ "dev.longhaul.manifest": "#".repeat(200_000) })),
            blob(),
        ),
        ("only the download of a component may be sent on", Answer::redirect("http://127.0.0.1:1/"), blob()),
        (
            "it sends on to http://192.0.2.1",
            manifest(),
            Answer::redirect("http://192.0.2.1/secret?signature=x"),
        ),
        ("it sends on to file://", manifest(), Answer::redirect("file:///etc/passwd")),
        ("it was sent on too often", manifest(), Answer::redirect("/v2/a/number/again")),
        (
            "status 429: too many requests (TOOMANYREQUESTS)",
            Answer::of(r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"too many requests"}]}"#)
                .status(429),
            blob(),
        ),
        ("status 500: out of order", Answer::of("out of order").status(500), blob()),
        (
            "the registry wants other credentials",
            Answer::of("").status(401).header("WWW-Authenticate", "Basic"),
            blob(),
        ),
        (
            "is neither Basic nor Bearer",
            Answer::of("").status(401).header("WWW-Authenticate", "Digest x"),
            blob(),
        ),
        (
            "it sends on to http://192.0.2.1",
            Answer::of("").status(401).header("WWW-Authenticate", "Bearer realm=\"http://192.0.2.1/token\""),
            blob(),
        ),
    ];
    for (words, manifest, blob) in cases {
        let liar = Liar::start(manifest, blob);
        let done = run(&data, &["tool", "add", &format!("oci://{}/a/number:1", liar.address())]);
        let said = stderr(&done);
        assert!(!done.status.success() && said.contains(words), "{words}: {said}");
        assert!(!said.contains("signature=x"), "what lets others in is not shown: {said}");
    }
    let honest = Liar::start(manifest(), blob());
    let done = run(&data, &["tool", "add", &format!("oci://{}/a/number:1", honest.address())]);
    assert!(done.status.success(), "{}", stderr(&done));
    let nowhere = run(&data, &["tool", "add", "oci://127.0.0.1:1/a/number:1"]);
    assert!(stderr(&nowhere).contains("cannot be reached"), "{}", stderr(&nowhere));
    let wrong = run(&data, &["tool", "add", "oci://registry.invalid/a/NUMBER"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
}

#[test]
fn a_push_to_where_nothing_can_be_pushed_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let component = component(folder.path(), 7);
    let refused = |address: &str| {
        let place = format!("oci://{address}/a/number:1");
        let done = run(&data, &["tool", "push", component.to_str().expect("text"), &place]);
        assert!(!done.status.success());
        stderr(&done)
    };
    let unknown = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}"#;
    let nowhere = Liar::start(Answer::of("").status(404), Answer::of(unknown).status(404));
    let said = refused(&nowhere.address().to_string());
    let words = "takes no push to it: repository name not known (NAME_UNKNOWN); look at its name";
    assert!(said.contains("/blobs/uploads/") && said.contains(words), "{said}");
    let Some(registry) = DebianRegistry::read_only(folder.path()) else { return };
    let said = refused(registry.address());
    assert!(said.contains("takes no push to it: Method not allowed; look at"), "{said}");
}

/// Grants go by a component's name, so that no artifact names itself.
#[test]
fn a_manifest_that_names_another_component_is_neither_pushed_nor_added() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let component = component(folder.path(), 7);
    let wasm = fs::read(&component).expect("a component");
    let push = |place: &str| run(&data, &["tool", "push", component.to_str().expect("text"), place]);
    let done = push("oci://127.0.0.1:1/a/other-number:1");
    let said = stderr(&done);
    assert_eq!(done.status.code(), Some(4), "{said}");
    assert!(said.contains("is named other_number") && said.contains("says name = \"number\""), "{said}");
    assert!(said.contains("a repository that ends with number"), "{said}");
    // It is alike.
    assert!(stderr(&push("oci://127.0.0.1:1/a/number:1")).contains("cannot be reached"));

    let mut artifact = liar::manifest(&wasm);
    artifact["annotations"] = json!({"dev.longhaul.manifest": "name = \"mailer\"\n"});
    let liar = Liar::start(Answer::of(artifact.to_string()), Answer::of(wasm));
    let done = run(&data, &["tool", "add", &format!("oci://{}/a/number:1", liar.address())]);
    let said = stderr(&done);
    assert_eq!(done.status.code(), Some(4), "{said}");
    assert!(said.contains("is named number") && said.contains("says name = \"mailer\""), "{said}");
    assert!(said.contains("its author can push it") && !said.contains("rename"), "{said}");
}

/// With this configuration.
fn run_with(config: &Path, data: &Path, words: &[&str]) -> Output {
    command(data, words).env("LONGHAUL_CONFIG", config).output().expect("longhaul runs")
}

#[test]
fn a_registry_is_asked_with_the_name_the_password_and_the_authority_that_are_configured() {
    let folder = tempfile::tempdir().expect("a folder");
    let wasm = fs::read(component(folder.path(), 7)).expect("a component");
    let answers = || (Answer::of(liar::manifest(&wasm).to_string()), Answer::of(wasm.clone()));
    let config = folder.path().join("longhaul.toml");
    fs::write(folder.path().join("password"), "a-secret-word\n").expect("written");
    // Of me:a-secret-word.
    let authorization = "Basic bWU6YS1zZWNyZXQtd29yZA==";
    let token = "Bearer realm=\"HERE/token\",service=\"here\"";
    for (at, challenge) in ["Basic realm=\"here\"", token].into_iter().enumerate() {
        let (manifest, blob) = answers();
        let liar = Liar::guarded(manifest, blob, Guard { challenge, authorization });
        let place = format!("oci://{}/a/number:1", liar.address());
        let add = ["tool", "add", &place];
        let data = folder.path().join(format!("data{at}"));
        let refused = run(&data, &add);
        assert!(stderr(&refused).contains("the registry wants other credentials"), "{}", stderr(&refused));
        let table = format!("[registries.\"{}\"]\nuser = \"me\"\n", liar.address());
        fs::write(&config, &table).expect("written");
        let half = run_with(&config, &data, &add);
        assert!(stderr(&half).contains("one of `user` and `password` alone"), "{}", stderr(&half));
        fs::write(&config, table + "password = \"file:password\"\n").expect("written");
        let added = run_with(&config, &data, &add);
        assert!(added.status.success(), "{}", stderr(&added));
        assert!(!stderr(&added).contains("a-secret-word"), "{}", stderr(&added));
    }

    let authority = Authority::new("ours");
    let (manifest, blob) = answers();
    let liar = Liar::with_tls(manifest, blob, authority.server("localhost", VALID));
    let host = format!("localhost:{}", liar.address().port());
    let place = format!("oci://{host}/a/number:1");
    let data = folder.path().join("data-tls");
    let table = format!("[registries.{host:?}]\ntls = true\n");
    fs::write(&config, &table).expect("written");
    let unknown = run_with(&config, &data, &["tool", "add", &place]);
    let said = stderr(&unknown);
    assert!(said.contains("cannot be reached") && said.contains("certificate"), "{said}");
    fs::write(folder.path().join("ca.pem"), authority.pem()).expect("written");
    fs::write(&config, format!("ca_file = \"ca.pem\"\n{table}")).expect("written");
    let added = run_with(&config, &data, &["tool", "add", &place]);
    assert!(added.status.success(), "{}", stderr(&added));
}

#[test]
fn a_manifest_is_given_to_what_has_none_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let wasm = fs::read(component(folder.path(), 7)).expect("a component");
    let bare = liar::manifest(&wasm);
    let mut carrying = bare.clone();
    carrying["annotations"] = json!({ "dev.longhaul.manifest": "version = \"2.0.0\"" });
    let manifest = folder.path().join("other.toml");
    fs::write(&manifest, "version = \"1.0.0\"\n").expect("written");
    let add = |artifact: &Value, data: &str| {
        let liar = Liar::start(Answer::of(artifact.to_string()), Answer::of(wasm.clone()));
        let place = format!("oci://{}/a/number:1", liar.address());
        let words = ["tool", "add", &place, "--manifest", manifest.to_str().expect("a text")];
        run(&folder.path().join(data), &words)
    };
    let added = add(&bare, "bare");
    assert!(added.status.success(), "{}", stderr(&added));
    let pushed = run(&folder.path().join("bare"), &["tool", "push", "number", "oci://127.0.0.1:1/a/number"]);
    assert!(stderr(&pushed).contains("cannot be reached"), "it is copied, then pushed: {}", stderr(&pushed));
    let twice = add(&carrying, "carrying");
    assert!(stderr(&twice).contains("has a manifest with it"), "{}", stderr(&twice));
    fs::write(&manifest, "nonsense = 1\n").expect("written");
    let wrong = add(&bare, "wrong");
    assert!(stderr(&wrong).contains("nonsense"), "{}", stderr(&wrong));
}
