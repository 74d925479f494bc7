//! (under construction)

pub mod binding;
pub mod inspect;
pub mod values;
