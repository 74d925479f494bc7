//! The engine's errors in words for people, with what they can do next.

use crate::engine::{EngineError, NextAction};

/// What a person types to do this.
pub fn command(next: &NextAction) -> Option<String> {
    Some(match next {
        NextAction::ListTasks => "longhaul task list".to_owned(),
        NextAction::ListTools => "longhaul tool list".to_owned(),
        NextAction::ListTokens => "longhaul token list".to_owned(),
        NextAction::ListRefused => "longhaul audit list --verdict refused".to_owned(),
        NextAction::RetryTask(task) => format!("longhaul task retry {task}"),
        NextAction::ResolveStep { task, step } => resolve_command(task, *step),
        NextAction::PinTools { server } => format!("longhaul tool pin {server}"),
        NextAction::RevokeToken(name) => format!("longhaul token revoke {name}"),
        NextAction::GrantState { .. } => "longhaul token new".to_owned(),
        _ => return None,
    })
}

/// The command that settles an operation of unknown outcome.
pub fn resolve_command(task: impl std::fmt::Display, step: u64) -> String {
    format!("longhaul task resolve {task} --step {step} --done JSON | --failed | --resend")
}

/// What is wrong, and what to do about it.
pub fn words(error: &EngineError) -> String {
    let Some(next) = error.next() else { return error.to_string() };
    let advice = match (&next, command(&next)) {
        (NextAction::StartAgain, _) => "; start longhaul again, the task goes on where it was".to_owned(),
        (NextAction::ListTasks, Some(command)) => format!("; `{command}` shows yours"),
        (NextAction::ListTools, Some(command)) => format!("; `{command}` shows what there is"),
        (NextAction::ListTokens, Some(command)) => format!("; `{command}` shows those that there are"),
        (NextAction::RevokeToken(_), Some(command)) => format!(": `{command}` first"),
        (NextAction::RetryTask(_), Some(command)) => format!("; `{command}` begins it again"),
        (NextAction::GrantState { namespace, write }, Some(command)) => {
            let mode = if *write { "" } else { ":read" };
            format!(": its token needs --state {namespace}{mode} (`{command}`)")
        }
        (_, Some(command)) => format!("; `{command}`"),
        (_, None) => String::new(),
    };
    format!("{error}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{StateError, TokenError};
    use crate::task::TaskId;

    #[test]
    fn the_engine_says_what_is_wrong_and_the_command_comes_behind() {
        let id = TaskId::from_bytes([1; 16]);
        let tool = |near: Option<&str>| EngineError::NoSuchTool {
            name: "x".to_owned(),
            near: near.map(str::to_owned),
        };
        let state = |write| StateError::NotGranted { namespace: "trips".to_owned(), write };
        for (error, wrong, advice) in [
            (
                EngineError::NoSuchTask(id),
                format!("there is no task {id}"),
                "; `longhaul task list` shows yours",
            ),
            (tool(None), "there is no tool 'x'".to_owned(), "; `longhaul tool list` shows what there is"),
            (tool(Some("y")), "there is no tool 'x'; did you mean 'y'?".to_owned(), ""),
            (
                TokenError::Exists("ann".to_owned()).into(),
                "'ann' has a token already".to_owned(),
                ": `longhaul token revoke ann` first",
            ),
            (
                TokenError::Missing("ann".to_owned()).into(),
                "there is no token of 'ann'".to_owned(),
                "; `longhaul token list` shows those that there are",
            ),
            (
                state(false).into(),
                "this caller may not read there".to_owned(),
                ": its token needs --state trips:read (`longhaul token new`)",
            ),
            (
                state(true).into(),
                "this caller may not write there".to_owned(),
                ": its token needs --state trips (`longhaul token new`)",
            ),
            (
                EngineError::ShuttingDown,
                "the engine is shutting down".to_owned(),
                "; start longhaul again, the task goes on where it was",
            ),
        ] {
            assert_eq!(error.to_string(), wrong);
            assert_eq!(words(&error), format!("{wrong}{advice}"));
        }
    }
}
