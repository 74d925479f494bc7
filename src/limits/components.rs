//! Components, their manifests and their tools.

/// One component file, bytes. Python and JavaScript components are 12 to 18 MB.
pub const MAX_COMPONENT_BYTES: usize = 64 * 1024 * 1024;
/// Functions of one component, all its modules together. Interpreters that were compiled to WASM have tens of
/// thousands; a file of the size above could hold millions, and each costs the compiler some work.
pub const MAX_COMPONENT_FUNCTIONS: usize = 100_000;
/// Body of one function, bytes. What the compiler does with it grows faster than it; the loop of an
/// interpreter has some hundred thousand.
pub const MAX_FUNCTION_BYTES: usize = 1024 * 1024;
/// Who waits for a component to be compiled waits this long at most, seconds. The biggest take tens of
/// seconds on a slow machine.
pub const MAX_COMPILE_SECONDS: u64 = 300;
/// Address space of the process that compiles a component, MiB, the program itself included (some 200). One of 24 MB needs
/// 250 besides, and one of the largest size three times that.
pub const MAX_COMPILE_MEMORY_MIB: u64 = 1_536;
/// Time of the processor that one compilation may take, seconds: the biggest take tens of them on a slow machine.
pub const MAX_COMPILE_PROCESSOR_SECONDS: u64 = 240;
/// How much nicer the process that compiles is than the one that serves: guests' threads are 5 nicer, and go before it.
pub const COMPILER_NICENESS: i32 = 15;
/// Machine code of one component, bytes; Python's has about 50 MB.
pub const MAX_COMPILED_BYTES: u64 = 1 << 30;
/// What a compiler says on stderr before it dies, bytes, as far as it is repeated.
pub const MAX_COMPILER_WORDS_BYTES: u64 = 4_096;
/// The line that says what a compiler is to compile, bytes.
pub const MAX_COMPILER_LINE_BYTES: u64 = 4_096;
/// Places of a changed schema, and texts to look at, that a person is shown before they approve a component.
pub const MAX_DIFFERENCES_SHOWN: usize = 16;
/// Characters of a description that a person is shown of a change.
pub const MAX_SHOWN_DESCRIPTION_CHARS: usize = 400;
/// Approvals that end at a time are looked at so often at least, seconds.
pub const APPROVAL_LOOK_SECONDS: u64 = 3_600;
/// The longest time that an approval is given for, seconds: ten years.
pub const MAX_APPROVAL_SECONDS: u64 = 10 * 366 * 86_400;
/// Capabilities that one approval names to take them, or to leave them out.
pub const MAX_SELECTED_CAPABILITIES: usize = 1_000;
/// Folders and sources of secrets that one approval binds.
pub const MAX_BINDINGS: usize = 100;
/// Components that one lock file names.
pub const MAX_LOCKED_COMPONENTS: usize = 10_000;
/// A policy of Wassette, bytes. Those that are published have some hundred.
pub const MAX_POLICY_BYTES: u64 = 64 * 1024;
/// Lists and mappings in each other, and values in all, of such a policy; it needs five and some dozen.
pub const MAX_POLICY_DEPTH: usize = 16;
pub const MAX_POLICY_NODES: usize = 10_000;
/// What a component brings of its WIT's documentation, bytes.
pub const MAX_DOCUMENTATION_BYTES: usize = 1024 * 1024;
/// Tools of one component.
pub const MAX_TOOLS_PER_COMPONENT: usize = 256;
/// Functions that one component exports, those of its interfaces among them; each is looked at.
pub const MAX_EXPORTED_FUNCTIONS: usize = 10_000;
/// Name of an import or of an exported function, with its interface, bytes.
pub const MAX_EXTERN_NAME_BYTES: usize = 512;
/// Exports that are named as no tools, of one component; the rest are counted.
pub const MAX_SKIPPED_EXPORTS: usize = 256;
/// Schemas of all exported functions of one component, bytes, as a builder counts them. A few KiB are usual.
pub const MAX_SCHEMAS_BYTES: usize = 2 * 1024 * 1024;
/// What `serve --watch` watches is looked at so often, milliseconds.
pub const WATCH_INTERVAL_MS: u64 = 500;
/// Files of one workspace that are watched, and folders in each other.
pub const MAX_WATCHED_FILES: usize = 10_000;
pub const MAX_WATCHED_DEPTH: usize = 32;
/// Name of a tool, characters.
pub const MAX_TOOL_NAME_CHARS: usize = 64;
/// Description or schema of a tool, bytes.
pub const MAX_DEFINITION_BYTES: usize = 256 * 1024;
/// Regular expressions of one schema; each may take up to `MAX_PATTERN_BYTES` when compiled.
pub const MAX_SCHEMA_PATTERNS: usize = 128;
/// One compiled regular expression, bytes.
pub const MAX_PATTERN_BYTES: usize = 256 * 1024;
/// Steps that a regular expression with look-around may go back; others match in linear time.
pub const MAX_PATTERN_BACKTRACKS: usize = 100_000;
/// Subschemas that apply to one value by way of each other (`$ref`, `allOf` ...): they nest the host's stack,
/// and multiply by the depth of the value.
pub const MAX_SCHEMA_CHAIN: usize = 32;
/// Subschemas of one schema once every `$ref` stands for what it names: what checking may cost.
pub const MAX_SCHEMA_NODES: u64 = 20_000;
/// Nulls that only some branch of a schema rejects and that are tried one by one: with more, all of them go.
pub const MAX_NULLS_TRIED: usize = 32;
/// Violations that one answer names; a model corrects a few at a time.
pub const MAX_VIOLATIONS: usize = 3;
/// Alternatives that a violation names: values of an enumeration, cases of a variant.
pub const MAX_SHOWN_ALTERNATIVES: usize = 20;
/// Characters of one violation; it may quote a pattern or a whole enumeration.
pub const MAX_VIOLATION_CHARS: usize = 400;
/// JSON values in arguments of which every violation is looked for; in larger ones the first is reported alone,
/// since a million wrong items would make a million errors.
pub const MAX_NODES_FOR_ALL_VIOLATIONS: usize = 1_000;
/// Core instances of one store. Python components have tens; hostile ones want all.
pub const MAX_CORE_INSTANCES: usize = 256;
/// Tables and memories of one store, which the pool holds for each instance that may live. What toolchains make,
/// Python's and JavaScript's too, has two and one; this is room for a few components that were composed.
pub const MAX_TABLES: usize = 8;
pub const MAX_MEMORIES: usize = 4;
/// Of a memory or a table that an ended instance has written to, bytes that stay with its place in the pool, zeroed: the
/// next one needs neither a call to the kernel nor page faults for them. Most guests write less.
pub const KEPT_GUEST_MEMORY_BYTES: usize = 512 * 1024;
/// Elements of one table.
pub const MAX_TABLE_ELEMENTS: usize = 100_000;
/// Handles that a guest holds at once.
pub const MAX_HANDLES: usize = 4_096;
/// Bytes that one host call may move into the host.
pub const MAX_HOSTCALL_BYTES: usize = 16 * 1024 * 1024;
/// The same for a tool that returns `list<u8>`, which the host holds as tens of bytes for each one: as much as its
/// `result_kib` needs, and no more than this. Lists of up to 8 MB fit.
pub const MAX_LISTED_RESULT_BYTES: usize = 256 * 1024 * 1024;
/// HTTP exchanges of one guest: answers that it waits for or has not dropped the handles of.
pub const MAX_OPEN_EXCHANGES: usize = 64;
/// Body of a request that is held in memory until it is complete, bytes; one that grows beyond it streams out.
pub const MAX_SENT_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Writes that make up one such body: each costs bookkeeping of the host's, however short it is.
pub const MAX_SENT_BODY_CHUNKS: usize = 65_536;
/// Body of a request that streams out, bytes: after a kill it may be written and sent again from its begin.
pub const MAX_STREAMED_BODY_BYTES: u64 = 1024 * 1024 * 1024;
/// What of it a guest writes, and what leaves, at a time, bytes; short writes leave together.
pub const MAX_SENT_PIECE_BYTES: usize = 64 * 1024;
/// Pieces of one body on their way from a worker.
pub const MAX_HELD_SENT_PIECES: usize = 2;
/// A body that its guest has not finished when it has waited so long for other things streams out: it may wait for the answer.
/// Milliseconds.
pub const UNFINISHED_BODY_MS: u64 = 1_000;
/// Body of one answer that a task's owner gives in the place of the server's, bytes. What comes over the network streams, and
/// counts in `journal_mib`.
pub const MAX_ANSWER_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Body of an answer that is one record, bytes, where it has come whole so soon after its head; milliseconds. A longer or
/// later one streams, which costs a record a piece.
pub const MAX_WHOLE_ANSWER_BYTES: usize = 64 * 1024;
pub const WHOLE_ANSWER_MS: u64 = 50;
/// What is written of a stream at a time, bytes: its pieces share one wait for the disk.
pub const MAX_STREAMED_AT_ONCE_BYTES: usize = 64 * 1024;
/// Bytes of a stream in one row of the store, which holds them inline with a head of their own.
pub const MAX_STREAMED_PIECE_BYTES: usize = super::MAX_INLINE_PAYLOAD_BYTES - 16;
/// Pieces of one stream that wait in memory for the guest to read them: the server that sends them waits, too.
pub const MAX_HELD_PIECES: usize = 16;
/// Bodies that stream to one guest, those of answers among them that it has not looked at. A guest that keeps 64 of its own
/// stays below.
pub const MAX_OPEN_STREAMS: usize = 128;
/// All headers of one answer, bytes; servers rarely send more than 8 KiB.
pub const MAX_ANSWER_HEADER_BYTES: usize = 64 * 1024;
/// Why a certificate is not trusted, characters; it has the names in the certificate, which another wrote.
pub const MAX_CERTIFICATE_WORDS_CHARS: usize = 300;
/// Name lookup and connection (TLS included) of one exchange, each, unless the guest wants less. Milliseconds.
pub const HTTP_CONNECT_MS: u64 = 10_000;
/// Wait for an answer's head, and then between two pieces of its body, unless the guest wants less: models
/// think for minutes. Milliseconds.
pub const HTTP_ANSWER_MS: u64 = 600_000;
/// What replay knows to be ready is ready but for a lookup and a change of threads. Seconds.
pub const MAX_FORCED_WAIT_SECONDS: u64 = 60;
/// Bytes that one call to random may ask for.
pub const MAX_RANDOM_BYTES: u64 = 1024 * 1024;
/// Bookkeeping of one instance (functions, globals, handles), bytes: about 32 for each function whose address
/// is taken, of which Python's interpreter has tens of thousands.
pub const MAX_INSTANCE_BYTES: usize = 4 * 1024 * 1024;
/// Loaded components that are kept in memory; Python's takes about 50 MB.
pub const MAX_LOADED_COMPONENTS: usize = 64;
/// Time that a component has to tell its own tool definitions, milliseconds: it only returns a list.
pub const MAX_INSPECTION_MS: u64 = 5_000;
/// Memory for that, MiB: Python's and JavaScript's interpreters start within it.
pub const INSPECTION_MEMORY_MIB: u64 = 256;
/// Guest stack, bytes.
pub const MAX_WASM_STACK_BYTES: usize = 1024 * 1024;
/// A spinning guest gives way after one tick, and its limits are checked: so long may a neighbour's call wait
/// behind it. Milliseconds.
pub const EPOCH_TICK_MS: u64 = 2;
/// Guests that something woke run before those that gave way, so many of them until one of the others has its turn: a
/// step takes some ten microseconds, a turn a tick.
pub const MAX_WOKEN_IN_A_ROW: u32 = 64;
/// Nesting of a JSON value that becomes a component value, or the other way.
pub const MAX_JSON_DEPTH: usize = 64;
/// The signature next to a component, bytes: minisign's have some 300 and a comment.
pub const MAX_SIGNATURE_BYTES: u64 = 4 * 1024;
