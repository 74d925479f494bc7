//! Longhaul's own tools by the names under which clients have them. A gateway renames what it passes on
//! (`lh-task-wait`, `lh__task_wait`), and a model can only call the name that stands in its own list.

use std::borrow::Cow;

use crate::limits;

/// How an own tool is called by the clients of this server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnNames(Naming);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Naming {
    /// As `tools/list` has them.
    #[default]
    Own,
    /// Every name in the spelling in which `task_wait` was given.
    Spelled { before: String, first: Case, between: String, second: Case, after: String },
    /// The name of `task_wait` alone.
    Wait(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Lower,
    Capital,
    Upper,
}

impl OwnNames {
    /// By the name under which clients have `task_wait`: the others follow its spelling. The error says what a name is.
    pub fn of_hint(hint: &str) -> Result<Self, String> {
        let most = limits::MAX_CALL_HINT_BYTES;
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
        if !(1..=most).contains(&hint.len()) || !hint.chars().all(fits) {
            return Err(format!(
                "is no name of a tool: 1 to {most} of A-Z, a-z, 0-9, '_', '-', '.', '/' and ':', such as lh-task-wait"
            ));
        }
        Ok(Self(spelled(hint).unwrap_or_else(|| Naming::Wait(hint.to_owned()))))
    }

    /// What clients call the tool that is `own` here.
    pub fn of(&self, own: &'static str) -> Cow<'static, str> {
        match &self.0 {
            Naming::Wait(name) if own == "task_wait" => Cow::Owned(name.clone()),
            Naming::Own | Naming::Wait(_) => Cow::Borrowed(own),
            Naming::Spelled { before, first, between, second, after } => {
                let (of, does) = own.split_once('_').unwrap_or((own, ""));
                Cow::Owned(format!("{before}{}{between}{}{after}", first.written(of), second.written(does)))
            }
        }
    }
}

/// Where `task` and `wait` stand in it, with what is between them; the last place counts.
fn spelled(hint: &str) -> Option<Naming> {
    const FIRST: &str = "task";
    const SECOND: &str = "wait";
    let lower = hint.to_ascii_lowercase();
    lower.rmatch_indices(FIRST).find_map(|(at, _)| {
        let behind = at + FIRST.len();
        let gap = lower[behind..].chars().take_while(|c| !c.is_ascii_alphanumeric()).count();
        let (from, end) = (behind + gap, behind + gap + SECOND.len());
        if !lower[from..].starts_with(SECOND) {
            return None;
        }
        Some(Naming::Spelled {
            before: hint[..at].to_owned(),
            first: Case::of(&hint[at..behind])?,
            between: hint[behind..from].to_owned(),
            second: Case::of(&hint[from..end])?,
            after: hint[end..].to_owned(),
        })
    })
}

impl Case {
    fn of(word: &str) -> Option<Self> {
        let is_upper = |part: &str| part.chars().all(|c| c.is_ascii_uppercase());
        let is_lower = |part: &str| part.chars().all(|c| c.is_ascii_lowercase());
        match (is_upper(&word[..1]), is_upper(&word[1..]), is_lower(&word[1..])) {
            (true, true, _) => Some(Self::Upper),
            (true, _, true) => Some(Self::Capital),
            (false, _, true) => Some(Self::Lower),
            _ => None,
        }
    }

    fn written(self, word: &str) -> String {
        match self {
            Self::Lower => word.to_owned(),
            Self::Upper => word.to_ascii_uppercase(),
            Self::Capital if word.is_empty() => String::new(),
            Self::Capital => format!("{}{}", word[..1].to_ascii_uppercase(), &word[1..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_names_follow_the_spelling_of_the_one_that_is_given() {
        for (hint, status, put) in [
            ("task_wait", "task_status", "state_put"),
            ("lh-task-wait", "lh-task-status", "lh-state-put"),
            ("lh_task_wait", "lh_task_status", "lh_state_put"),
            ("longhaul__task_wait", "longhaul__task_status", "longhaul__state_put"),
            ("mcp__lh__task__wait", "mcp__lh__task__status", "mcp__lh__state__put"),
            ("lh.taskWait", "lh.taskStatus", "lh.statePut"),
            ("TaskWait", "TaskStatus", "StatePut"),
            ("LH_TASK_WAIT", "LH_TASK_STATUS", "LH_STATE_PUT"),
            ("lh/task-wait-v1", "lh/task-status-v1", "lh/state-put-v1"),
            ("task-server:task_wait", "task-server:task_status", "task-server:state_put"),
            ("taskwait", "taskstatus", "stateput"),
        ] {
            let names = OwnNames::of_hint(hint).expect(hint);
            assert_eq!(names.of("task_wait"), hint);
            assert_eq!((&*names.of("task_status"), &*names.of("state_put")), (status, put), "{hint}");
        }
    }

    #[test]
    fn a_name_of_another_kind_stands_for_task_wait_alone() {
        for hint in ["await_it", "tool-7", "task", "wait_task", "tAsk_wait"] {
            let names = OwnNames::of_hint(hint).expect(hint);
            assert_eq!((&*names.of("task_wait"), &*names.of("task_status")), (hint, "task_status"));
        }
        assert_eq!(OwnNames::default().of("task_wait"), "task_wait");
    }

    #[test]
    fn what_cannot_be_a_tools_name_is_refused() {
        let long = "x".repeat(limits::MAX_CALL_HINT_BYTES + 1);
        for hint in ["", "task wait", "task_wait\n", "täsk_wait", "task_wait\"", &long] {
            assert!(OwnNames::of_hint(hint).is_err_and(|why| why.contains("name of a tool")), "{hint:?}");
        }
    }
}
