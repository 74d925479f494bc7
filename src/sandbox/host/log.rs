use wasmtime::Result;

use super::bindings::longhaul::tool::log::{self, Level};
use crate::sandbox::world::World;
use crate::task::LogLevel;

impl log::Host for World {
    async fn write(&mut self, level: Level, message: String) -> Result<()> {
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Notice => LogLevel::Notice,
            Level::Warning => LogLevel::Warning,
            Level::Error => LogLevel::Error,
        };
        self.journal.flush_if_full().await?;
        Ok(self.journal.line(level, &message)?)
    }
}
