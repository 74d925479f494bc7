//! Components in OCI registries, in the form that `wkg` gives them: one layer, `application/wasm`, and a config of WASM's.
//!
//! Runs in the process of the command line, never in a server: what is pulled is handed over as a file. Everything that a
//! registry says is checked against digests and bounds before it is used.

mod authorization;
mod error;
mod form;
mod link;
mod pull;
mod push;
mod reference;

pub use authorization::Credentials;
pub use error::RegistryError;
pub use form::Carried;
pub use link::{Access as RegistryAccess, Registry};
pub use pull::Pulled;
pub use push::Artifact;
pub use reference::{Digest, Reference, Version};
