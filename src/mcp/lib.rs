//! The door of MCP's crate. `longhaul` shows its room to programs.
#![deny(unsafe_code)]

#[path = "mod.rs"]
pub mod mcp;

use longhaul_engine::{api, engine, store};
use longhaul_ground::{authority, catalog, clock, crash_point, launch, limits, private, shares, task};
use longhaul_http::http;
