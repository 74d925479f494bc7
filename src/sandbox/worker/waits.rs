//! What a guest may wait for.

use crate::authority::{Capability, Grant};
use crate::limits;
use crate::task::WakeOn;

/// Whether a guest with this grant may wait for it.
pub fn may_wait_for(grant: &Grant, on: &WakeOn) -> bool {
    match on {
        WakeOn::State { namespace, key, .. } => grant.allows(Capability::StateRead { namespace, key }),
        WakeOn::Message(names) => names.len() <= limits::MAX_RECEIVED_NAMES,
        WakeOn::Resolution(_) => false,
        WakeOn::Cancellation | WakeOn::Answer(_) | WakeOn::Child { .. } => true,
    }
}
