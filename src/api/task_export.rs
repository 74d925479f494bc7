use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, READS, shown_as_it_is};
use super::task_id;
use crate::catalog::Annotations;
use crate::engine::{EngineError, TaskEngine};
use crate::limits;
use crate::task::TaskId;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskExport {
    /// The id of the task, as its link gave it.
    #[serde(with = "task_id")]
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// Replace all texts by as many x.
    #[serde(default)]
    pub redact: bool,
    /// Bytes.
    #[serde(default)]
    pub offset: u64,
    /// Of the first piece, for those that follow: the file says when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exported_at: Option<u64>,
}

/// A piece of the file. Pieces with one digest are of one file: a task that goes on may be exported otherwise later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExportPiece {
    pub base64: String,
    // Of the whole.
    pub bytes: u64,
    pub digest: String,
    /// Nanoseconds since 1970.
    #[serde(default)]
    pub exported_at: Option<u64>,
}

shown_as_it_is!(ExportPiece);

impl Operation for TaskExport {
    type Response = ExportPiece;

    const NAME: &'static str = "task_export";
    const TITLE: &'static str = "Export a task";
    const DESCRIPTION: &'static str =
        "Export a task as a file that is replayed elsewhere: its component, arguments and journal.";
    const HINTS: Annotations = READS;
    const AUDIENCE: Audience = Audience::Person;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<ExportPiece, ApiError> {
        let Self { task_id, redact, offset, exported_at } = self;
        let exported_at = exported_at.unwrap_or_else(|| engine.now());
        let file = engine.export_file(&caller.overseer(), task_id, (redact, exported_at)).await?;
        if file.len() > limits::MAX_SERVED_EXPORT_BYTES {
            return Err(EngineError::Packed(format!(
                "the export of task {task_id} has {} bytes, and a server gives at most {}: stop the server and export it \
                 from its data folder",
                file.len(),
                limits::MAX_SERVED_EXPORT_BYTES
            ))
            .into());
        }
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
        let to = from.saturating_add(limits::MAX_EXPORT_PIECE_BYTES).min(file.len());
        Ok(ExportPiece {
            base64: BASE64.encode(&file[from..to]),
            bytes: file.len() as u64,
            digest: blake3::hash(&file).to_hex().to_string(),
            exported_at: Some(exported_at),
        })
    }
}
