//! An answer that the server itself has got, of a model or of its endpoint for samples. It was paid for: it is given until it
//! is taken.

use std::sync::Arc;

use super::answer::{AnsweredVia, Given, Giving, Paid, Which, give};
use crate::authority::Principal;
use crate::engine::error::EngineError;
use crate::engine::memory::entry::Entry;
use crate::engine::shared::Shared;

/// Answers question `number` through `channel`. What cannot be taken is no answer: its guest hears why, and nothing is asked
/// for again.
pub async fn deliver(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    (number, channel): (u64, &'static str),
    (mut given, tokens, paid): (Given, Option<u64>, Paid),
) {
    let via = AnsweredVia { channel, is_person: false };
    let principal = Principal::new(entry.principal.clone(), Vec::new()).through(Some(channel.into()));
    loop {
        let giving = Giving { principal: &principal, given: given.clone(), via, tokens, paid };
        match give(shared, entry, Which::Number(number), giving).await {
            Ok(()) => return,
            // After a moment.
            Err(EngineError::Store(why)) if why.passes() => {
                let again = shared.clock.elapsed() + why.pause();
                shared.clock.sleep_until(again).await;
            }
            Err(EngineError::BadAnswer { why, .. }) if matches!(given, Given::Accept(_)) => {
                given = Given::Unavailable(format!("what it answered cannot be taken: {why}"));
            }
            Err(error) => {
                tracing::warn!(task = %entry.id, channel, %error, "an answer was not taken");
                return;
            }
        }
    }
}
