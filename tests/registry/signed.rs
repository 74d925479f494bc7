use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use minisign::KeyPair;
use serde_json::json;

use super::debian::DebianRegistry;
use super::{component, number, push, run, stderr};
use crate::support::Server;

/// A component that gives this number, as this version.
fn versioned(folder: &Path, number: u32, version: &str) -> PathBuf {
    let path = component(folder, number);
    let manifest = format!("version = {version:?}\n[tools.number]\nreply = \"inline\"");
    fs::write(path.with_extension("toml"), manifest).expect("written");
    path
}

fn sign(path: &Path, pair: &KeyPair, comment: &str) {
    let bytes = fs::read(path).expect("a component");
    let signed = minisign::sign(None, &pair.sk, Cursor::new(bytes), Some(comment), None);
    let text = signed.expect("a signature").into_string();
    fs::write(path.with_extension("wasm.minisig"), text).expect("written");
}

#[tokio::test]
async fn a_signature_travels_with_its_component_and_is_held_against_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(registry) = DebianRegistry::start(folder.path()) else { return };
    let (data, tools) = (folder.path().join("data"), folder.path().join("tools"));
    fs::create_dir(&tools).expect("made");
    let pair = || KeyPair::generate_unencrypted_keypair().expect("keys");
    let (alice, other) = (pair(), pair());
    let config = folder.path().join("longhaul.toml");
    let text = format!("require_signature = true\n[signers]\nalice = {:?}\n", alice.pk.to_base64());
    fs::write(&config, text).expect("written");
    let server = Server::start_granted(&data, &[], &config);
    let place = format!("oci://{}/team/number:1", registry.address());
    let refused = |path: &Path, words: &str| {
        push(&data, path, &place);
        let done = run(&data, &["tool", "add", &place]);
        assert!(!done.status.success() && stderr(&done).contains(words), "{words}: {}", stderr(&done));
    };

    let path = versioned(&tools, 7, "1.1.0");
    refused(&path, "it has no signature");
    sign(&path, &other, "name=number");
    refused(&path, "no key of [signers] has signed it");
    sign(&path, &alice, "name=number version=1.1.0");
    let of_seven = fs::read(path.with_extension("wasm.minisig")).expect("a signature");
    versioned(&tools, 8, "1.1.0");
    refused(&path, "by alice is of another file");
    versioned(&tools, 7, "1.2.0");
    refused(&path, "of the version 1.1.0, and this is 1.2.0");
    versioned(&tools, 7, "1.1.0");
    push(&data, &path, &place);
    let added = server.longhaul(&["tool", "add", &place]);
    assert_eq!((&added["state"], number(&server).await), (&json!("ready"), json!(7)));

    // The tag goes back to an older version, which is signed right.
    versioned(&tools, 6, "1.0.9");
    sign(&path, &alice, "name=number version=1.0.9");
    push(&data, &path, &place);
    let updated = server.longhaul(&["tool", "update", "number"]);
    assert_eq!((&updated["state"], number(&server).await), (&json!("waits_for_approval"), json!(7)));
    let reasons = server.longhaul(&["tool", "approve"])["waiting"][0]["reasons"].to_string();
    assert!(reasons.contains("signed as version 1.0.9, which is OLDER than 1.1.0"), "{reasons}");
    // Then to one whose signature is of the first.
    versioned(&tools, 9, "1.1.0");
    fs::write(path.with_extension("wasm.minisig"), of_seven).expect("written");
    push(&data, &path, &place);
    let done = run(&data, &["tool", "update", "number"]);
    assert!(!done.status.success() && stderr(&done).contains("is of another file"), "{}", stderr(&done));
    assert_eq!(number(&server).await, 7);
}
