//! Models that the operator has configured.

/// How long one answer of a model may take at most, where its table says more.
pub const MAX_MODEL_SECONDS: u64 = 3_600;
/// All bytes of one streamed answer, with what stands around its text.
pub const MAX_MODEL_STREAM_BYTES: usize = 32 * 1024 * 1024;
/// One line of a streamed answer.
pub const MAX_MODEL_LINE_BYTES: usize = 4 * 1024 * 1024;
/// An endpoint that wants to be left alone for longer is not waited for.
pub const MAX_RETRY_AFTER_SECONDS: u64 = 60;
/// What says in an answer what it cost, and what stands in it for a name that its endpoint did not say.
pub const MODEL_USAGE_BYTES: usize = 256;
/// A price of a million tokens, thousandths of its unit.
pub const MAX_MODEL_PRICE_MILLIS: u64 = 1_000_000_000;
/// What an image or a sound in a request is taken for, tokens, until its endpoint has counted it.
pub const MEDIA_TOKENS: u64 = 2_000;
