//! Lives here: values of the component model: as JSON and as JSON Schema.
//! May import: `limits`, `task`, `catalog`. Never here: a wasmtime store, a linker, a component's code.
//! Read first: `mapping.md`, then `json.rs`.
#![doc = ""]
#![doc = include_str!("mapping.md")]

mod call;
mod json;
mod schema;
#[cfg(test)]
pub mod testing;
mod types;

pub use call::{arguments, input_schema, output_schema, tool_result};
pub use json::{JsonError, from_val, to_val};
pub use schema::{SchemaError, SchemaRoom, schema};
pub use types::{Mismatch, has_bytes, snake};
