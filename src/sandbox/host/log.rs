use wasmtime::Result;

use super::bindings::longhaul::tool::log::{self, Level};
use crate::limits;
use crate::sandbox::world::World;

impl log::Host for World {
    async fn write(&mut self, level: Level, message: String) -> Result<()> {
        self.journal.relieve().await?;
        Ok(self.journal.log(line(level, &message).as_bytes())?)
    }
}

/// `level: message` and a newline, of at most `MAX_MESSAGE_BYTES` of message.
fn line(level: Level, message: &str) -> String {
    let level = match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Notice => "notice",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let end = message.floor_char_boundary(limits::MAX_MESSAGE_BYTES);
    format!("{level}: {}\n", message[..end].trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(line(Level::Warning, "careful\n"), "warning: careful\n");
        let long = line(Level::Info, &"é".repeat(limits::MAX_MESSAGE_BYTES));
        assert_eq!(long.len(), "info: \n".len() + limits::MAX_MESSAGE_BYTES);
    }
}
