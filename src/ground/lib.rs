//! The door of the ground's crate, whose rooms lie next to this folder: all that needs no store, up to the catalog.
//! `longhaul` shows them to programs.
#![deny(unsafe_code)]

#[path = "../authority/mod.rs"]
pub mod authority;
#[path = "../catalog/mod.rs"]
pub mod catalog;
#[path = "../clock.rs"]
pub mod clock;
#[path = "../crash.rs"]
pub mod crash;
#[cfg(feature = "files")]
#[path = "../files/mod.rs"]
pub mod files;
#[cfg(feature = "launch")]
#[path = "../launch/mod.rs"]
pub mod launch;
#[path = "../limits/mod.rs"]
pub mod limits;
#[path = "../private/mod.rs"]
pub mod private;
#[path = "../secrets/mod.rs"]
pub mod secrets;
#[path = "../shares/mod.rs"]
pub mod shares;
#[path = "../task/mod.rs"]
pub mod task;
#[cfg(feature = "files")]
#[path = "../walls/mod.rs"]
pub mod walls;
