//! What a server's launcher starts.

/// Programs that one launcher runs at once: the compiler, workers, the commands of `MAX_REMOTE_SERVERS` servers, and
/// builds.
pub const MAX_LAUNCHED_PROGRAMS: usize = 256;
/// What a server and its launcher say to each other at once, bytes. The longest is a program with its arguments and its
/// environment; a socket carries some 200 KiB.
pub const MAX_LAUNCHER_FRAME_BYTES: usize = 128 * 1024;
/// A program that is asked to end, by the end of its input or by a signal, gets this long each time before the next
/// measure, milliseconds.
pub const LAUNCHED_GRACE_MS: u64 = 3_000;
