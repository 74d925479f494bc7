//! How many connections a process may hold: each is a descriptor.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits;

/// Connections for which there are descriptors, after those that everything else needs.
pub fn connections() -> usize {
    let descriptors = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |soft| usize::try_from(soft).unwrap_or(usize::MAX));
    connections_of(descriptors)
}

/// So many of so many descriptors.
pub fn connections_of(descriptors: usize) -> usize {
    let reserved = limits::RESERVED_DESCRIPTORS.max(descriptors / 8).min(descriptors / 2);
    (descriptors - reserved).clamp(1, limits::MAX_CONNECTIONS)
}

/// Descriptors with which there is room for all the connections that a server takes.
pub fn wanted_descriptors() -> usize {
    limits::MAX_CONNECTIONS + limits::MAX_CONNECTIONS / 4
}

/// Raises this process's soft limit of descriptors to what it may have, as far as connections need it; programs set
/// it low for the sake of `select(2)`, which nothing here uses. The limit as it is then, `None` where there is none.
pub fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.current?;
    let wanted = wanted_descriptors() as u64;
    let raised = limit.maximum.map_or(wanted, |hard| hard.min(wanted));
    let rlimit = Rlimit { current: Some(raised), maximum: limit.maximum };
    if raised > soft && setrlimit(Resource::Nofile, rlimit).is_ok() { Some(raised) } else { Some(soft) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_all_else() {
        for (descriptors, wanted) in [(0, 1), (2, 1), (100, 50), (256, 192), (1_024, 896), (1 << 20, 16_384)]
        {
            assert_eq!(connections_of(descriptors), wanted, "{descriptors}");
        }
    }
}
