use crate::engine::{GuestMemory, NoRoom};
use crate::sandbox::wire::{Remote, Request};

/// The memory of one instance on its principal's account.
#[derive(Clone)]
pub(in crate::sandbox) enum MemoryAccount {
    Here(GuestMemory),
    There(Remote),
}

impl MemoryAccount {
    pub fn grow_to(&self, bytes: u64) -> Result<(), NoRoom> {
        match self {
            Self::Here(memory) => memory.grow_to(bytes),
            Self::There(remote) => {
                let grown = remote.ask::<Result<(), NoRoom>>(Request::GrowMemory { bytes });
                // The attempt has ended: nothing comes of where it goes on.
                grown.unwrap_or(Err(NoRoom::Now { needs: bytes }))
            }
        }
    }
}
