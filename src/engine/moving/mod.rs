//! Lives here: open tasks and another version of their component: which would go on with it, and how they get it.
//! May import: `packed`, `lifecycle` and what stands below. Never here: how a journal is replayed, a component's file.
//! Read first: `page.rs`, then `transfer.rs`.

mod open;
mod other;
mod page;
mod transfer;

pub use page::{Move, Moved, TrialPage};
