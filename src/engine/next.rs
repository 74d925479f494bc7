//! What can be done next, as data: how it is done, and in which words that is said, is for what stands above.

use crate::task::TaskId;

/// What can be done after an error or a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NextAction {
    ListTasks,
    ListTools,
    ListTokens,
    /// In the audit.
    ListRefused,
    RetryTask(TaskId),
    /// Say what became of an operation; it takes a person.
    ResolveStep {
        task: TaskId,
        step: u64,
    },
    /// Take another server's tools as they are now, after a look at them.
    PinTools {
        server: String,
    },
    /// Of this name.
    RevokeToken(String),
    /// Give the caller a token that may touch shared state.
    GrantState {
        namespace: String,
        write: bool,
    },
    /// Start the engine again.
    StartAgain,
}

/// What a person types to do this; `None` where there is no way to. A program with the library needs none.
pub type Commands = fn(&NextAction) -> Option<String>;

/// No command.
pub fn without_commands(_: &NextAction) -> Option<String> {
    None
}
