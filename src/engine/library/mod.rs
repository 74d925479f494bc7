//! Lives here: what a program that embeds the engine calls: the builder, calls and their handles, typed closures.
//! May import: the engine's operations. Never here: an operation of its own; each is one of `TaskEngine`'s.
//! Read first: `builder.rs`, then `handle.rs`.

mod builder;
mod handle;
mod typed;

pub use builder::EngineBuilder;
pub use handle::{Call, TaskHandle};
