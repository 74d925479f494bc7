//! Compiled code in a file, sealed by a key, and the one unsafe call that turns it back into a component.
#![allow(unsafe_code)]

use wasmtime::Engine;
use wasmtime::component::Component;

const MAC_BYTES: usize = blake3::OUT_LEN;
/// What such a file begins with, so that it can be distinguished from a foreign one.
const MARK: &[u8] = b"longhaul compiled code\n";
/// What compiled code begins with, behind the MAC: files of before had no mark.
const CODE_MARK: &[u8] = b"\x7fELF";
/// As much of a file as [`is_marked`] wants to see.
pub(super) const HEAD_BYTES: usize = MAC_BYTES + CODE_MARK.len();

/// What a piece of compiled code was made from, and for.
#[derive(Clone, Copy)]
pub(super) struct Identity<'a> {
    /// The component, as its tasks name it.
    pub component: &'a str,
    /// See `config::fingerprint`.
    pub fingerprint: &'a blake3::Hash,
}

/// Compiled code behind its keyed MAC, as it goes into a file.
pub(super) fn seal(key: &[u8; 32], identity: Identity<'_>, code: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(MARK.len() + MAC_BYTES + code.len());
    sealed.extend_from_slice(MARK);
    sealed.extend_from_slice(mac(key, identity, code).as_bytes());
    sealed.extend_from_slice(code);
    sealed
}

/// Whether a file with this head was made here, by this version or an older one. What a loss of power left of one is
/// empty or zeros.
pub(super) fn is_marked(head: &[u8]) -> bool {
    let is_blank = head.iter().all(|byte| *byte == 0);
    is_blank
        || head.starts_with(MARK)
        || head.get(MAC_BYTES..).is_some_and(|code| code.starts_with(CODE_MARK))
}

/// Compiled code that [`seal`] sealed with the same key and identity; `None` for any other bytes.
pub(super) fn unseal(
    key: &[u8; 32],
    identity: Identity<'_>,
    engine: &Engine,
    sealed: &[u8],
) -> Option<wasmtime::Result<Component>> {
    let (stored, code) = sealed.strip_prefix(MARK)?.split_first_chunk::<MAC_BYTES>()?;
    // The comparison of two hashes takes constant time.
    if blake3::Hash::from_bytes(*stored) != mac(key, identity, code) {
        return None;
    }
    // SAFETY: `deserialize` runs whatever machine code it is given, so the bytes must come from
    // `Component::serialize` of a compatible engine. They do: the MAC has just been checked, over exactly
    // the bytes in memory that are passed on (no file is mapped that could change afterwards); its key is
    // random, is kept in the store alone, which only the owner can read, and is used for nothing else; and
    // `seal` has one caller, which passes the output of `Component::serialize`. The MAC covers the engine's
    // fingerprint, so that code of another version, other settings or another processor is refused too.
    // Who can read the key can already write the store and run code as this user.
    Some(unsafe { Component::deserialize(engine, code) })
}

fn mac(key: &[u8; 32], identity: Identity<'_>, code: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(b"longhaul compiled code 1");
    hasher.update(&(identity.component.len() as u64).to_le_bytes());
    hasher.update(identity.component.as_bytes());
    hasher.update(identity.fingerprint.as_bytes());
    hasher.update(code);
    hasher.finalize()
}
