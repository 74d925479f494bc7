//! The guest kit: a thin layer over the bindings of the world `longhaul:tool`.
//!
//! A tool is a function from its arguments to a result; [`export_tools!`] makes a component of it:
//!
//! ```no_run
//! use longhaul_guest::{Output, Tool, ToolResult, export_tools, json, progress};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Greeting { name: String }
//!
//! fn greet(args: Greeting) -> ToolResult {
//!     progress::report(1, 1, "greeting");
//!     Ok(Output::text(format!("Hello, {}!", args.name)))
//! }
//!
//! fn tools() -> Vec<Tool> {
//!     let input = json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] });
//!     vec![Tool::new("greet", "Greets somebody.", input, greet)]
//! }
//!
//! export_tools!(tools);
//! # fn main() {}
//! ```
//!
//! An import that a component does not use is not in the component: the linker leaves it out. What no helper does is
//! reached through [`bindings`].

pub mod calls;
mod durable;
pub mod elicit;
pub mod files;
pub mod messages;
pub mod models;
mod result;
pub mod roots;
pub mod sample;
pub mod state;
mod tool;

/// The raw bindings, as wit-bindgen makes them.
#[allow(missing_docs, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        world: "tool",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_world",
    });
}

pub use bindings::longhaul::tool::types::{Error as HostError, Ticket};
pub use durable::{cancellation, checkpoint, log, outputs, progress, timers, waits};
pub use result::{Failure, Output, ToolResult};
pub use serde_json::{self, Value, json};
pub use tool::{Annotations, Reply, Tool};

#[doc(hidden)]
pub mod private {
    pub use crate::tool::{call, definitions};
}

/// Exports the tools that a function of type `fn() -> Vec<Tool>` lists.
///
/// The host asks for the list at every call, so it must not depend on anything.
#[macro_export]
macro_rules! export_tools {
    ($tools:path) => {
        struct ExportedTools;

        impl $crate::bindings::exports::longhaul::tool::tools::Guest for ExportedTools {
            fn definitions() -> ::std::vec::Vec<$crate::bindings::exports::longhaul::tool::tools::Definition> {
                $crate::private::definitions(&$tools())
            }

            fn call(
                name: ::std::string::String,
                arguments: ::std::string::String,
            ) -> ::std::result::Result<
                $crate::bindings::exports::longhaul::tool::tools::Output,
                $crate::bindings::exports::longhaul::tool::tools::Failure,
            > {
                $crate::private::call(&$tools(), &name, &arguments)
            }
        }

        $crate::bindings::export_world!(ExportedTools with_types_in $crate::bindings);
    };
}
