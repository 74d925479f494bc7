//! Lives here: what callers may ask for: one file an operation, with its request, its response and its words; the list
//! that the server's tools, the command line and a program with the library take them from.
//! May import: `engine`, `catalog` and the ground. Never here: MCP, HTTP, the command line's arguments.
//! Read first: `operation.rs`, then `task_cancel.rs`.

mod advice;
mod answer;
mod arguments;
mod audit_list;
mod bytes;
mod documents;
mod entry;
mod error;
mod operation;
mod optional;
mod own;
mod schema;
mod state_delete;
mod state_get;
mod state_list;
mod state_put;
mod task_answer;
mod task_cancel;
mod task_delete;
mod task_export;
mod task_id;
mod task_journal;
mod task_list;
mod task_list_all;
mod task_output;
mod task_resolve;
mod task_result;
mod task_retry;
mod task_send;
mod task_status;
mod task_steps;
mod task_wait;
mod token_list;
mod token_new;
mod token_revoke;
mod tool_add;
mod tool_added;
mod tool_approve;
mod tool_block;
mod tool_components;
mod tool_copy;
mod tool_pin;
mod tool_trial;

pub use advice::{command, resolve_command, words};
pub use answer::{Answer, Ended};
pub use arguments::Arguments;
pub use audit_list::AuditList;
pub use bytes::as_text;
pub use documents::{
    AnsweredByDocument, AnsweredDocument, AuditDocument, AuditListed, ErrorDocument, FoldedDocument,
    InputRequest, JournalDocument, OutputDocument, ProgressDocument, RecordDocument, StepsDocument,
    TaskDocument, TokenDocument, TraceDocument, TraceEntry, output_uri, percent_decode, percent_encode,
    state_uri,
};
pub use entry::{ListedEntry, StateDocument};
pub use error::ApiError;
pub use operation::{Audience, Caller, Operation, Waiting};
pub use own::{OPERATIONS, OwnOperation, is_own, names};
pub use state_delete::StateDelete;
pub use state_get::StateGet;
pub use state_list::{StateList, StateListed};
pub use state_put::{StatePut, Written};
pub use task_answer::{AnswerAction, TaskAnswer};
pub use task_cancel::TaskCancel;
pub use task_delete::{Deleted, TaskDelete};
pub use task_export::{ExportPiece, TaskExport};
pub use task_journal::TaskJournal;
pub use task_list::{NoSuchState, StateName, TaskList, TaskListed};
pub use task_list_all::{AllTasksListed, OwnedTask, TaskListAll};
pub use task_output::{Piece, TaskOutput};
pub use task_resolve::{ResolutionName, TaskResolve};
pub use task_result::TaskResult;
pub use task_retry::TaskRetry;
pub use task_send::{Sent, TaskSend};
pub use task_status::TaskStatus;
pub use task_steps::TaskSteps;
pub use task_wait::{TaskWait, Waited};
pub use token_list::{TokenList, TokenListed};
pub use token_new::{NewToken, TokenNew};
pub use token_revoke::{RevokedToken, TokenRevoke};
pub use tool_add::{AddedDocument, ToolAdd, ToolRemove, ToolUpdate};
pub use tool_added::{AddedFrom, AddedListed, ToolAdded};
pub use tool_approve::{
    ApprovalsListed, ApprovedDocument, ToolApprovals, ToolApprove, ToolRevoke, UnapprovedDocument,
};
pub use tool_block::{BlockDocument, BlocksListed, ToolBlock, ToolBlocks, ToolUnblock};
pub use tool_components::{ComponentDocument, ComponentState, ComponentsListed, ToolComponents};
pub use tool_copy::{CopyPiece, ToolCopy};
pub use tool_pin::{Pinned, ToolPin};
pub use tool_trial::{ToolMove, ToolTry, TrialDocument, TrialOutcome, TrialsListed};
