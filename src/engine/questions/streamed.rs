//! What a model says, written into an output of its task as it comes. An output only grows: an answer that was cut stays,
//! and one that begins again is written from where it is longer than what stands there, or, where it differs, behind a
//! mark that says so.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::engine::change::commit::commit_event;
use crate::engine::change::plan::Event;
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::memory::entry::Entry;
use crate::engine::rows;
use crate::engine::shared::Shared;
use crate::limits;
use crate::store::{Ack, Space};

/// Stands in an output where an answer was cut and what came then begins otherwise.
pub const BEGINS_AGAIN: &str = "\n\n[the answer was cut here and begins again]\n\n";

pub struct Streamed {
    /// Of the task's questions.
    question: u64,
    name: String,
    number: usize,
    /// What the output shows of the answer that it shows last.
    shown: String,
    /// What this time was said so far.
    said: String,
    /// No more fits.
    is_full: bool,
}

impl Streamed {
    /// With what is on disk; `None` where there is no such output.
    pub async fn open(shared: &Arc<Shared>, entry: &Arc<Entry>, question: u64, name: &str) -> Option<Self> {
        let number = {
            let state = entry.lock();
            state.status.outputs.iter().position(|output| output.name == name && !output.done)?
        };
        let prefix = rows::output_prefix(entry.id, number);
        let read = shared.store.read(move |snapshot| {
            let mut bytes = Vec::new();
            snapshot.scan_prefix(Space::Output, &prefix, false, |_, piece| {
                bytes.extend_from_slice(piece);
                ControlFlow::Continue(())
            })?;
            Ok(bytes)
        });
        let all = String::from_utf8(read.await.ok()?).ok()?;
        let shown = all.rsplit_once(BEGINS_AGAIN).map_or(all.as_str(), |(_, last)| last).to_owned();
        Some(Self { question, name: name.to_owned(), number, shown, said: String::new(), is_full: false })
    }

    pub fn begin_again(&mut self) {
        self.said.clear();
    }

    /// What is to be written so that the output shows this piece too.
    fn take(&mut self, piece: &str) -> String {
        self.said.push_str(piece);
        if self.shown.starts_with(self.said.as_str()) {
            return String::new();
        }
        let new = match self.said.strip_prefix(self.shown.as_str()) {
            Some(more) => more.to_owned(),
            None => format!("{BEGINS_AGAIN}{}", self.said),
        };
        self.shown.clone_from(&self.said);
        new
    }

    /// Writes what is new; the commit, where there is one.
    pub fn add(&mut self, shared: &Arc<Shared>, entry: &Arc<Entry>, piece: &str) -> Option<Ack> {
        let before = self.shown.clone();
        let new = self.take(piece);
        if new.is_empty() || self.is_full {
            return None;
        }
        let bytes = new.len() as u64;
        let mut state = entry.lock();
        // One that was withdrawn, as by a retry, has no output any more.
        state.status.questions.find(self.question)?;
        let present: u64 = state.status.outputs.iter().map(|output| output.bytes).sum();
        let meta =
            state.status.outputs.get(self.number).filter(|meta| meta.name == self.name && !meta.done)?;
        if present.saturating_add(bytes) > limits::MAX_OUTPUT_BYTES {
            self.is_full = true;
            return None;
        }
        let more =
            Commit::new().put(Space::Output, rows::output_key(entry.id, self.number, meta.bytes), &new);
        let event = Event::Streamed { output: &self.name, bytes };
        match commit_event(shared, entry, &mut state, event, more) {
            Ok(ack) => Some(ack),
            // The next piece brings this one along.
            Err(EngineError::Store(why)) if why.passes() => {
                self.shown = before;
                None
            }
            Err(why) => {
                // What is missing in the middle would be worse than an end.
                tracing::info!(task = %entry.id, %why, "a model's answer is not shown any further as it comes");
                self.is_full = true;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streamed(shown: &str) -> Streamed {
        let (name, shown) = ("draft".to_owned(), shown.to_owned());
        Streamed { question: 1, name, number: 0, shown, said: String::new(), is_full: false }
    }

    #[test]
    fn what_stands_there_is_not_written_twice() {
        let mut streamed = streamed("It rains");
        let written: Vec<String> = ["It ", "rai", "ns in", " Rome"].map(|piece| streamed.take(piece)).into();
        assert_eq!(written, ["", "", " in", " Rome"]);
        streamed.begin_again();
        assert_eq!((streamed.take("It rains in Rome"), streamed.take(".")), (String::new(), ".".to_owned()));
    }

    #[test]
    fn another_answer_stands_behind_a_mark() {
        let mut streamed = streamed("It rains");
        assert_eq!(streamed.take("It r"), "");
        assert_eq!(streamed.take("eally"), format!("{BEGINS_AGAIN}It really"));
        assert_eq!(streamed.take(" does"), " does");
    }
}
