//! What the scenarios share: guests that are built once, a server as a child process, a bare client.

mod ballast;
mod cli;
mod client;
#[cfg(target_os = "linux")]
mod clocks;
mod disk;
mod endpoint;
mod guests;
mod models;
mod oracle;
#[cfg(target_os = "linux")]
mod processes;
mod server;
mod session;
mod streamed;
mod timing;
mod tls;
mod uploads;
mod wat;
mod web;

pub use ballast::ballast;
pub use cli::{answer_of, command};
pub use client::{Client, RpcError, said};
#[cfg(target_os = "linux")]
pub use clocks::Clocks;
pub use disk::on_disk;
pub use endpoint::{Endpoint, Says};
pub use guests::guest;
pub use models::{Reply, Request as Asked, Script, begins, says, stream};
pub use oracle::Oracle;
#[cfg(target_os = "linux")]
pub use processes::{Watched, child_of, launcher_of};
pub use server::{Server, copy_folder};
pub use session::Session;
pub use streamed::long;
pub use timing::Timing;
pub use tls::{Authority, EXPIRED, VALID};
pub use uploads::{Sink, Taken};
pub use wat::{export, install};
pub use web::{Seen, Tls, Web};

/// Long enough for a machine that does many other things; nothing waits this long that goes well.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// A number from the environment, for a longer run than CI's.
pub fn scale(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}

/// Small, seeded, and good enough to choose moments and programs.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// xorshift64.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}
