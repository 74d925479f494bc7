//! What shares are worth: some callers take all that they can, and another works. Each scenario has a server of its own
//! on one core, and on another one all that calls it, the hostile callers as programs of their own at the lowest
//! priority. It runs by itself, one scenario after the other, and says what it measured:
//! `cargo test --test shares -- soak`. `LONGHAUL_LONG=1` with `--release` is the long form, which judges all times.
// What a scenario cannot set up, it may die of.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[cfg(target_os = "linux")]
mod cores;
#[cfg(target_os = "linux")]
mod crowd;
#[cfg(target_os = "linux")]
mod generator;
#[cfg(target_os = "linux")]
mod honest;
#[cfg(target_os = "linux")]
mod hostile;
#[cfg(target_os = "linux")]
mod matrix;
#[cfg(target_os = "linux")]
mod place;
#[cfg(target_os = "linux")]
mod soak;
#[cfg(target_os = "linux")]
#[allow(dead_code, unused_imports)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(target_os = "linux")]
mod wire;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
type Scenario = (&'static str, fn(&cores::Cores));

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let [role, kind] = &words[..]
        && role == generator::ROLE
    {
        generator::run(kind);
        return ExitCode::SUCCESS;
    }
    let mut scenarios: Vec<Scenario> = vec![("matrix", matrix::run), ("soak", soak::run)];
    if crowd::seconds() > 0 {
        scenarios.push(("crowd", crowd::run));
    }
    // For programs that run each by its name, as libtest has it.
    if std::env::args().any(|word| word == "--list") {
        let are_wanted = std::env::args().all(|word| word != "--ignored");
        scenarios.iter().filter(|_| are_wanted).for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let wanted = scenarios
        .iter()
        .filter(|(name, _)| words.is_empty() || words.iter().any(|word| name.contains(word.as_str())));
    let cores = cores::Cores::take();
    let (mut passed, mut failed) = (0, 0);
    for (name, run) in wanted {
        println!("\n=== {name}");
        let began = std::time::Instant::now();
        let ended = std::panic::catch_unwind(|| run(&cores));
        let (verdict, count) = if ended.is_ok() { ("ok", &mut passed) } else { ("FAILED", &mut failed) };
        *count += 1;
        println!("{name} ... {verdict} in {:.0} s", began.elapsed().as_secs_f64());
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    println!("shares: left out, what is measured here is read from Linux's /proc");
    ExitCode::SUCCESS
}

/// Whether the long form was asked for.
#[cfg(target_os = "linux")]
fn is_long() -> bool {
    std::env::var("LONGHAUL_LONG").is_ok_and(|long| long == "1")
}
