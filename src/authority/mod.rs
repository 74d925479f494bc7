//! Lives here: who asks (`Principal`), kinds of power with their scope (`Capability`), what is given (`Grant`),
//! what of it still stands (`Powers`).
//! May import: `limits`. Never here: I/O, a clock, a manifest's file format.
//! Read first: `Grant::allows`, `Principal::may_call`.

mod grant;
mod named;
mod pattern;
mod powers;
mod principal;
mod secret;

pub use grant::{Access, Capability, FileGrant, Grant, SecretGrant};
pub use named::{NamedCapability, NotNamed, Selector};
pub use pattern::{HttpPattern, PatternError, StatePattern, glob_matches};
pub use powers::{Lost, Powers, Regranted, Standing};
pub use principal::{LOCAL, NameError, Principal};
pub use secret::Secret;
