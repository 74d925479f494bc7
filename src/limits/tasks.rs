//! One task: its defaults, and what a manifest may ask for.

/// Memory of one instance, MiB, unless the manifest or the operator says otherwise.
pub const DEFAULT_MEMORY_MIB: u64 = 256;
/// Awake time of one task, seconds: what it may compute, over all its attempts, without replay.
pub const DEFAULT_RUN_SECONDS: u64 = 300;
/// Total time of one task, seconds: with all its waits.
pub const DEFAULT_TOTAL_SECONDS: u64 = 7 * 86_400;
/// Journal of one task, MiB. Replay reads all of it.
pub const DEFAULT_JOURNAL_MIB: u64 = 256;
/// Result of one task, KiB.
pub const DEFAULT_RESULT_KIB: u64 = 1024;
/// Questions that one task may ask.
pub const DEFAULT_QUESTIONS: u32 = 10;
/// Samples that one task may request.
pub const DEFAULT_SAMPLES: u32 = 20;
/// Tokens that all samples of one task may cost.
pub const DEFAULT_SAMPLE_TOKENS: u64 = 20_000;
/// What one task may spend on models that have prices, hundredths of the unit that these are in.
pub const DEFAULT_MODEL_COST_CENTS: u64 = 1_000;

/// What a manifest may ask for at most; beyond, loading it fails. 4 GiB is all a 32-bit memory has.
pub const MAX_MEMORY_MIB: u64 = 4096;
/// A day of computing; longer work is several tasks. Seconds.
pub const MAX_RUN_SECONDS: u64 = 86_400;
/// Ten years: nanoseconds since a task's creation fit 64 bits many times over. Seconds.
pub const MAX_TOTAL_SECONDS: u64 = 3_653 * 86_400;
/// Replay reads all of a journal: at 16 GiB that alone takes minutes. MiB.
pub const MAX_JOURNAL_MIB: u64 = 16_384;
/// A result is held in memory and sent in one message. KiB.
pub const MAX_RESULT_KIB: u64 = 65_536;
/// More of one task are not answered.
pub const MAX_QUESTIONS: u64 = 10_000;
/// Samples cost their user money.
pub const MAX_SAMPLES: u64 = 100_000;
pub const MAX_SAMPLE_TOKENS: u64 = 1_000_000_000;
pub const MAX_MODEL_COST_CENTS: u64 = 100_000_000;
/// Tries of one task; with the longest backoff they span months.
pub const MAX_RETRY_ATTEMPTS: u64 = 1_000;
/// First wait before a retry, seconds; no later one is longer either.
pub const MAX_BACKOFF_SECONDS: u64 = 3_600;
/// Replay may take this many times the awake time that was spent before, and never less than the floor.
pub const REPLAY_BUDGET_FACTOR: u64 = 3;
/// Floor of the replay budget, seconds: compiling, loading and a slow disk are in it.
pub const REPLAY_BUDGET_FLOOR_SECONDS: u64 = 30;
