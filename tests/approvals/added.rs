//! Components that are added to a running server stand as those that a start finds: what stands next to one is what it
//! requests, and the lock file approves it.

use std::fs;

use serde_json::{Value, json};

use super::Place;
use super::selected::digest_of;
use crate::support::{Server, command, export, install};

const LOCKED: &str = "lock_file = \"longhaul.lock\"\n[grants.number]\nstate = [\"vault\"]\n";

/// An empty folder of tools, and a component elsewhere.
fn place(config: &str) -> Place {
    let place = Place { root: tempfile::tempdir().expect("a folder") };
    fs::create_dir(place.tools()).expect("a folder");
    let core = r#"(func (export "run") (result i32) i32.const 7)"#;
    let path = install(&place.tools(), "number", &export("number", "(result u32)", core), "");
    fs::remove_file(path.with_extension("toml")).expect("removed");
    place.write_config(config);
    place
}

impl Place {
    /// Serves nothing but what is added.
    fn start_empty(&self) -> Server {
        Server::start_granted(&self.data(), &[], &self.config())
    }

    fn change(&self, server: &Server, what: &str) -> Value {
        let path = self.tools().join("number.wasm");
        server.longhaul(&["tool", what, path.to_str().expect("text")])
    }
}

#[tokio::test]
async fn a_policy_next_to_what_is_added_is_what_it_requests_also_after_a_restart() {
    let place = place("");
    let policy = place.tools().join("policy.yaml");
    let text =
        "permissions:\n  network:\n    allow:\n    - host: https://a.example/\n    - cidr: 10.0.0.0/8\n";
    fs::write(&policy, text).expect("written");
    let server = place.start_empty();
    assert_eq!(place.change(&server, "add")["state"], "waits_for_approval");
    let offered = |place: &Place| place.waiting()[0]["offered"].clone();
    assert_eq!(offered(&place), json!(["http:https://a.example:443"]));
    server.stop();
    fs::remove_file(&policy).expect("removed");
    let server = place.start_empty();
    assert_eq!(offered(&place), json!(["http:https://a.example:443"]));
    assert!(server.said().contains("permissions.network.allow[1]: "), "{}", server.said());
    // A policy that cannot be read is none that requests nothing.
    fs::write(&policy, "permissions: [").expect("written");
    let path = place.tools().join("number.wasm");
    let words = ["tool", "update", path.to_str().expect("text")];
    let refused = command(&place.data(), &words).output().expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("policy.yaml, line 1"), "{said}");
    // A manifest goes before it.
    fs::write(path.with_extension("toml"), "[capabilities]\nelicit = true\n").expect("written");
    assert_eq!(place.change(&server, "update")["state"], "waits_for_approval");
    assert_eq!(offered(&place), json!(["elicit"]));
}

#[tokio::test]
async fn the_lock_file_approves_what_is_added_and_nothing_near_it() {
    let first = place(LOCKED);
    let server = first.start_empty();
    assert_eq!(first.change(&server, "add")["state"], "waits_for_approval");
    let called = command(&first.data(), &["call", "number"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&called.stderr).into_owned();
    assert!(called.status.code() == Some(4) && said.contains("waits for a person's approval"), "{said}");
    assert!(said.contains("longhaul tool approve number"), "{said}");
    let (done, _, said) = first.approve(&["number", "--digest", &digest_of(&first.waiting())]);
    assert!(done && said.contains("longhaul.lock"), "{said}");
    server.stop();

    // Another machine, where no person ever approved it.
    let other = place(LOCKED);
    let server = other.start_empty();
    fs::copy(first.root.path().join("longhaul.lock"), other.root.path().join("longhaul.lock"))
        .expect("a copy");
    assert_eq!(other.change(&server, "add")["state"], "ready");
    let mut bytes = fs::read(other.tools().join("number.wasm")).expect("a component");
    bytes.extend_from_slice(b"\x00\x05\x04more");
    fs::write(other.tools().join("number.wasm"), bytes).expect("written");
    assert_eq!(other.change(&server, "update")["state"], "waits_for_approval");
    // One that cannot be read approves nothing, and is reported.
    fs::write(other.root.path().join("longhaul.lock"), "version = 2").expect("written");
    let path = other.tools().join("number.wasm");
    let words = ["tool", "update", path.to_str().expect("text")];
    let refused = command(&other.data(), &words).output().expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("longhaul.lock"), "{said}");
}
