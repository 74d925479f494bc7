//! Decides whether an answer that this command gives is a person's.

use std::fs::File;

use crate::api::InputRequest;
use crate::cli::config::Settings;
use crate::cli::exit::{CliError, Result};
use crate::task::By;

/// The terminal that a person sits at, whatever stdin and stdout are; none after `setsid` or under a service manager.
const CONTROLLING_TERMINAL: &str = "/dev/tty";

/// Whether the command counts as a person: it has a terminal, or the configuration gives scripts leave.
pub fn is_person(settings: &Settings) -> bool {
    settings.answer_without_terminal || has_terminal()
}

/// Refuses an answer to a person's question where no person is. `question` is what is known of it, `None` for one
/// that does not stand in the task's document: the engine refuses it then, or has none.
pub fn may_answer(question: Option<&InputRequest>, is_person: bool) -> Result<()> {
    match question {
        Some(question) if question.by == By::Person && !is_person => {
            Err(refused("this question is asked of a person, and no person is at this command"))
        }
        _ => Ok(()),
    }
}

/// Refuses to settle a step where no person is.
pub fn may_resolve(is_person: bool) -> Result<()> {
    if is_person {
        return Ok(());
    }
    Err(refused("only a person says what became of a step, and no person is at this command"))
}

/// Refuses to approve a component where no person is.
pub fn may_approve(is_person: bool) -> Result<()> {
    if is_person {
        return Ok(());
    }
    Err(refused("only a person approves a component, and no person is at this command"))
}

fn refused(why: &str) -> CliError {
    CliError::refused(format_args!("{why}: it has no terminal")).next(
        "type it at a terminal; whoever owns the configuration can give scripts leave, see docs/operators.md",
    )
}

fn has_terminal() -> bool {
    File::options().read(true).write(true).open(CONTROLLING_TERMINAL).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::exit::Exit;

    fn question(by: &str) -> InputRequest {
        serde_json::from_value(json!({
            "kind": "elicit", "by": by, "tool": "t", "component": "c", "asked_at": "", "expires_at": "",
        }))
        .expect("a question")
    }

    #[test]
    fn only_a_person_answers_what_a_person_is_asked() {
        let exit = |question: Option<InputRequest>, is_person| {
            may_answer(question.as_ref(), is_person).err().map(|error| error.exit)
        };
        assert_eq!(exit(Some(question("person")), false), Some(Exit::Refused));
        assert_eq!(exit(Some(question("person")), true), None);
        assert_eq!(exit(Some(question("any")), false), None);
        assert_eq!(exit(None, false), None);
        assert_eq!(may_resolve(false).expect_err("refused").exit, Exit::Refused);
        assert_eq!(may_resolve(true), Ok(()));
        assert_eq!(may_approve(false).expect_err("refused").exit, Exit::Refused);
        assert_eq!(may_approve(true), Ok(()));
    }
}
