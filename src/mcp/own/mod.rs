//! Lives here: Longhaul's own tools as clients see them: names, schemas, hints.
//! May import: `wire`.
//! Never here: what a call of them does, which is in `call`.
//! Read first: `tools.rs`.

pub mod definition;
pub mod fixtures;
pub mod state;
pub mod tools;
