//! Lives here: shared state: entries, namespaces, versions, expiry.
//! May import: `record`, `audit`, `shared` and what stands below.
//! Never here: what a task's life makes of it.
//! Read first: `entries.rs`, then `write_set.rs`, then `guest.rs`.
//!
//! Shared state: entries that agents coordinate through, each in a namespace, with a version that grows with every
//! write, also over a deletion. A write's verdict is made in the order of commits (`write_set.rs`), a guest's write is in
//! the same commit as its step (`guest.rs`), and its watchers are notified after it (`memory/watchers.rs`).

pub(super) mod entries;
pub(super) mod expiry;
pub(super) mod guest;
pub(super) mod rows;
pub(super) mod types;
pub(super) mod write_set;
