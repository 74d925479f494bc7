//! Lives here: what a process gives up for the rest of its life: files, ports, signals and system calls that it has no use
//! for. So what breaks out of a sandbox in it finds little that it can do.
//! May import: nothing. Never here: what a server needs, which its wiring says.
//! Read first: `openings.rs`, then `raise.rs`.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod files;
mod openings;
#[cfg(target_os = "linux")]
mod powers;
mod raise;
mod standing;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
mod wanted;

#[cfg(test)]
#[cfg(target_os = "linux")]
pub(crate) use calls::take_landlock_away;
pub use openings::Openings;
#[cfg(target_os = "linux")]
pub use raise::raise_around_folder;
pub use raise::{raise, raise_around_nothing, tried};
pub use standing::Standing;
pub use wanted::Wanted;
