//! How much a task may ask.

use crate::limits;
use crate::task::{QuestionKind, Status, TaskLimits};

/// Why one more may not be asked.
pub fn past_bound(status: &Status, bounds: &TaskLimits, kind: QuestionKind, tokens: u64) -> Option<String> {
    let questions = &status.questions;
    if questions.open.len() >= limits::MAX_OPEN_QUESTIONS {
        let bound = limits::MAX_OPEN_QUESTIONS;
        return Some(format!("the task has {bound} open questions, which is the bound: wait for some"));
    }
    match kind {
        QuestionKind::Elicit | QuestionKind::Roots if questions.questions >= bounds.questions => {
            Some(format!(
                "the task has asked {} questions, which is what its limit 'questions' allows",
                questions.questions
            ))
        }
        QuestionKind::Sample | QuestionKind::Model if questions.samples >= bounds.samples => Some(format!(
            "the task has asked for {} samples, which is what its limit 'samples' allows",
            questions.samples
        )),
        QuestionKind::Sample | QuestionKind::Model => past_tokens(status, bounds, tokens),
        QuestionKind::Elicit | QuestionKind::Roots => None,
    }
}

/// The same of the tokens alone.
pub fn past_tokens(status: &Status, bounds: &TaskLimits, tokens: u64) -> Option<String> {
    let questions = &status.questions;
    let taken = questions.sample_tokens.saturating_add(questions.reserved_tokens());
    (taken.saturating_add(tokens) > bounds.sample_tokens).then(|| {
        format!(
            "the task has used or reserved {taken} of the {} tokens that its limit 'sample_tokens' allows, and this \
             sample may cost {tokens}; its operator can raise 'sample_tokens' in the limits of its grant",
            bounds.sample_tokens
        )
    })
}
