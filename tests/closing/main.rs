//! The last lines of `cargo test`: what it does not run, and the command that does.

use std::path::Path;
use std::process::ExitCode;

/// What needs more than cargo, or more time: what it is, the file it stands in, its command.
const OTHERS: [(&str, &str, &str); 14] = [
    (
        "stock MCP clients (Python)",
        "tests/clients/run",
        "cargo build && tests/clients/run target/debug/longhaul tools-wasm",
    ),
    (
        "who a request over HTTP is, also with other users (Python, as root)",
        "tests/callers/run",
        "cargo build && tests/callers/run target/debug/longhaul",
    ),
    (
        "MCP's official conformance suite (Node)",
        "tests/conformance/run",
        "cargo build && tests/conformance/run target/debug/longhaul",
    ),
    ("pages in Chromium", "tests/browser/run", "cargo build && tests/browser/run target/debug/longhaul"),
    (
        "tools in Python and JavaScript",
        "tests/languages/run",
        "cargo build && tests/languages/run target/debug/longhaul",
    ),
    (
        "packages, as their users install them (Python; Node for one of them)",
        "packaging/try",
        "cargo build && packaging/build --fast --binary target/debug/longhaul /tmp/packages && packaging/try /tmp/packages",
    ),
    (
        "a thousand random kills",
        "tests/kill_random.rs",
        "LONGHAUL_KILLS=1000 cargo test --test main kill_random",
    ),
    (
        "the support desk under 100 kills, also without an analyst and another server",
        "tests/desk.rs",
        "LONGHAUL_DESK_KILLS=100 cargo test --test main desk",
    ),
    (
        "each pool of shares taken by one caller, and what another feels of it",
        "tests/shares/matrix/mod.rs",
        "LONGHAUL_LONG=1 cargo test --release --test shares -- matrix",
    ),
    (
        "two hundred principals with fifty tools for ten minutes (LONGHAUL_CROWD_SECONDS=30 for less)",
        "tests/shares/crowd.rs",
        "LONGHAUL_LONG=1 cargo test --release --test shares -- crowd",
    ),
    (
        "ten minutes of four hostile callers and an honest one, with all times judged",
        "tests/shares/soak.rs",
        "LONGHAUL_LONG=1 cargo test --release --test shares -- soak",
    ),
    (
        "two hundred thousand hostile components and thousands in a server",
        "tests/hostile.rs",
        "LONGHAUL_LONG=1 cargo test --release --test main hostile",
    ),
    ("everything that CI runs", ".ci/run", "bash .ci/run"),
    ("the benches", "benches", "cargo bench"),
];

fn main() -> ExitCode {
    // For programs that list what there is to run: it is no test.
    if std::env::args().any(|word| word == "--list") {
        return ExitCode::SUCCESS;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    println!("\nNot run here, since it needs more than cargo or more time:");
    let mut missing = 0;
    for (what, file, command) in OTHERS {
        println!("  {what}: {command}");
        if !root.join(file).exists() {
            eprintln!("{file} is not there any more: mend tests/closing/main.rs");
            missing += 1;
        }
    }
    if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
