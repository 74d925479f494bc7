//! Components that are served only as those whose keys the operator has pinned have signed them.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use minisign::KeyPair;
use serde_json::{Value, json};

use crate::support::{Server, command, export, install};

struct House {
    root: tempfile::TempDir,
    alice: KeyPair,
    other: KeyPair,
}

impl House {
    fn new() -> Self {
        let pair = || KeyPair::generate_unencrypted_keypair().expect("keys");
        let house = Self { root: tempfile::tempdir().expect("a folder"), alice: pair(), other: pair() };
        fs::create_dir(house.path("tools")).expect("a folder");
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A tool that gives this number, of this version.
    fn component(&self, number: u32, version: &str) -> PathBuf {
        let core = format!(r#"(func (export "run") (result i32) i32.const {number})"#);
        let path = install(&self.path("tools"), "number", &export("number", "(result u32)", &core), "");
        let manifest = format!("version = {version:?}\n[tools.number]\nreply = \"inline\"");
        fs::write(path.with_extension("toml"), manifest).expect("written");
        path
    }

    fn sign(&self, component: &Path, pair: &KeyPair, comment: &str) {
        let bytes = fs::read(component).expect("a component");
        let signed = minisign::sign(None, &pair.sk, Cursor::new(bytes), Some(comment), None);
        let text = signed.expect("a signature").into_string();
        fs::write(component.with_extension("wasm.minisig"), text).expect("written");
    }

    fn start(&self, data: &str, tools: &[PathBuf]) -> Server {
        let config = self.path("longhaul.toml");
        let text = format!(
            "require_signature = true\n[signers]\nalice = {:?}\n[cli]\nanswer_without_terminal = true\n",
            self.alice.pk.to_base64()
        );
        fs::write(&config, text).expect("a configuration");
        Server::start_granted(&self.path(data), tools, &config)
    }
}

/// What a command that is refused says.
fn refused(server: &Server, words: &[&str]) -> String {
    let done = command(server.data(), words).output().expect("longhaul runs");
    assert!(!done.status.success(), "{words:?} was done");
    String::from_utf8_lossy(&done.stderr).into_owned()
}

fn state(server: &Server) -> Value {
    server.longhaul(&["tool", "list"])["components"][0]["state"].clone()
}

#[tokio::test]
async fn what_is_added_must_be_signed_right() {
    let house = House::new();
    let server = house.start("data", &[]);
    let path = house.component(7, "1.1.0");
    let add = ["tool", "add", path.to_str().expect("a text")];
    assert!(refused(&server, &add).contains("it has no signature"));
    house.sign(&path, &house.other, "name=number");
    assert!(refused(&server, &add).contains("no key of [signers] has signed it"));
    house.sign(&path, &house.alice, "name=another");
    assert!(refused(&server, &add).contains("of the component another"));
    house.sign(&path, &house.alice, "name=number version=1.1.0");
    house.component(8, "1.1.0");
    assert!(refused(&server, &add).contains("by alice is of another file"));
    house.component(7, "1.2.0");
    assert!(refused(&server, &add).contains("of the version 1.1.0, and this is 1.2.0"));
    house.component(7, "1.1.0");
    let added = server.longhaul(&add);
    assert_eq!(added["state"], "ready", "{added}");
    assert_eq!(server.client().structured("number", json!({})).await["result"], 7);

    // The signature goes with what was added: it is held against it at each start.
    drop(server);
    fs::remove_dir_all(house.path("tools")).expect("removed");
    let server = house.start("data", &[]);
    assert_eq!(server.client().structured("number", json!({})).await["result"], 7);

    // An older version waits, though its signature is right, and a person is shown which it is.
    fs::create_dir(house.path("tools")).expect("a folder");
    let path = house.component(6, "1.0.9");
    house.sign(&path, &house.alice, "name=number version=1.0.9");
    let updated = server.longhaul(&["tool", "update", "number"]);
    assert_eq!((&updated["state"], state(&server)), (&json!("waits_for_approval"), json!("ready")));
    assert_eq!(server.client().structured("number", json!({})).await["result"], 7);
    let shown = server.longhaul(&["tool", "approve"]);
    let reasons = shown["waiting"][0]["reasons"].to_string();
    assert!(reasons.contains("signed as version 1.0.9, which is OLDER than 1.1.0"), "{reasons}");
}

#[tokio::test]
async fn a_start_serves_nothing_that_is_not_signed() {
    let house = House::new();
    let path = house.component(7, "1.0.0");
    house.sign(&path, &house.alice, "name=number");
    let server = house.start("signed", std::slice::from_ref(&path));
    assert_eq!(server.client().structured("number", json!({})).await["result"], 7);
    assert!(server.stop().success());
    fs::remove_file(path.with_extension("wasm.minisig")).expect("removed");
    for flags in [&[][..], &["--trust"]] {
        let config = house.path("longhaul.toml");
        let tools = path.to_str().expect("a text");
        let words = [
            &[
                "--config",
                config.to_str().expect("a text"),
                "serve",
                "--http",
                "127.0.0.1:0",
                "--tools",
                tools,
            ],
            flags,
        ];
        let done = command(&house.path("unsigned"), &words.concat()).output().expect("longhaul runs");
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{said}");
        assert!(said.contains("number.wasm: it has no signature"), "{said}");
    }
}
