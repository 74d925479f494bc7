//! The door of the HTTP listener's crate. `longhaul` shows its room to programs.
#![deny(unsafe_code)]

#[path = "mod.rs"]
pub mod http;

use longhaul_ground::{authority, limits, shares};
