//! The first wall: the kernel resolves every path within the folder. No `..`, no absolute link and no link of /proc leads out
//! of it, and no other file system that is mounted in it is entered. The kernel holds to it while it resolves, so that no rename
//! meanwhile gets past.

use rustix::fs::ResolveFlags;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    Stands,
    /// For tests of the second wall, which has to hold alone.
    #[cfg(test)]
    Out,
}

impl First {
    pub fn flags(self) -> ResolveFlags {
        match self {
            Self::Stands => ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV,
            #[cfg(test)]
            Self::Out => ResolveFlags::empty(),
        }
    }
}
