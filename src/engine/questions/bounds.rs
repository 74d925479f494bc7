//! How much a task may ask.

use crate::limits;
use crate::task::{NANOS_PER_CENT, QuestionKind, Spend, Status, TaskLimits, cents};

/// Why one more may not be asked.
pub fn past_bound(status: &Status, bounds: &TaskLimits, kind: QuestionKind, spend: Spend) -> Option<String> {
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
        QuestionKind::Sample | QuestionKind::Model => past_budget(status, bounds, spend),
        QuestionKind::Elicit | QuestionKind::Roots => None,
    }
}

/// The same of the tokens and the money alone.
pub fn past_budget(status: &Status, bounds: &TaskLimits, spend: Spend) -> Option<String> {
    let taken = status.questions.spent().plus(status.questions.reserved());
    let sum = taken.plus(spend);
    if sum.tokens > bounds.sample_tokens {
        return Some(format!(
            "the task has used or reserved {} of the {} tokens that its limit 'sample_tokens' allows, and this sample may \
             cost {}; its operator can raise 'sample_tokens' in the limits of its grant",
            taken.tokens, bounds.sample_tokens, spend.tokens
        ));
    }
    let most = bounds.model_cost_cents.saturating_mul(NANOS_PER_CENT);
    (sum.cost > most).then(|| {
        format!(
            "the task has used or reserved {} of the {} that its limit 'model_cost_cents' allows, and this request may cost \
             {}; its operator can raise 'model_cost_cents' in the limits of its grant",
            cents(taken.cost),
            cents(most),
            cents(spend.cost)
        )
    })
}
