//! What a guest is answered where it asks for what it is not granted, or for what this version cannot do.

use super::super::world::World;
use super::bindings::longhaul::tool::types::Error;
use crate::authority::Capability;

/// Why `capability` is refused. `line` is what its operator would write. The answer depends on the grant
/// alone, which is fixed with the task, so that replay gives it again without a record.
pub fn refuse(world: &World, capability: Capability<'_>, line: &str) -> Error {
    if world.grant.allows(capability) {
        return unavailable(line.split(' ').next().unwrap_or(line));
    }
    not_granted(world, line)
}

/// The lines that would grant it.
pub fn not_granted(world: &World, line: &str) -> Error {
    world.journal.was_refused(line);
    Error::NotGranted(format!(
        "this component is not granted that. Its operator can write in longhaul.toml, with the component's name \
         as `longhaul tool list` shows it:\n\n    [grants.NAME]\n    {line}\n"
    ))
}

/// What no grant can bring yet.
pub fn unavailable(what: &str) -> Error {
    Error::Unavailable(format!("`{what}` is not available in this version of Longhaul"))
}
