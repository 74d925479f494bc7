//! Processes that run the guests of strangers.

use super::MAX_MEMORY_MIB;

/// Workers at once, each for one component. An attempt for which there is none waits until one is idle.
pub const MAX_WORKERS: usize = 16;
/// Data of one worker, MiB: its guests' memories, which their principals' accounts count besides, machine code, and its
/// own. It is room for one guest of the largest size.
pub const MAX_WORKER_MEMORY_MIB: u64 = MAX_MEMORY_MIB + 1_024;
/// A worker without a guest ends after this long, seconds: starting one takes some tens of milliseconds.
pub const WORKER_IDLE_SECONDS: u64 = 30;
/// Until a worker has loaded its component, seconds.
pub const MAX_WORKER_START_SECONDS: u64 = 60;
/// Workers that one attempt tries where each is killed before the guest has done anything.
pub const MAX_WORKER_TRIES: u32 = 3;
/// A guest that is to end is gone from its worker after this long, or its worker is killed, seconds: it gives way after
/// each tick, but a host call may stand in between.
pub const WORKER_STOP_SECONDS: u64 = 10;
/// One message between a server and its worker, bytes: the longest result, and what goes with it.
pub const MAX_WORKER_FRAME_BYTES: usize = 96 * 1024 * 1024;
/// Calls of one guest that have no answer yet: each exchange has a few, each wait three.
pub const MAX_WORKER_CALLS: usize = 512;
/// What a worker says of an end, or on stderr before it dies, bytes of each text that is repeated.
pub const MAX_WORKER_WORDS_BYTES: usize = 4 * 1024;
