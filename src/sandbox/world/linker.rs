//! What a component finds when it is linked: WASI with our own in place, and Longhaul's interfaces.

use wasmtime::component::Linker;
use wasmtime::{Engine, Result};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi_io::bindings::wasi::io;

use super::World;
use super::clocks::HasClocks;
use super::files::link;
use super::http::overrides;
use super::poll::{HasPolling, Polling};
use crate::sandbox::host;

/// Everything that a component may import.
pub fn linker(engine: &Engine) -> Result<Linker<World>> {
    let mut linker = Linker::<World>::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    overrides::add_to_linker(&mut linker)?;
    linker.allow_shadowing(true);
    io::poll::add_to_linker::<World, HasPolling>(&mut linker, |world| Polling {
        table: &mut world.table,
        timers: &mut world.timers,
        files: &world.files,
        journal: &world.journal,
        meter: &world.meter,
    })?;
    monotonic_clock::add_to_linker::<World, HasClocks>(&mut linker, World::clocks)?;
    wall_clock::add_to_linker::<World, HasClocks>(&mut linker, World::clocks)?;
    link::add_to_linker(&mut linker)?;
    linker.allow_shadowing(false);
    host::add_to_linker(&mut linker)?;
    Ok(linker)
}
