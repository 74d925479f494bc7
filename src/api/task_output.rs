use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bytes::as_text;
use super::error::ApiError;
use super::operation::{Caller, Operation, READS, shown_as_it_is};
use super::{schema, task_id};
use crate::catalog::{Annotations, show_hidden};
use crate::engine::{Slice, TaskEngine};
use crate::limits;
use crate::task::TaskId;

/// The name of the output that is the log.
const LOG: &str = "log";

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskOutput {
    /// The id of the task, as its link gave it.
    #[serde(with = "task_id")]
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// The output's name; {task_status} lists them.
    pub name: String,
    /// Bytes.
    #[serde(default)]
    pub offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = limits::MAX_OUTPUT_READ_BYTES))]
    pub limit: Option<usize>,
}

/// What there is from the offset on, as text or as base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("required" = ["bytes", "next_offset", "done"]))]
pub struct Piece {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    pub mime_type: String,
    // Of the whole, so far.
    pub bytes: u64,
    pub next_offset: u64,
    pub done: bool,
}

shown_as_it_is!(Piece);

impl Operation for TaskOutput {
    type Response = Piece;

    const NAME: &'static str = "task_output";
    const TITLE: &'static str = "Read a task's output";
    const DESCRIPTION: &'static str = "Read a named output that a task has published, also while it runs. The name 'log' is the task's log. Go on at \
         next_offset; done says that the output will not grow any more.";
    const HINTS: Annotations = READS;

    fn answers() -> Option<Value> {
        Some(schema::of_response::<Piece>())
    }

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<Piece, ApiError> {
        let Self { task_id, name, offset, limit } = self;
        let limit = limit.unwrap_or(limits::MAX_OUTPUT_READ_BYTES).min(limits::MAX_OUTPUT_READ_BYTES);
        if name != LOG {
            return Ok(Piece::of(
                engine.output(&caller.overseer(), task_id, &name, offset, limit).await?,
                offset,
            ));
        }
        let mut piece = Piece::of(engine.log(&caller.overseer(), task_id, offset, limit).await?, offset);
        // The log is for eyes; an output is data, and offsets count its bytes.
        piece.text = piece.text.map(|text| show_hidden(&text).into_owned());
        Ok(piece)
    }
}

impl Piece {
    fn of(slice: Slice, offset: u64) -> Self {
        let Slice { bytes, mime_type, total, done } = slice;
        let reaches_end = offset.saturating_add(bytes.len() as u64) >= total;
        let more_follows = !(reaches_end && done);
        let (text, base64, read) = match as_text(&mime_type, &bytes, more_follows) {
            // A limit of a few bytes may hold no whole character; then the bytes as they are get the reader on.
            Some(text) if !text.is_empty() || bytes.is_empty() || (reaches_end && !done) => {
                (Some(text.to_owned()), None, text.len())
            }
            _ => (None, Some(BASE64.encode(&bytes)), bytes.len()),
        };
        Self { text, base64, mime_type, bytes: total, next_offset: offset.saturating_add(read as u64), done }
    }

    /// What it holds; an error is base64 that is none.
    pub fn contents(&self) -> Result<Vec<u8>, base64::DecodeError> {
        match (&self.text, &self.base64) {
            (Some(text), _) => Ok(text.as_bytes().to_vec()),
            (None, Some(data)) => BASE64.decode(data),
            (None, None) => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_cut_between_characters() {
        let slice = |bytes: &[u8], total, done| Slice {
            bytes: bytes.to_vec(),
            mime_type: "text/plain".to_owned(),
            total,
            done,
        };
        let text = "aé".as_bytes();
        let first = Piece::of(slice(&text[..2], 3, true), 0);
        assert_eq!((first.text.as_deref(), first.next_offset), (Some("a"), 1));
        let rest = Piece::of(slice(&text[1..], 3, true), 1);
        assert_eq!((rest.text.as_deref(), rest.next_offset, rest.done), (Some("é"), 3, true));
        // One byte of a character of two never stands still.
        let half = Piece::of(slice(&text[1..2], 3, true), 1);
        assert_eq!((half.base64.as_deref(), half.next_offset), (Some("ww=="), 2));
        assert_eq!(half.contents(), Ok(vec![0xc3]));
        let growing = Piece::of(slice(&text[1..2], 2, false), 1);
        assert_eq!((growing.text.as_deref(), growing.next_offset), (Some(""), 1));
    }
}
