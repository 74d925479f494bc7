use smallvec::SmallVec;

/// A row's key. Those of up to 32 bytes lie where they are compared: a map that is searched follows no pointer for each,
/// and a row's key is no memory of its own. Most are: an id, and what a step puts behind it, which is 12 bytes at most.
pub(super) type Key = SmallVec<[u8; 32]>;

const _: () = assert!(size_of::<Key>() == 40);
