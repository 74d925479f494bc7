//! What a model or a sampler was asked and has not answered, taken up again.

use std::sync::Arc;

use super::{models, sampler};
use crate::engine::memory::entry::Entry;
use crate::engine::shared::Shared;
use crate::task::QuestionKind;

/// Takes up what is open: at a start, and where a task goes on that stood still.
pub(in crate::engine) fn resume(shared: &Arc<Shared>, entry: &Arc<Entry>) {
    let open: Vec<(QuestionKind, u64)> = {
        let state = entry.lock();
        if state.status.state.blocked().is_some() {
            return;
        }
        state.status.questions.open.iter().map(|open| (open.kind, open.number)).collect()
    };
    for (kind, number) in open {
        match kind {
            QuestionKind::Sample if shared.sampler.is_some() => {
                shared.runtime.spawn(sampler::work(shared.clone(), entry.clone(), number));
            }
            QuestionKind::Model => models::resume(shared, entry, number),
            QuestionKind::Sample | QuestionKind::Elicit | QuestionKind::Roots => {}
        }
    }
}
