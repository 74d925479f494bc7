//! What a server's launcher starts.

/// Programs that one launcher runs at once: the compiler, workers, the commands of `MAX_REMOTE_SERVERS` servers, and
/// builds.
pub const MAX_LAUNCHED_PROGRAMS: usize = 256;
/// What a server and its launcher say to each other at once, bytes. The longest is a program with its arguments and its
/// environment; a socket carries some 200 KiB.
pub const MAX_LAUNCHER_FRAME_BYTES: usize = 128 * 1024;
/// The path of a component that is read for a server, bytes: the longest that Linux takes.
pub const MAX_COMPONENT_PATH_BYTES: u64 = 4_096;
/// What is said with a component that was read, or of guests that were built, bytes, besides their own.
pub const MAX_ERRAND_WORDS_BYTES: u64 = 1024 * 1024;
/// A program that is asked to end, by the end of its input or by a signal, gets this long each time before the next
/// measure, milliseconds.
pub const LAUNCHED_GRACE_MS: u64 = 3_000;

/// The addresses that the allocator of a program of ours reserves at a time: the least that it heeds.
pub const OWN_ARENA_KIB: u64 = 32 * 1024;
