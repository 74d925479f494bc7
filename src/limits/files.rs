//! Folders that tasks are granted.

/// A path within a folder, bytes: the longest that Linux takes.
pub const MAX_FILE_PATH_BYTES: usize = 4_096;
/// Bytes that one call reads or writes at most; a guest that asks for more gets as many, and asks again.
pub const MAX_FILE_CALL_BYTES: usize = 1024 * 1024;
/// A read of up to so many bytes stands in the journal whole; of a longer one its length and its hash do. In a folder that a task
/// may write, one read gives no more.
pub const MAX_RECORDED_READ_BYTES: usize = 64 * 1024;
/// Bytes that one task reads from folders, since its beginning or its last checkpoint: replay may read them again.
pub const MAX_FILE_READ_BYTES: u64 = 256 * 1024 * 1024;
/// A file that is written, bytes, holes and all.
pub const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// Entries of one folder that is listed: the list stands in the journal.
pub const MAX_LISTED_ENTRIES: usize = 16_384;
/// Lists that one guest has open at once, and what they take, bytes: they are in the host's memory. The longest fits.
pub const MAX_OPEN_LISTS: usize = 64;
pub const MAX_OPEN_LISTS_BYTES: usize = 16 * 1024 * 1024;
/// One message between a server and a process that holds a folder, bytes: a call with what it writes, or a list.
pub const MAX_FOLDER_FRAME_BYTES: usize = 8 * 1024 * 1024;
/// Folders whose processes run at once.
pub const MAX_FOLDER_PROCESSES: usize = 64;
/// Files that a process of a folder has open at once: the folder, its pipes, and what one call opens.
pub const MAX_FOLDER_PROCESS_DESCRIPTORS: u64 = 32;
/// Memory of a process of a folder: some messages, and the names of the longest list.
pub const MAX_FOLDER_PROCESS_MEMORY_BYTES: u64 = 256 * 1024 * 1024;
/// Calls of all tasks that wait for one folder.
pub const MAX_FOLDER_CALLS: usize = 1_024;
/// A process whose folder is not asked for ends after this long, seconds.
pub const FOLDER_IDLE_SECONDS: u64 = 30;
/// One call: a process that is stuck longer, as on a network's file system, is killed, seconds.
pub const FOLDER_CALL_SECONDS: u64 = 30;
/// A process that is killed since it does not answer is waited for so long, seconds; before it has ended there is no other.
pub const FOLDER_STOP_SECONDS: u64 = 10;
/// A path that is resolved while another program moves what is on it is tried so often.
pub const MAX_RESOLVE_TRIES: u32 = 8;
/// A call that may be done twice is tried so often where the process that holds its folder ends.
pub const MAX_FOLDER_TRIES: u32 = 3;
