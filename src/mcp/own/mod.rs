//! Lives here: Longhaul's operations as clients see them: as tools with names, schemas, hints.
//! May import: `wire`.
//! Never here: what they are and do, which is in `api`, or how a call of them is answered, which is in `call`.
//! Read first: `tools.rs`.

pub mod fixtures;
pub mod tools;
