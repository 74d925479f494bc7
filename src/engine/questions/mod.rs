//! Lives here: questions of tasks: to a person, to a model, for a client's root folders; and their answers.
//! May import: `record`, `change`, `audit` and what stands below.
//! Never here: how a client words a question or an answer on the wire.
//! Read first: `asked.rs`, then `ask.rs`, then `answer.rs`.
//!
//! Questions of a task: to a person, to a model, or for the client's root folders. A question is an operation of
//! the guest with a row of its own, both in one commit; it is shown once that is on disk, and answered once. The
//! first valid answer is committed, then the task is nudged; the guest gets it once it is the operation's outcome.
//!
//! A row is never taken away: keys are unique for the task's whole life, and what was answered is shown for as long.
//! A row without an answer whose number is not among the open ones of the status is one that was withdrawn.
//! Keys: `task | 0 | number BE` is a question, `task | 1 | epoch BE | operation BE` the number of the one that this
//! operation asked.

pub(super) mod answer;
pub(super) mod ask;
pub(super) mod asked;
pub(super) mod below;
pub(super) mod bounds;
pub(super) mod deliver;
pub(super) mod estimate;
pub(super) mod flow;
pub(super) mod form;
pub(super) mod models;
pub(super) mod resume;
pub(super) mod sampler;
pub(super) mod streamed;
pub(super) mod view;

pub use answer::{AnsweredVia, Given};
pub use ask::Asked;
pub use asked::{Answer, Ask, ModelAsk, Question};
pub(in crate::engine) use asked::{asked_by, op_key};
pub use form::check_form;
pub use models::{KIND_MODELS, USAGE_META, not_configured};
pub use sampler::{SamplerGuard, wants_tools};
pub use view::{AnsweredView, QuestionView};

pub use super::ports::{ModelAnswer, ModelFault, ModelFlow, ModelTerms, Models, Sampled, Sampler};
