//! Lives here: running tasks: submit, view, list, cancel, retry; dispatch; the journal; recovery; the ports.
//! May import: `catalog`, `store` and the ground. Never here: WASM, MCP, redb.
//! Read first: `lifecycle/attempt.rs`, then `record/recorder.rs`, then `change/plan.rs`.

mod added;
mod approvals;
mod audit;
mod change;
mod charge;
mod commit;
mod cursor;
mod dispatch;
mod effect;
mod environment;
mod error;
mod family;
mod feed;
mod grants;
mod handle;
mod journal;
mod library;
mod lifecycle;
mod link;
mod memory;
mod moving;
mod narrowed;
mod next;
mod open;
mod packed;
mod ports;
mod probe;
mod query;
pub mod questions;
mod random;
mod record;
mod rows;
mod runner;
mod runners;
mod shared;
mod state;
#[cfg(test)]
mod tests;
mod tokens;
mod trace;
mod wing_rows;

pub use added::{Added, AddedVersion, Addition, Standing, flags_of};
pub use approvals::{Approvals, ApprovedView, Approving, UnapprovedView};
pub use audit::{AuditAction, Subject, Verdict};
pub use cursor::{open_cursor, seal_cursor};
pub use error::{EngineError, ErrorKind, QuestionEnd, StateError, TokenError};
pub use family::calling::{Addressee, CallRefusal, ChildCall, ChildEnd, op_hash};
pub use family::messages;
pub use feed::{Feed, Follower, ResourceKey, Signal, TaskChange, Watcher};
pub use handle::TaskEngine;
pub use journal::divergence::Divergence;
pub use journal::last_lines::{LastBytes, quoted, with_quote};
pub use journal::ops::Op;
pub use journal::records::Next;
pub use library::{Call, EngineBuilder, TaskHandle};
pub use lifecycle::block::BlockView;
pub use lifecycle::reopen::Resolution;
pub use lifecycle::reports::{ReportAt, Reported};
pub use lifecycle::retention::Swept;
pub use lifecycle::submit::{Submission, Submitted};
pub use memory::counters::ModelUsage;
pub use memory::leaving::Wait;
pub use memory::slot::{GuestMemory, NoRoom};
pub use memory::spending::SpendingBounds;
pub use memory::task_trees::TreeBounds;
pub use moving::{Move, Moved, TrialPage};
pub use next::{Commands, NextAction};
pub use open::EngineOptions;
pub use packed::{
    Exported, ExportedError, ExportedHead, Other, PackError, ReplayEnd, Replayed, Trial,
    Verdict as TrialVerdict,
};
pub use ports::remote::{
    Listing, RemoteCall, RemoteEnd, RemoteFault, RemotePolicy, RemoteTools, Remotes, Report,
};
pub use ports::{BoxFuture, ComponentSource, InspectError, Outcome, Reader, Suspension};
pub use probe::{Difference, Idle, Plan, Probe, Taken};
pub use query::audit::{AuditPage, AuditQuery, AuditView};
pub use query::journal::{JournalView, RecordView};
pub use query::metrics::Metrics;
pub use query::outputs::Slice;
pub use query::recount::Miscounted;
pub use query::steps::{FoldedSteps, MarkView, StepState, StepView, StepsView, TraceView};
pub use query::tasks::{TaskEnd, TaskPage, TaskQuery, Whose};
pub use query::view::TaskView;
pub use record::error::RecorderError;
pub use record::ops::OpHandle;
pub use record::output::{OutputError, OutputOp, call_hash};
pub use record::pieces::PlaceOfPiece;
pub use record::recorder::Recorder;
pub use record::refused::{InLog, NamedHosts};
pub use runner::{Attempt, Runner};
pub use runners::asking::Asking;
pub use runners::calls::Calling;
pub use runners::closures;
pub use state::types::{StateEntry, StatePage, StateQuery, StateWrite};
pub use tokens::{Bearer, TokenGrant, TokenView};
pub use trace::{MarkKind, StepKind};
pub use wing_rows::{WingRow, WingSpace, WingWrite};
