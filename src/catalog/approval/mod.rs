//! What a person approves of a component, and how it stands when it comes again. All of it is values: the store keeps
//! them, and the command line asks.

mod admission;
mod difference;
mod flags;
mod statement;
#[cfg(test)]
mod tests;
mod unapproved;

pub use admission::{Admission, Approved, FirstSight, Reasons, Since, admit};
pub use flags::{Flag, flags};
pub use statement::Statement;
pub use unapproved::Unapproved;
