use std::fmt;

use crate::limits;

/// How much a line of a task's log matters, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// A message as it stands in the log: each of its lines behind its level, so that it can be told from what was
/// printed. Holds [`limits::MAX_MESSAGE_BYTES`] of the message at most.
pub fn log_lines(level: LogLevel, message: &str) -> String {
    let end = message.floor_char_boundary(limits::MAX_MESSAGE_BYTES);
    let message = message[..end].trim_end_matches('\n');
    message.split('\n').map(|line| format!("{level}: {line}\n")).collect()
}

/// A line of the log without its end, where it bears a level.
pub fn parse_log_line(line: &str) -> Option<(LogLevel, &str)> {
    let (name, text) = line.split_once(": ")?;
    let (level, _) = LEVELS.iter().find(|(_, there)| *there == name)?;
    Some((*level, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_reads_back_with_its_level() {
        for (level, _) in LEVELS {
            let lines = log_lines(level, "careful: hot\nand \n\n");
            let read: Vec<_> = lines.lines().map(parse_log_line).collect();
            assert_eq!(read, [Some((level, "careful: hot")), Some((level, "and "))]);
        }
        assert_eq!(log_lines(LogLevel::Info, ""), "info: \n");
        for printed in ["", "info", "Info: x", "information: x", " info: x"] {
            assert_eq!(parse_log_line(printed), None, "{printed}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = log_lines(LogLevel::Info, &"é".repeat(limits::MAX_MESSAGE_BYTES));
        assert_eq!(long.len(), "info: \n".len() + limits::MAX_MESSAGE_BYTES);
    }
}
