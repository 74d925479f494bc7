//! Folders of the operator's, by wasi:filesystem. Nothing is open anywhere: a descriptor is a name, and each call says what it
//! is about (`crate::files`). What a call came to is recorded, so that replay opens nothing.
//!
//! | call                                           | on disk                                                            |
//! |------------------------------------------------|--------------------------------------------------------------------|
//! | read, up to 64 KiB, and where it may write,    | a record with the bytes                                            |
//! | where none is longer                           |                                                                    |
//! | read, beyond                                   | a record with length and hash; replay reads again and compares     |
//! | stat, list, readlink, sync                     | a record with the answer                                           |
//! | write at an offset, set size or times, open    | a record with the answer, and before it all that the guest has     |
//! |                                                | seen: done twice it comes to the same                              |
//! | append, create exclusively, mkdir, remove,     | an operation, with its intent before and its outcome after: `once` |
//! | rename, link                                   |                                                                    |

mod asks;
mod bindings;
mod calls;
mod descriptor;
mod fault;
mod host;
pub mod link;
mod names;
mod once;
mod pending;
mod port;
mod reader;
pub mod recorded;
mod view;
mod writer;

pub use self::calls::{Files, FolderAccess};
pub use self::port::{FolderPort, perform};
