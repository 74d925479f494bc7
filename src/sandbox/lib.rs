//! The door of the sandbox's crate. `longhaul` shows its room to programs.
#![deny(unsafe_code)]

#[path = "mod.rs"]
pub mod sandbox;

use longhaul_engine::{api, engine};
#[cfg(test)]
use longhaul_ground::shares;
use longhaul_ground::{
    authority, catalog, crash_point, files, launch, limits, private, secrets, task, walls,
};
