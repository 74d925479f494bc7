//! The first thing a stranger runs.

use std::process::Command;

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
