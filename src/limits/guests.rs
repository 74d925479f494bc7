//! What guests write, and what is shown of it.

/// Log of one task, bytes (stdout, stderr and log lines); the rest is dropped and counted.
pub const MAX_LOG_BYTES: u64 = 4 * 1024 * 1024;
/// Functions that the refusal of a component names, and bytes of each name.
pub const MAX_NAMED_FUNCTIONS: usize = 8;
pub const MAX_FUNCTION_NAME_SHOWN_BYTES: usize = 200;
/// Levels of components and modules within a component of which some parts are put aside.
pub const MAX_NESTED_COMPONENTS: usize = 32;
/// Tools that are named as a component's toolchain, and bytes of each name with its version.
pub const MAX_TOOLCHAINS: usize = 16;
pub const MAX_TOOLCHAIN_NAME_BYTES: usize = 80;
/// Items of all fixed-length lists of one type together: each is a value of its own in memory.
pub const MAX_FIXED_LIST_ITEMS: u64 = 64 * 1024;
/// Hosts of which stderr says that a component was refused them, in one process; and bytes of a host that is shown.
pub const MAX_TOLD_HOSTS: usize = 1024;
pub const MAX_SHOWN_HOST_BYTES: usize = 300;
/// Refused hosts that the log of one instance names.
pub const MAX_REFUSED_HOST_LINES: usize = 16;
/// Compiling a component that takes longer is said on stderr, milliseconds.
pub const SLOW_COMPILE_MS: u64 = 1_000;
/// What an error quotes of its task's log where the guest trapped: lines, bytes of one, bytes of all together. A
/// language's runtime prints the reason first and its stack behind it: an exception with a cause is two of each.
pub const TRAP_LOG_LINES: usize = 40;
pub const TRAP_LOG_LINE_BYTES: usize = 800;
pub const TRAP_LOG_BYTES: usize = 4 * 1024;
/// The end of its log that each live instance keeps in memory for that, bytes: a message that repeats what it could
/// not parse is one line of many KiB, and its beginning says what it is. It grows with what is written.
pub const TRAP_LOG_KEPT_BYTES: usize = 32 * 1024;
/// A backtrace in the error of a trap, bytes.
pub const MAX_BACKTRACE_BYTES: usize = 4 * 1024;
/// One log line or status message, bytes.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024;
/// Named outputs of one task.
pub const MAX_OUTPUTS: usize = 1_024;
/// Name of an output, bytes of UTF-8.
pub const MAX_OUTPUT_NAME_BYTES: usize = 256;
/// All outputs of one task together, bytes.
pub const MAX_OUTPUT_BYTES: u64 = 64 * 1024 * 1024;
/// One checkpoint, bytes.
pub const MAX_CHECKPOINT_BYTES: usize = 16 * 1024 * 1024;
/// Tickets of one task that are open at once.
pub const MAX_OPEN_TICKETS: usize = 1_024;
/// Progress reports that wait for a commit; beyond, the oldest are dropped (the last one counts).
pub const MAX_PENDING_PROGRESS: usize = 256;
/// The environment that one task sees, names and values, bytes.
pub const MAX_ENVIRONMENT_BYTES: usize = 32 * 1024;
