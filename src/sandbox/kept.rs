//! Files of compiled code, and telling them from what others keep in a folder of that name: a project's `compiled/`
//! under `--data .`, or what a link leads to, is not ours to clear away.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::artifact;
use crate::private;

/// Of a file with compiled code.
pub(super) const ENDING: &str = "compiled";
/// Of a file that is being written.
const DRAFT_ENDING: &str = "draft";
pub(super) const FINGERPRINT_DIGITS: usize = 16;
const DIGEST_DIGITS: usize = 2 * blake3::OUT_LEN;

/// A folder that is new, or in which there is nothing but our own files; of these, those that do not end in `ours` go.
pub(super) fn prepare(folder: &Path, ours: &str) -> io::Result<()> {
    private::no_link(folder)?;
    private::make_folder(folder)?;
    let mut stale = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if !is_ours(&path) {
            return Err(io::Error::other(format!("{} is not Longhaul's", path.display())));
        }
        if !path.to_string_lossy().ends_with(ours) {
            stale.push(path);
        }
    }
    stale.iter().try_for_each(fs::remove_file)
}

/// By its name and its first bytes; never what a link leads to.
pub(super) fn is_ours(path: &Path) -> bool {
    let is_named = path.file_name().and_then(|name| name.to_str()).is_some_and(has_our_name);
    let head = || {
        let mut head = Vec::new();
        let file = private::open(path, OpenOptions::new().read(true))?;
        file.take(artifact::HEAD_BYTES as u64).read_to_end(&mut head)?;
        Ok::<_, io::Error>(head)
    };
    is_named && head().is_ok_and(|head| artifact::is_marked(&head))
}

/// `blake3-DIGEST.FINGERPRINT.compiled`, or `.draft`.
fn has_our_name(name: &str) -> bool {
    let is_hex = |text: &str, digits| {
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts: Vec<&str> = name.split('.').collect();
    let [digest, fingerprint, ending] = parts[..] else { return false };
    digest.strip_prefix("blake3-").is_some_and(|digest| is_hex(digest, DIGEST_DIGITS))
        && is_hex(fingerprint, FINGERPRINT_DIGITS)
        && [ENDING, DRAFT_ENDING].contains(&ending)
}

/// What was written here and no other user could read or write since.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = private::open(path, OpenOptions::new().read(true))?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::other("it is not its owner's alone, as Longhaul makes it"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Readers see the old file or the new one. It need not survive a power cut: its seal tells.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(DRAFT_ENDING);
    let mut file = private::create(&draft)?;
    file.write_all(bytes)?;
    fs::rename(&draft, path)
}
