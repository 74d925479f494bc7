//! What callers name and send.

/// Bytes of one argument object; a model does not write more, and it is held in memory several times.
pub const MAX_ARGUMENTS_BYTES: usize = 4 * 1024 * 1024;
/// Payloads above this are stored once, by digest, apart from the row that names them.
pub const MAX_INLINE_PAYLOAD_BYTES: usize = 16 * 1024;
/// Characters of an idempotency key; a digest or a UUID fits many times.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 256;
/// Bytes of a `traceparent`: version 00 has 55, and later ones may say more.
pub const MAX_TRACEPARENT_BYTES: usize = 128;
/// Bytes of a `tracestate`: what W3C wants everybody to pass on at least.
pub const MAX_TRACESTATE_BYTES: usize = 512;
/// Bytes of a `baggage`: what W3C wants everybody to pass on at least.
pub const MAX_BAGGAGE_BYTES: usize = 8192;
/// Bytes of a principal's name.
pub const MAX_PRINCIPAL_BYTES: usize = 128;
/// Tokens that are valid at once; all are held in memory.
pub const MAX_TOKENS: usize = 10_000;
/// Globs of tools, and of state, that one token names; each call is compared with all of them.
pub const MAX_TOKEN_GLOBS: usize = 256;
/// Bytes of what a client calls itself, as far as it is kept.
pub const MAX_CLIENT_NAME_BYTES: usize = 128;
