//! HTTP.

/// What one HTTP connection reads or writes ahead, bytes; hyper begins with 8 KiB of each and never gives back what
/// it took. A request's head fits into it.
pub const MAX_CONNECTION_BUFFER_BYTES: usize = 64 * 1024;
/// The head of one HTTP request, from its first line to the empty one, bytes. hyper takes 100 headers in it.
pub const MAX_REQUEST_HEAD_BYTES: usize = 64 * 1024;
/// One HTTP request body, bytes.
pub const MAX_REQUEST_BYTES: usize = 8 * 1024 * 1024;
/// What a request takes of memory, by the bytes of its body: its text, its values, its row, and the batch that writes it.
pub const REQUEST_COPIES: u64 = 4;
/// Memory that one principal has for requests, and for answers, at least, bytes: one that is as large as it may be fits.
pub const MIN_MESSAGES_SHARE_BYTES: u64 = 32 * 1024 * 1024;
/// Keys and values of one message in JSON. Each may take hundreds of bytes of memory where its text has a few.
pub const MAX_MESSAGE_VALUES: usize = 100_000;
/// Descriptors that are kept for all else than connections over HTTP: files, sockets, pipes, requests of tools.
pub const RESERVED_DESCRIPTORS: usize = 64;
/// Where there are too many, one part in so many is closed at once: those that have been idle longest.
pub const CLOSED_CONNECTIONS_PART: usize = 16;
/// From the first byte of a request, or a new connection, to the end of the request's head. Seconds.
pub const REQUEST_HEAD_SECONDS: u64 = 10;
/// A connection that was used and is idle is closed after this. Seconds.
pub const IDLE_CONNECTION_SECONDS: u64 = 120;
/// A request's body has this long, and as long again for each so many bytes of it. Seconds.
pub const REQUEST_BODY_SECONDS: u64 = 20;
/// A short body that is not asked for is read all the same, if it arrives within this. Milliseconds.
pub const UNASKED_BODY_MS: u64 = 500;
/// Behind an answer to a request whose body was not read, so much of it is dropped unread before the connection ends: a
/// client that is still writing would else see its connection break, and no answer. Bytes.
pub const MAX_DROPPED_BYTES: usize = MAX_REQUEST_BYTES;
/// The same, for so long at most. Milliseconds.
pub const LINGER_MS: u64 = 1_000;
/// Bytes of a body that must arrive in a second, on the average and beyond `REQUEST_BODY_SECONDS`.
pub const MIN_BODY_BYTES_PER_SECOND: u64 = 4 * 1024;
/// An answer of which fewer than `MIN_READ_BYTES` are read in this time is not read. Seconds.
pub const UNREAD_ANSWER_SECONDS: u64 = 30;
/// See `UNREAD_ANSWER_SECONDS`.
pub const MIN_READ_BYTES: u64 = 64 * 1024;
/// How often a connection is looked at, if it is not due before. Seconds.
pub const CONNECTION_LOOK_SECONDS: u64 = 5;
/// So many seconds' worth of requests may come at once.
pub const REQUEST_BURST_SECONDS: u64 = 2;
/// Requests without a valid token that one machine is answered in a second; it may send twice as many at once.
pub const STRANGERS_REQUESTS_PER_SECOND: u32 = 20;
/// So many bytes of a request's body count as one request more in its caller's rate.
pub const REQUEST_UNIT_BYTES: u64 = 64 * 1024;
/// Refusals that one caller is answered in a second; more wait, as many again aside that come at once.
pub const REFUSALS_PER_SECOND: u64 = 50;
/// A refusal waits this long at most. Milliseconds.
pub const MAX_REFUSAL_WAIT_MS: u64 = 2_000;
/// Callers whose refusals are spaced at once; those that were quiet are forgotten then.
pub const MAX_PACED: usize = 10_000;
/// Connections that one machine may begin in a second, where the operator does not say otherwise; twice as many may
/// come at once. The owner's own programs have no such bound.
pub const DEFAULT_NEW_CONNECTIONS_PER_SECOND: u32 = 500;
/// Machines whose requests without a valid token, and whose new connections, are counted; those that were quiet are
/// forgotten then.
pub const MAX_COUNTED_MACHINES: usize = 10_000;
/// One manifest or configuration file, bytes.
pub const MAX_CONFIG_BYTES: u64 = 1024 * 1024;
/// Connections on the socket in the data folder at once: hosts of one user, and their commands.
pub const MAX_SOCKET_CLIENTS: usize = 1_024;
/// Connections that wait to be accepted there; hosts that start together come together.
pub const SOCKET_BACKLOG: u32 = 128;
/// A server that was started in the background ends when it has had neither a client nor an open task for this
/// long: a host that starts again finds it, one that is gone for good leaves nothing behind. Seconds.
pub const BACKGROUND_IDLE_SECONDS: u64 = 60;
/// What that may be set to; a day. Seconds.
pub const MAX_BACKGROUND_IDLE_SECONDS: u64 = 86_400;
/// Its first client, which has started it, comes within this. Seconds.
pub const FIRST_CLIENT_SECONDS: u64 = 15;
/// It looks at least this long after whether its last tasks have ended. Milliseconds.
pub const IDLE_CHECK_MS: u64 = 200;
/// Log of a server in the background, bytes; at the next start the file is put aside when it is larger.
pub const MAX_SERVER_LOG_BYTES: u64 = 4 * 1024 * 1024;
/// Requests of one host that a bridge holds without an answer. Each may hold its text, to be sent again.
pub const MAX_BRIDGED_REQUESTS: usize = 1_024;
/// A request is held to be sent again if it is no longer than this, bytes.
pub const MAX_RESENT_BYTES: usize = 64 * 1024;
/// Questions to one host that a bridge remembers, open ones and answered ones each.
pub const MAX_BRIDGED_QUESTIONS: usize = 64;
/// Lines of a host that wait for its server.
pub const MAX_BRIDGED_LINES: usize = 16;
/// Servers that a bridge sees end within a minute before it gives up: one that dies at each start is no help.
pub const MAX_BRIDGE_RESTARTS: usize = 5;
/// Tasks whose end an interactive client has not shown; each is followed over a connection of its own.
pub const MAX_REMEMBERED_TASKS: usize = 256;
/// What followers have sent a client and it has not read; beyond, they wait.
pub const MAX_CLIENT_EVENTS: usize = 256;
/// One `subscriptions/listen` that is read for its tasks, bytes: as many as one may watch fit.
pub const MAX_LISTEN_LINE_BYTES: usize = 256 * 1024;
/// Of a body over HTTP that cannot be read, so much is looked through for the id of its request, bytes.
pub const MAX_SCANNED_BODY_BYTES: usize = 64 * 1024;
/// Nesting within which the id of a message that cannot be read is looked for.
pub const MAX_SCANNED_DEPTH: usize = 64 * 1024;
/// Id that is found in such a message, bytes.
pub const MAX_SCANNED_ID_BYTES: usize = 1_024;
/// Messages without an id that cannot be read and are answered, between one request that can and the next: a side
/// that answers errors with more of them is not answered for ever.
pub const MAX_UNNAMED_REFUSALS: usize = 64;
/// Requests of one client over pipes that have no answer yet.
pub const MAX_PIPED_REQUESTS: usize = 1_024;
/// How often it is looked whether the reader of a pipe is gone, once its writer has ended: there is no event for it. Milliseconds.
pub const READER_LOOK_MS: u64 = 50;
/// Calls that wait have this long to be answered when the server stops or their reader is gone. Milliseconds.
pub const ANSWER_GRACE_MS: u64 = 500;
/// A client over pipes has this long to take its answers when the server stops: within what the server itself has.
/// Milliseconds.
pub const STOP_GRACE_MS: u64 = 2_000;
/// Seconds that a graceful shutdown waits for running guests to reach a commit.
pub const SHUTDOWN_GRACE_SECONDS: u64 = 5;
