use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits;

/// How much a line of a task's log matters, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
}

const LEVELS: [(LogLevel, &str); 5] = [
    (LogLevel::Debug, "debug"),
    (LogLevel::Info, "info"),
    (LogLevel::Notice, "notice"),
    (LogLevel::Warning, "warning"),
    (LogLevel::Error, "error"),
];

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = LEVELS.iter().find(|(level, _)| level == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// A message as it stands in the log: each of its lines behind its level, so that it can be distinguished from what was
/// printed. Holds [`limits::MAX_MESSAGE_BYTES`] of the message at most.
pub fn log_lines(level: LogLevel, message: &str) -> String {
    let end = message.floor_char_boundary(limits::MAX_MESSAGE_BYTES);
    let message = message[..end].trim_end_matches('\n');
    message.split('\n').map(|line| format!("{level}: {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_bears_its_level() {
        assert_eq!(
            log_lines(LogLevel::Notice, "careful: hot\nand \n\n"),
            "notice: careful: hot\nnotice: and \n"
        );
        assert_eq!(log_lines(LogLevel::Info, ""), "info: \n");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = log_lines(LogLevel::Info, &"é".repeat(limits::MAX_MESSAGE_BYTES));
        assert_eq!(long.len(), "info: \n".len() + limits::MAX_MESSAGE_BYTES);
    }
}
