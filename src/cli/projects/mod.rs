//! Lives here: projects of tools: the folder that `tool new` makes in each language, and what builds those that are no Cargo
//! workspace.
//! May import: `args`, `exit`, what builds a workspace, and the rooms below. Never here: a server, a store.
//! Read first: `create.rs`, then `build/mod.rs`.

mod build;
mod create;
mod error;
mod files;

pub use self::build::build;
pub use self::create::create;
