//! What a person approves of a component, and how it stands when it comes again. All of it is values: the store keeps
//! them, and the command line asks.

mod admission;
mod bindings;
mod difference;
mod flags;
mod lock;
mod selection;
mod stated_limits;
mod statement;
mod terms;
#[cfg(test)]
mod tests;
mod unapproved;

pub use admission::{Admission, Approved, FirstSight, Kept, Reasons, SeenAt, Since, admit};
pub use bindings::{Bindable, BindingError, Bindings};
pub use flags::{Flag, flags};
pub use lock::{Lock, Locked};
pub use selection::{Selection, SelectionError};
pub use statement::Statement;
pub use terms::{Approval, Terms};
pub use unapproved::Unapproved;
