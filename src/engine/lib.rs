//! The door of the engine's crate: also of the store under it, whose faults its tests bring about, and of what callers
//! may ask, which has a word for each kind of error. `longhaul` shows them to programs.
#![deny(unsafe_code)]

#[path = "../api/mod.rs"]
pub mod api;
#[path = "mod.rs"]
pub mod engine;
#[path = "../store/mod.rs"]
pub mod store;

use longhaul_ground::{authority, catalog, clock, crash_point, limits, private, shares, task};
