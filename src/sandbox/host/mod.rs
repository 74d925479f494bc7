//! The host's side of `longhaul:tool`: one file per interface that a component may import.

mod awaited;
mod calls;
mod cancellation;
mod checkpoint;
pub(super) mod elicitation;
mod log;
mod messages;
mod models;
mod outputs;
mod progress;
mod question;
mod refusal;
mod roots;
mod sampling;
mod state;
mod timers;
mod waits;

use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker};

use super::world::World;

/// Generated from the WIT package.
pub mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "longhaul:tool/tool",
        imports: {
            "longhaul:tool/calls.granted": async | trappable,
            "longhaul:tool/calls.start": async | trappable,
            "longhaul:tool/calls.take": async | trappable,
            "longhaul:tool/cancellation.requested": async | trappable,
            "longhaul:tool/checkpoint.save": async | trappable,
            "longhaul:tool/elicitation.take": async | trappable,
            "longhaul:tool/log.write": async | trappable,
            "longhaul:tool/messages.send": async | trappable,
            "longhaul:tool/messages.take": async | trappable,
            "longhaul:tool/models.ask": async | trappable,
            "longhaul:tool/models.take": async | trappable,
            "longhaul:tool/outputs.append": async | trappable,
            "longhaul:tool/outputs.close": async | trappable,
            "longhaul:tool/outputs.open": async | trappable,
            "longhaul:tool/outputs.write": async | trappable,
            "longhaul:tool/roots.take": async | trappable,
            "longhaul:tool/sampling.take": async | trappable,
            "longhaul:tool/state.delete": async | trappable,
            "longhaul:tool/state.get": async | trappable,
            "longhaul:tool/state.list": async | trappable,
            "longhaul:tool/state.put": async | trappable,
            "longhaul:tool/timers.sleep": async | trappable,
            "longhaul:tool/waits.wait": async | trappable,
            default: trappable,
        },
        exports: { default: async },
    });
}

use self::bindings::longhaul::tool;

pub fn add_to_linker(linker: &mut Linker<World>) -> Result<()> {
    bindings::Tool::add_to_linker::<World, HasSelf<World>>(linker, |world| world)
}

/// Types alone: there is nothing to call.
impl tool::types::Host for World {}
