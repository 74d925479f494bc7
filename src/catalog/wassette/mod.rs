//! Components made for Wassette: what their `policy.yaml` would have them do is read as what they request. It grants
//! nothing, here as in a manifest.

mod policy;
mod yaml;

pub use policy::parse;
