//! Compiled code in a file, sealed by a key, and the one unsafe call that turns it back into a component.
#![allow(unsafe_code)]

use wasmtime::Engine;
use wasmtime::component::Component;

use super::admit;
use crate::engine::InspectError;

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

/// Machine code of a component, as wasmtime serialises it: made here, or by a compiler that is trusted as this program is.
pub(super) struct Code(Vec<u8>);

impl Code {
    /// Takes seconds for a big component: not for threads that serve others.
    pub fn compile(engine: &Engine, component: &[u8]) -> Result<Self, InspectError> {
        admit::compile(component, |bytes| engine.precompile_component(bytes)).map(Self)
    }

    /// What a compiler's process has answered. For `compile` alone, which starts that process.
    pub fn of_compiler(code: Vec<u8>) -> Self {
        Self(code)
    }

    /// In a worker: what its server sent over the pipe that it started the worker with. For `worker` alone.
    pub fn of_server(code: Vec<u8>) -> Self {
        Self(code)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The component of this code, for the engine whose fingerprint its compiler was given. What the engine refuses of it
    /// exceeds a bound.
    pub fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        deserialize(engine, &self.0)
    }
}

/// Compiled code behind its keyed MAC, as it goes into a file.
pub(super) fn seal(key: &[u8; 32], identity: Identity<'_>, code: &Code) -> Vec<u8> {
    let code = &code.0;
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
    Some(deserialize(engine, code))
}

fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` runs whatever machine code it is given, so the bytes must come from wasmtime's own compiler
    // for a compatible engine. They do. There are two callers. One has a `Code`: `Engine::precompile_component` made it
    // in this process, or in one that this process started from a program that its operator named (by default this very
    // binary, as it is open), which compiled for an engine of the same fingerprint or refused; the bytes came through a
    // pipe that no other process has. Or this process is a worker, and the bytes are those that its server serialised from
    // a component that it had loaded in one of these two ways; they came over the pipe that the server started it with,
    // for an engine of the same fingerprint. The other has just checked the MAC over exactly the bytes in memory that it passes
    // on (no file is mapped that could change afterwards); the key is random, is kept in the store alone, which only the
    // owner can read, and is used for nothing else, and `seal` takes a `Code`. The MAC covers the engine's fingerprint, so
    // that code of another version, other settings or another processor is refused too. Who can read the key, or swap
    // the binary, can already run code as this user.
    unsafe { Component::deserialize(engine, code) }
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
