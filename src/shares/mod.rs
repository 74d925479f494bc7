//! Lives here: what the process has of each thing, and each principal's share of it: one account, one refusal.
//! May import: `authority`, `limits`. Never here: what a thing is, who waits for it, a wire's codes.
//! Read first: `pool.rs`, which names the things, then `account.rs`.

mod account;
mod bounds;
mod narrowed;
mod pool;
mod refusal;
#[cfg(test)]
mod tests;

pub use account::{Account, Held, Used};
pub use bounds::{Bound, Bounds};
pub use narrowed::Narrowed;
pub use pool::Pool;
pub use refusal::{Refusal, RefusalKind, Whose};

/// Stands for all callers without a valid token together. No principal has such a name.
pub const STRANGERS: &str = "(no token)";
