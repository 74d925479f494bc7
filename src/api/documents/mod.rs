//! Lives here: what is shown of the engine's types, as JSON: with times and URIs as texts, and nothing hidden in texts.
//! May import: `engine`, `catalog` and the ground. Never here: a request, a wing's own form.
//! Read first: `task.rs`.

mod audit;
mod error;
mod journal;
mod question;
mod steps;
mod task;
mod task_schema;
mod text;
mod token;

pub use audit::{AuditDocument, AuditListed};
pub use error::ErrorDocument;
pub use journal::{JournalDocument, RecordDocument};
pub use question::{AnsweredByDocument, AnsweredDocument, InputRequest};
pub use steps::{FoldedDocument, StepsDocument, TraceEntry};
pub use task::{OutputDocument, ProgressDocument, TaskDocument, TraceDocument};
pub use text::{output_uri, percent_decode, percent_encode, state_uri};
pub use token::TokenDocument;
