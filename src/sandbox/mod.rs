//! (under construction)

pub mod values;
