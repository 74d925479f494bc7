//! Lives here: tasks that tasks begin: the tree, calls, what a child came to, messages between them.
//! May import: `record`, `dispatch`, the engine's rows and commits.
//! Never here: what calls one protocol knows, what a child computes.
//! Read first: `children.rs`, then `calling/mod.rs`.

pub(super) mod calling;
pub(super) mod children;
pub mod messages;
