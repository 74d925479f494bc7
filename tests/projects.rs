//! `tool new` and `tool build`, as an author meets them; what needs compilers of other languages is in tests/languages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// As a person types it in this folder.
fn longhaul(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
    command.args(words).current_dir(folder).env("LONGHAUL_DATA", folder.join("data"));
    command.env("XDG_CONFIG_HOME", folder).output().expect("longhaul runs")
}

/// Always the same folder, since cargo keeps what it builds by the path of the package.
fn empty_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stderr[..], &output.stdout].concat()).into_owned()
}

/// A tool in Rust from nothing: made, built by cargo, and killed at every record of its journal.
#[test]
fn a_new_project_in_rust_is_built_and_resumes() {
    let root = empty_folder();
    let made = longhaul(&root, &["tool", "new", "word_count", "--lang", "rust"]);
    assert!(made.status.success(), "{}", said(&made));
    let arguments = r#"{"text": "one two\nthree"}"#;
    let built = longhaul(&root, &["tool", "build", "word_count", "--json"]);
    assert!(built.status.success(), "{}", said(&built));
    let built: Value = serde_json::from_slice(&built.stdout).expect("JSON");
    let component = built["components"][0]["component"].as_str().expect("a path");
    assert!(built["components"][0]["manifest"].is_string(), "{built}");
    let checked = longhaul(&root, &["tool", "check", component, "--args", arguments, "--json"]);
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap_or_default();
    assert_eq!(report["ok"], true, "{}", said(&checked));
    let records = report["undisturbed"]["records"].as_u64().expect("a number");
    assert!(records > 5 && report["interruptions"]["resumed"] == records, "{report}");
}

#[test]
fn a_project_says_what_it_lacks_and_installs_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let made = longhaul(root.path(), &["tool", "new", "word_count", "--lang", "js"]);
    assert!(made.status.success(), "{}", said(&made));
    assert!(said(&made).contains("cd word_count\nnpm install\nlonghaul tool build ."), "{}", said(&made));
    let there = fs::read_dir(root.path().join("word_count")).expect("a folder").count();
    let refused = longhaul(root.path(), &["tool", "build", "word_count"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("componentize-js is missing in"), "{}", said(&refused));
    assert!(said(&refused).contains("word_count && npm install"), "{}", said(&refused));
    assert_eq!(fs::read_dir(root.path().join("word_count")).expect("a folder").count(), there);
    let again = longhaul(root.path(), &["tool", "new", "word_count", "--lang", "python"]);
    assert_eq!(again.status.code(), Some(4), "{}", said(&again));
}

#[test]
fn a_project_in_c_names_the_packages_that_it_is_built_with() {
    let root = tempfile::tempdir().expect("a folder");
    let made = longhaul(root.path(), &["tool", "new", "word_count", "--lang", "c"]);
    assert!(made.status.success(), "{}", said(&made));
    let programs = root.path().join("bin");
    fs::create_dir(&programs).expect("a folder");
    let build = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command.args(["tool", "build", "word_count"]).current_dir(root.path()).env("PATH", &programs);
        let refused = command.env_remove("WASI_SDK_PATH").output().expect("longhaul runs");
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains("apt-get install clang lld wasi-libc"), "{}", said(&refused));
        assert!(!root.path().join("word_count/build").exists());
        said(&refused)
    };
    let words = build();
    assert!(words.contains("there is no clang"), "{words}");
    // One that has no library for the target answers with the file's name alone.
    let clang = programs.join("clang");
    fs::write(&clang, "#!/bin/sh\necho crt1-reactor.o\n").expect("written");
    fs::set_permissions(&clang, fs::Permissions::from_mode(0o755)).expect("a program");
    let words = build();
    assert!(words.contains("there is no wasi-libc"), "{words}");
}
