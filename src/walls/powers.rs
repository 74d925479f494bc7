//! Capabilities: what root may do besides what every user may. A server that runs as root has no use for most of it.

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::standing::Standing;

/// Files of other users, as root has always had them; low ports; bounds above those that were set for it.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_NICE)
    .union(CapabilitySet::SYS_RESOURCE);

const FILES: CapabilitySet =
    CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH).union(CapabilitySet::FOWNER);

/// Gives up what a server has no use for; of a user who has none there is nothing to say.
pub fn drop_most() -> Standing {
    drop_all_but(KEPT)
}

/// Of root's powers those over files of other users.
pub fn drop_all_but_files() -> Standing {
    drop_all_but(FILES)
}

pub fn drop_all() -> Standing {
    drop_all_but(CapabilitySet::empty())
}

fn drop_all_but(kept: CapabilitySet) -> Standing {
    let dropped = capabilities(None).and_then(|has| {
        let sets = CapabilitySets {
            effective: has.effective & kept,
            permitted: has.permitted & kept,
            inheritable: CapabilitySet::empty(),
        };
        let has_more = !has.permitted.difference(kept).is_empty();
        set_capabilities(None, sets).map(|()| has_more)
    });
    match dropped {
        Ok(true) => Standing { stand: vec!["none of root's other powers".to_owned()], missing: Vec::new() },
        Ok(false) => Standing::default(),
        Err(error) => Standing::none(format!("root's powers: they cannot be given up: {error}")),
    }
}
