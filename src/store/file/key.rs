use smallvec::SmallVec;

/// A row's key. Those of up to 24 bytes, which most are, lie where they are compared: a map that is searched follows no
/// pointer for each.
pub(super) type Key = SmallVec<[u8; 24]>;

const _: () = assert!(size_of::<Key>() == 32);
