use std::fmt;
use std::process::ExitCode;

use crate::private::NotPrivate;

/// How a command ends, as scripts see it. The one place with exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// The task or the command failed.
    Failed = 1,
    /// Bad usage or configuration; clap ends with the same code.
    Usage = 2,
    NotFound = 3,
    Refused = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What a person is shown when a command fails: what was wrong and where, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    pub exit: Exit,
    pub message: String,
    /// The next command, or what to change.
    pub next: Option<String>,
}

pub type Result<T, E = CliError> = std::result::Result<T, E>;

impl CliError {
    fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), next: None }
    }

    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub fn not_found(message: impl fmt::Display) -> Self {
        Self::new(Exit::NotFound, message)
    }

    pub fn refused(message: impl fmt::Display) -> Self {
        Self::new(Exit::Refused, message)
    }

    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The reader of our output has gone (`longhaul task list | head`): there is nothing to say, and no reader.
    pub fn reader_left() -> Self {
        Self::new(Exit::Done, "")
    }

    pub fn says_nothing(&self) -> bool {
        self.message.is_empty()
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.next {
            Some(next) => write!(f, "\n  next: {next}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CliError {}

impl From<NotPrivate> for CliError {
    fn from(error: NotPrivate) -> Self {
        Self::refused(error.what).next(error.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_that_scripts_rely_on() {
        let codes =
            [Exit::Done, Exit::Failed, Exit::Usage, Exit::NotFound, Exit::Refused].map(|exit| exit as u8);
        assert_eq!(codes, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn an_error_names_the_next_command() {
        let error = CliError::not_found("there is no tool 'x'").next("longhaul tool list");
        assert_eq!(error.to_string(), "there is no tool 'x'\n  next: longhaul tool list");
        assert_eq!(error.exit, Exit::NotFound);
    }
}
