//! The keyring of the user, by the program that each system has for it: none is built in, so that a server on a machine
//! without a desktop carries nothing of one.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::limits;

/// What prints an entry, and what brings it where it is missing.
#[cfg(not(target_os = "macos"))]
const PROGRAM: (&str, &str) = ("secret-tool", "install libsecret-tools, or use a file");
#[cfg(target_os = "macos")]
const PROGRAM: (&str, &str) = ("security", "it belongs to macOS");

#[cfg(not(target_os = "macos"))]
fn arguments<'a>(service: &'a str, account: &'a str) -> Vec<&'a str> {
    vec!["lookup", "service", service, "account", account]
}

#[cfg(target_os = "macos")]
fn arguments<'a>(service: &'a str, account: &'a str) -> Vec<&'a str> {
    vec!["find-generic-password", "-s", service, "-a", account, "-w"]
}

/// A keyring that is locked may ask its user, who has a bounded time.
pub fn look_up(service: &str, account: &str) -> Result<String, String> {
    let (program, remedy) = PROGRAM;
    let mut child = Command::new(program)
        .args(arguments(service, account))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("is read by {program}, which cannot be started ({error}): {remedy}"))?;
    let stdout = child.stdout.take();
    let (sender, read) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let most = limits::MAX_SECRET_BYTES as u64 + 2;
        let all = stdout.map_or(Ok(0), |stdout| stdout.take(most).read_to_string(&mut text));
        // Who waits may have given up.
        let _ = sender.send(all.map(|_| text));
    });
    let read = read.recv_timeout(Duration::from_secs(limits::KEYRING_SECONDS));
    if read.is_err() {
        // It may have ended by itself just now.
        let _ = child.kill();
    }
    let ended = child.wait().map_err(|error| format!("cannot be read: {error}"))?;
    match read {
        Ok(Ok(text)) if ended.success() && !text.is_empty() => Ok(text),
        Ok(Ok(_)) => Err(format!("is not in the keyring, as {program} has it ({ended})")),
        Ok(Err(_)) => Err("is no text".to_owned()),
        Err(_) => Err(format!("was not there within {} s: is the keyring locked?", limits::KEYRING_SECONDS)),
    }
}
