//! Components in registries: what is taken of one, and how long it may take.

/// Manifest of an artifact in a registry, bytes; a component's manifest is one of its annotations.
pub const MAX_REGISTRY_MANIFEST_BYTES: usize = 1024 * 1024;
/// The manifest of a component within that, bytes; JSON writes some characters as six.
pub const MAX_CARRIED_MANIFEST_BYTES: usize = 128 * 1024;
/// The same for its signature; minisign's have some hundred.
pub const MAX_CARRIED_SIGNATURE_BYTES: usize = 4_096;
/// What a registry says about a token or an error, bytes.
pub const MAX_REGISTRY_ANSWER_BYTES: usize = 64 * 1024;
/// The same, as far as it is repeated, characters.
pub const MAX_REGISTRY_WORDS_CHARS: usize = 300;
/// Hosts that the download of one component is sent on to, one after the other; the usual ones do it once.
pub const MAX_REGISTRY_REDIRECTS: usize = 3;
/// Connection to a registry, TLS included, and then the wait between two pieces of an answer, milliseconds.
pub const REGISTRY_CONNECT_MS: u64 = 10_000;
pub const REGISTRY_SILENCE_MS: u64 = 30_000;
/// One request to a registry, with all of its answer, milliseconds: the largest component over a slow line.
pub const REGISTRY_REQUEST_MS: u64 = 300_000;
/// Repository of a registry, and host, bytes.
pub const MAX_REPOSITORY_BYTES: usize = 255;
/// Tag of a registry, bytes.
pub const MAX_REGISTRY_TAG_BYTES: usize = 128;
/// Place in a registry, with host, tag and digest, bytes.
pub const MAX_REGISTRY_PLACE_BYTES: usize = 1_024;
/// Piece in which a server gives a component that is to be pushed, bytes.
pub const MAX_COPY_PIECE_BYTES: usize = 4 * 1024 * 1024;
