//! The first thing a stranger runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn the_demo_shows_what_it_says_and_ends_well() {
    // The guests are built first, so that the demo's own build has nothing left to do.
    crate::support::guest("long_running_agent");
    let output = Command::new(env!("CARGO_BIN_EXE_longhaul")).arg("demo").output().expect("longhaul runs");
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{seen}\n{}", String::from_utf8_lossy(&output.stderr));
    let shown = seen.lines().filter(|line| line.trim_start().starts_with("[ok]")).count();
    assert_eq!(shown, 5, "{seen}");
    assert!(seen.contains("kill -9"), "{seen}");
}

/// What a package has, unpacked: the program, and one example tool in the folder next to it.
fn unpacked(prefix: &Path) -> PathBuf {
    let (bin, examples) = (prefix.join("bin"), prefix.join("share/longhaul-examples"));
    fs::create_dir_all(&bin).expect("a folder");
    fs::create_dir_all(&examples).expect("a folder");
    let component = crate::support::guest("long_running_agent");
    for file in [component.clone(), component.with_extension("toml")] {
        fs::copy(&file, examples.join(file.file_name().expect("a name"))).expect("copied");
    }
    let program = bin.join("longhaul");
    let built = env!("CARGO_BIN_EXE_longhaul");
    if fs::hard_link(built, &program).is_err() {
        fs::copy(built, &program).expect("copied");
    }
    program
}

/// In the folder itself, with nothing in the PATH.
fn demo_of(program: &Path) -> Output {
    let mut command = Command::new(program);
    command.arg("demo").env("PATH", "/nonexistent").current_dir(program.parent().expect("a folder"));
    command.output().expect("longhaul runs")
}

#[test]
fn a_program_from_a_package_shows_the_tool_that_came_with_it_without_cargo() {
    let prefix = tempfile::tempdir().expect("a folder");
    let program = unpacked(prefix.path());
    let output = demo_of(&program);
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{seen}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(seen.contains("long_running_agent came with this program"), "{seen}");
    assert!(seen.contains("longhaul serve --tools"), "{seen}");

    let examples = prefix.path().join("share/longhaul-examples");
    fs::set_permissions(&examples, fs::Permissions::from_mode(0o777)).expect("a mode");
    let output = demo_of(&program);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "what every user can change is not run: {words}");
    assert!(words.contains("is not used") && words.contains("unpack the package"), "{words}");
}
