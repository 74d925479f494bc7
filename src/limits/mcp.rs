//! MCP, and the servers of others.

/// Seconds that a call may choose for its inline reply; a day. For longer, 0 is without end.
pub const MAX_INLINE_WAIT_SECONDS: u64 = 86_400;
/// Bytes that one `resources/read` returns; what is larger is read in parts by `task_output`.
pub const MAX_RESOURCE_READ_BYTES: usize = 16 * 1024 * 1024;
/// Tools of one page of `tools/list`. Many hosts never ask for a second page.
pub const MAX_TOOLS_PAGE: usize = 1_000;
/// Subscriptions of one connection that wait for their acknowledgment to be sent.
pub const MAX_ARMED_SUBSCRIPTIONS: usize = 16;
/// A subscriber is notified of changed lists at most this often. Milliseconds.
pub const LIST_CHANGE_INTERVAL_MS: u64 = 1_000;
/// Messages that one call's stream holds for a client that does not read them; then the call waits.
pub const MAX_CALL_STREAM_MESSAGES: usize = 16;
/// One message that the client takes: a resource of the bound above, as base64 within JSON.
pub const MAX_CLIENT_EVENT_BYTES: usize = 64 * 1024 * 1024;
/// A client that waits for a server to come up tries again after this. Milliseconds.
pub const CLIENT_RETRY_MS: u64 = 50;
/// Replies to questions that are remembered of one client, so that it is asked rightly by what follows; beyond, the
/// oldest are forgotten. No task shows more questions at once.
pub const MAX_NOTED_REPLIES: usize = 256;
/// A client that comes back to the stream of a call and has heard its question may be about to answer it. After this
/// it hears it again, under the same id: its answer may have been lost with the server. Milliseconds.
pub const QUESTION_REMINDER_MS: u64 = 3_000;
/// Messages that belong to no request and wait for a session's reader; beyond, the oldest are dropped.
pub const MAX_SESSION_MESSAGES: usize = 16;
/// Messages of one session's client that rmcp has not taken yet; then the client waits.
pub const MAX_SESSION_INBOX: usize = 8;
/// Legacy sessions in memory at once: each has one task and one channel.
pub const MAX_SESSIONS: usize = 20_000;
/// A legacy session without an open stream or a request leaves memory after this. Seconds.
pub const SESSION_IDLE_SECONDS: u64 = 3_600;
/// A legacy session that has asked for nothing for so long, and waits for no answer, needs no service of rmcp's:
/// its stream is served without one. A service holds some 30 KiB, and making a new one takes no millisecond.
/// Milliseconds.
pub const SESSION_QUIET_MS: u64 = 500;
/// A legacy session's client may come back so long after its last request. Seconds: a week.
pub const SESSION_KEPT_SECONDS: u64 = 7 * 86_400;
/// A session's row says at most so late that it was used. Seconds.
pub const SESSION_NOTE_SECONDS: u64 = 3_600;
/// Requests of one session whose streams are in memory at once; beyond, the oldest is forgotten, and can be made
/// again from its row if it made a task.
pub const MAX_SESSION_STREAMS: usize = 256;
/// Calls of one session whose streams can be resumed; beyond, a sweep forgets the oldest.
pub const MAX_KEPT_CALLS_PER_SESSION: usize = 1_024;
/// A call's stream can be resumed so long after its task ended. Seconds: a day.
pub const CALL_KEPT_SECONDS: u64 = 86_400;
/// What a client takes for a session's id: ours have 32 bytes.
pub const MAX_SESSION_ID_BYTES: usize = 64;
/// Id of a request that an event id repeats, bytes: it travels in a header.
pub const MAX_ID_IN_EVENT_BYTES: usize = 64;
/// A listener to whom nothing is sent gets a comment after this, so that what is in between keeps the connection.
/// Seconds.
pub const LISTEN_COMMENT_SECONDS: u64 = 15;
/// The head of a response that is not there after this is sent ahead of it, so that nothing in between gives the
/// call up. What is there in this time is answered with a status of its own. Milliseconds.
pub const EARLY_HEAD_MS: u64 = 1_000;
/// Behind an early head, a comment goes out so often until there is something to tell. Seconds.
pub const WAIT_COMMENT_SECONDS: u64 = 15;
/// A browser asks again so long after a preflight. Seconds.
pub const PREFLIGHT_SECONDS: u64 = 600;
/// How long a client waits before it reconnects. Stock clients try twice, and a restart has to fit in between.
/// Milliseconds.
pub const SSE_RETRY_MS: u64 = 5_000;
/// A change's time is taken before its commit: what changed so long before an event may not have been sent with
/// it. Milliseconds.
pub const UPDATE_MARGIN_MS: u64 = 2_000;
/// A stream that could not be watched for, because there are too many subscribers, looks so often. Milliseconds.
pub const UNWATCHED_LOOK_MS: u64 = 1_000;
/// What clients may keep of `server/discover` and the templates: they change with the version only. Milliseconds.
pub const DISCOVER_TTL_MS: u64 = 3_600_000;
/// What clients may keep of `tools/list` without asking again. Milliseconds.
pub const TOOLS_TTL_MS: u64 = 10_000;
/// What clients may keep of a completed task's result, which never changes. Milliseconds.
pub const RESULT_TTL_MS: u64 = 86_400_000;

/// Other MCP servers that a configuration names; each may be a process.
pub const MAX_REMOTE_SERVERS: usize = 64;
/// Tools that one of them offers; the rest is not taken.
pub const MAX_REMOTE_TOOLS: usize = 1_000;
/// One call to another MCP server, seconds, unless the operator says otherwise.
pub const DEFAULT_REMOTE_SECONDS: u64 = 600;
/// Withdrawing such a call takes at most this, and so does the commit that it waits for. Seconds.
pub const WITHDRAW_SECONDS: u64 = 5;
/// Tries of such a call in all, where it may be tried again.
pub const DEFAULT_REMOTE_ATTEMPTS: u32 = 3;
/// A server that has not answered the handshake by then is not there. Seconds.
pub const REMOTE_CONNECT_SECONDS: u64 = 10;
/// What a server offers is asked for again before a call once it is so old. Seconds.
pub const REMOTE_LIST_SECONDS: u64 = 60;
/// When a call may be made again whose tool may be one of a component that is still compiled, seconds.
pub const NOT_LOADED_RETRY_SECONDS: u64 = 2;
/// So long after its start a server lets a list of tools wait for components that are still compiled, milliseconds: some
/// hosts list tools once, and the quickest of them give up after 5 s.
pub const LISTING_WAIT_MS: u64 = 4_000;
