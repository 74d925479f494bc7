//! The lock file: what it says is approved, on a machine where no person ever approved anything, and nothing else is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use super::selected::{digest_of, requesting};
use super::{Place, is_refused, is_served};
use crate::support::{command, copy_folder};

const NAMED: &str = "lock_file = \"longhaul.lock\"\n";

impl Place {
    fn lock(&self) -> PathBuf {
        self.root.path().join("longhaul.lock")
    }

    fn locked(&self) -> String {
        fs::read_to_string(self.lock()).expect("a lock file")
    }

    /// What is committed of it, on another machine.
    fn checked_out(&self) -> Self {
        let copy = Self { root: tempfile::tempdir().expect("a folder") };
        copy_folder(&self.tools(), &copy.tools());
        for file in [self.config(), self.lock()] {
            fs::copy(&file, copy.root.path().join(file.file_name().expect("a name"))).expect("a copy");
        }
        copy
    }

    /// What `longhaul serve` comes to that cannot start.
    fn refused_start(&self) -> (Option<i32>, String) {
        let tools = self.tools();
        let words = ["serve", "--http", "127.0.0.1:0", "--tools", tools.to_str().expect("a path")];
        let output = command(&self.data(), &words).arg("--config").arg(self.config()).output();
        let output = output.expect("longhaul runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The interpreter, approved for a part of what it requests, and that written down.
async fn approved() -> Place {
    let place = requesting();
    place.write_config(NAMED);
    let server = place.start();
    let digest = digest_of(&place.waiting());
    let words = ["interpreter", "--digest", &digest, "--only", "state:vault", "--expires", "365d"];
    let (done, _, said) = place.approve(&words);
    assert!(done && said.contains("longhaul.lock"), "{said}");
    is_served(&server.client()).await;
    let printed = Command::new(env!("CARGO_BIN_EXE_longhaul"))
        .args(["tool", "lock", "--data"])
        .arg(place.data())
        .env("LONGHAUL_CONFIG", place.config())
        .stdin(Stdio::null())
        .output()
        .expect("longhaul runs");
    assert_eq!(String::from_utf8_lossy(&printed.stdout), place.locked());
    assert!(place.locked().contains("approved = [\"state:vault\"]"), "{}", place.locked());
    server.stop();
    place
}

/// With one character of a field's value changed.
fn with_another(text: &str, field: &str) -> String {
    let start = text.find(&format!("{field} = \"blake3:")).expect("the field") + field.len() + 11;
    let other = if &text[start..=start] == "0" { "1" } else { "0" };
    format!("{}{other}{}", &text[..start], &text[start + 1..])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_lock_file_says_is_approved_and_each_field_changed_waits() {
    let origin = approved().await;
    let place = origin.checked_out();
    let server = place.start();
    is_served(&server.client()).await;
    assert!(server.said().contains("granted state vault"), "{}", server.said());
    let audit = server.longhaul(&["audit", "list"]).to_string();
    assert!(audit.contains("the lock file says so"), "{audit}");
    server.stop();

    let text = place.locked();
    let year = text.find("expires = \"20").expect("an end") + 11;
    let long_ago = format!("{}2001{}", &text[..year], &text[year + 4..]);
    let changes = [
        ("`component`", with_another(&text, "component"), "not_as_locked"),
        ("`statement`", with_another(&text, "statement"), "not_as_locked"),
        ("`approved` has sample", text.replace("\"state:vault\"", "\"sample\""), "not_as_locked"),
        ("`approved` has state:*", text.replace("\"state:vault\"", "\"state:*\""), "not_as_locked"),
        ("nothing of it any more", "version = 1\n".to_owned(), "not_as_locked"),
        ("", long_ago, "expired"),
    ];
    // On the machine that has run with it, and on one that sees it first.
    for (words, changed, since) in changes {
        assert_ne!(changed, text);
        for there in [place.copied(), origin.checked_out()] {
            fs::write(there.lock(), &changed).expect("written");
            let is_first = !there.data().exists();
            let because = match (since, is_first && words.starts_with("nothing")) {
                (_, true) => "it was never approved",
                ("expired", _) => "its approval has expired",
                _ => "it is not what the lock file says",
            };
            for _ in 0..2 {
                let server = there.start();
                is_refused(&server.client(), because).await;
                let waiting = there.waiting();
                let reasons = waiting[0]["reasons"].to_string();
                assert!(because.contains("never") || reasons.contains(words), "{words}: {reasons}");
                server.kill();
            }
        }
    }
    // One that is put right again counts again.
    let server = place.start();
    is_served(&server.client()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_component_and_a_wider_configuration_wait_for_a_person() {
    let origin = approved().await;
    let changed = origin.checked_out();
    changed.change_bytes();
    let granted = origin.checked_out();
    granted.write_config(&format!("{NAMED}[grants.interpreter]\nstate = [\"vault\", \"other\"]\n"));
    for (place, words) in [(changed, "`component`"), (granted, "`statement`")] {
        let server = place.start();
        is_refused(&server.client(), "it is not what the lock file says").await;
        let waiting = place.waiting();
        assert!(waiting[0]["reasons"].to_string().contains(words), "{waiting:?}");
        let before = place.locked();
        let (done, _, said) = place.approve(&["interpreter", "--digest", &digest_of(&waiting)]);
        assert!(done, "{said}");
        is_served(&server.client()).await;
        assert_ne!(place.locked(), before);
        server.kill();
        let server = place.start();
        is_served(&server.client()).await;
        // Taken back, it is taken out, and counts no more on this machine whatever the file says later.
        let locked = place.locked();
        let mut revoke = command(&place.data(), &["tool", "revoke", "interpreter"]);
        let revoke = revoke.env("LONGHAUL_CONFIG", place.config()).output().expect("longhaul runs");
        assert!(revoke.status.success(), "{}", String::from_utf8_lossy(&revoke.stderr));
        assert!(!place.locked().contains("interpreter"), "{}", place.locked());
        fs::write(place.lock(), locked).expect("written");
        server.kill();
        let server = place.start();
        is_refused(&server.client(), "its approval was revoked").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_file_that_cannot_be_read_keeps_the_server_from_starting() {
    let place = approved().await;
    let text = place.locked();
    for (changed, words) in [
        (text.replace("approved = ", "granted = "), "longhaul.lock, line 7, column 1"),
        (text.replace("version = 1", "version = 9"), "longhaul.lock, line 2"),
        (format!("{text}["), "longhaul.lock, line 11"),
    ] {
        fs::write(place.lock(), &changed).expect("written");
        let (status, said) = place.refused_start();
        assert!(status == Some(2) && said.contains(words), "{status:?} {said}");
        // Nor is anything approved that could not be written down.
        let tools = place.tools();
        let words = ["interpreter", "--digest", "blake3:00", "--tools", tools.to_str().expect("a path")];
        let (done, _, said) = place.approve(&words);
        assert!(!done && said.contains("longhaul.lock"), "{said}");
    }
    // One in a working folder is none, and one that is not there says nothing.
    fs::write(place.lock(), &text).expect("written");
    place.write_config("");
    let here = in_folder(place.root.path(), &place);
    assert_eq!(here["waiting"], json!([]), "what a person approved in this store counts");
    let elsewhere = place.checked_out();
    let here = in_folder(elsewhere.root.path(), &elsewhere);
    assert_eq!(here["waiting"][0]["since"], "never_approved", "{here}");
    fs::remove_file(elsewhere.lock()).expect("removed");
    elsewhere.write_config(NAMED);
    let server = elsewhere.start();
    is_refused(&server.client(), "it was never approved").await;
}

/// `longhaul tool approve` without a server, run in this folder.
fn in_folder(folder: &Path, place: &Place) -> serde_json::Value {
    let tools = place.tools();
    let words = ["tool", "approve", "--tools", tools.to_str().expect("a path")];
    let mut listed = command(&place.data(), &words);
    listed.env("LONGHAUL_CONFIG", place.config()).current_dir(folder);
    let listed = listed.output().expect("longhaul runs");
    serde_json::from_slice(&listed.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&listed.stderr)))
}
