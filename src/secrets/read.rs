//! Reading a secret, in the process that this is called in.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::keyring;
use super::source::SecretSource;
use crate::authority::Secret;
use crate::limits;

/// There is no secret. It names the source, and never what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{source_name} {why}")]
pub struct SecretError {
    source_name: String,
    why: String,
}

impl SecretError {
    pub fn new(source: &SecretSource, why: impl ToString) -> Self {
        Self { source_name: source.to_string(), why: why.to_string() }
    }
}

/// Blocks, for a file and for a keyring.
pub fn read_here(source: &SecretSource) -> Result<Secret, SecretError> {
    let text = match source {
        SecretSource::Env(name) => variable(name),
        SecretSource::File(path) => file(path),
        SecretSource::Keyring { service, account } => keyring::look_up(service, account),
    };
    text.and_then(checked).map_err(|why| SecretError::new(source, why))
}

fn variable(name: &str) -> Result<String, String> {
    match std::env::var(name) {
        Ok(text) => Ok(text),
        Err(std::env::VarError::NotPresent) => {
            Err("is not set: set it for the server and start that again".to_owned())
        }
        Err(std::env::VarError::NotUnicode(_)) => Err("is no text".to_owned()),
    }
}

fn file(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read by the server: {error}");
    // A pipe would be waited for.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is no file".to_owned());
    }
    let mut text = String::new();
    let most = limits::MAX_SECRET_BYTES as u64 + 2;
    match File::open(path).and_then(|file| file.take(most).read_to_string(&mut text)) {
        Ok(_) => Ok(text),
        // Its words would show nothing, but they are not ours.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err("is no text".to_owned()),
        Err(error) => Err(unreadable(error)),
    }
}

/// What may stand in a header, without the line's end that editors leave.
fn checked(text: String) -> Result<Secret, String> {
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    let (least, most) = (limits::MIN_SECRET_BYTES, limits::MAX_SECRET_BYTES);
    if !(least..=most).contains(&secret.len()) {
        return Err(format!("holds no secret of {least} to {most} bytes"));
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') || secret.trim() != secret {
        return Err(
            "holds what no header may hold: it takes one line of ASCII without blanks around it".to_owned()
        );
    }
    Ok(Secret::new(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_file(bytes: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, bytes).expect("written");
        let read = read_here(&SecretSource::File(path));
        read.map(|secret| secret.expose().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_holds_one_line() {
        for bytes in [&b"canary-1"[..], b"canary-1\n", b"canary-1\r\n"] {
            assert_eq!(of_file(bytes).expect("read"), "canary-1");
        }
        assert_eq!(of_file(b"user name:pass").expect("read"), "user name:pass");
    }

    #[test]
    fn what_no_header_may_hold_is_refused_and_not_repeated() {
        let long = "canary".repeat(limits::MAX_SECRET_BYTES);
        for bytes in [
            &b""[..],
            b"\n",
            b"canary",
            b"canary-1\ncanary-2",
            b"canary-1\n\n",
            b" canary-1",
            "canary-\u{e9}".as_bytes(),
            b"canary-\xff\xfe",
            b"canary-\0\0",
            long.as_bytes(),
        ] {
            let refused = of_file(bytes).expect_err("refused");
            assert!(!refused.contains("canary"), "{refused}");
            assert!(refused.starts_with("file:/"), "{refused}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let refused =
            |text: &str| read_here(&text.parse().expect("a source")).expect_err("refused").to_string();
        assert!(refused("env:LONGHAUL_TEST_NOT_SET").contains("env:LONGHAUL_TEST_NOT_SET is not set"));
        assert!(refused("file:/nowhere/key").starts_with("file:/nowhere/key cannot be read"));
        assert!(refused("file:/").contains("is no file"));
    }
}
