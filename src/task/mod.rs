//! Lives here: what a task is: ids, states and the one transition table, records, results, retry policy.
//! May import: `authority`, `limits`. Never here: I/O, async, a clock: time and randomness are arguments.
//! Read first: `state.rs` (the table), then `record.rs`.

mod canonical;
mod effects;
mod error;
mod id;
mod log;
mod question;
mod record;
mod result;
mod retry;
mod spend;
mod state;
mod trace;

pub use canonical::{canonical, integer, is_whole_double};
pub use effects::{Effects, UnknownOutcome};
pub use error::{FailedReason, TaskError};
pub use id::{ComponentId, ParseTaskIdError, TaskId};
pub use log::{LogLevel, log_lines};
pub use question::{AskedModel, By, OpenQuestion, QuestionKind, Questions};
pub use record::{
    AnsweredBy, Called, CancelRequest, OutputMeta, Progress, Report, Status, Task, TaskLimits, Variable,
    Wake, WakeOn,
};
pub use result::{Content, EmbeddedBody, ProtocolError, ToolResult};
pub use retry::RetryPolicy;
pub use spend::{NANOS_PER_CENT, Price, Spend, cents, units};
#[doc(hidden)]
pub use state::EXAMPLES as STATE_EXAMPLES;
pub use state::{IllegalTransition, QueuedReason, State, TaskEvent, WaitingReason};
pub use trace::TraceContext;
