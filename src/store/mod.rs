//! Lives here: rows on disk: redb, the writer thread with group commit, consistent reads, the format.
//! May import: `task`, `authority`, `clock`, `limits`. Never here: what a row means; upper rooms convert.
//! Read first: `format.md`, then `Store::enqueue`.
