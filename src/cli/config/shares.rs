//! `[shares]`: what the process has of each thing, and what one principal has of it.

use std::num::NonZeroU64;

use serde::Deserialize;

use crate::limits;
use crate::shares::{Bound, Bounds, Pool};

const MIB: u64 = 1024 * 1024;

/// What is not set is as [`Bounds`] has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SharesSettings {
    /// Memory of requests, answers and guests; half of the machine's by itself.
    pub memory_mib: Option<NonZeroU64>,
    /// Connections over HTTP; by itself as many as the process has descriptors for.
    pub connections: Option<NonZeroU64>,
    pub sessions: Option<NonZeroU64>,
    pub open_tasks: Option<NonZeroU64>,
    pub principal: PrincipalShares,
}

/// `[shares.principal]`: of each thing, what one principal with tokens has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrincipalShares {
    /// Requests a second.
    pub rate: Option<NonZeroU64>,
    pub memory_mib: Option<NonZeroU64>,
    /// Open tasks.
    pub tasks: Option<NonZeroU64>,
    pub sessions: Option<NonZeroU64>,
    /// Tools that run at once.
    pub instances: Option<NonZeroU64>,
}

impl SharesSettings {
    /// With so much memory where none is set, so many instances, and no more connections than descriptors bear.
    pub fn bounds(&self, memory: u64, instances: usize, connections: u64) -> Bounds {
        let mib = |set: Option<NonZeroU64>| set.map(|mib| mib.get().saturating_mul(MIB));
        let mut bounds = Bounds::of_memory(mib(self.memory_mib).unwrap_or(memory));
        let of_process = [
            (Pool::Instances, Some(instances as u64)),
            (Pool::Sessions, self.sessions.map(|sessions| sessions.get().min(limits::MAX_SESSIONS as u64))),
            (Pool::OpenTasks, self.open_tasks.map(|tasks| tasks.get().min(limits::MAX_OPEN_TASKS as u64))),
        ];
        for (pool, process) in of_process.into_iter().filter_map(|(pool, set)| Some((pool, set?))) {
            bounds[pool] = Bound::divided(process);
        }
        let connections = self.connections.map_or(connections, |set| connections.min(set.get()));
        bounds[Pool::Connections] = Bound::divided(connections);
        let one = &self.principal;
        let of_one = [
            (Pool::Rate, one.rate.map(NonZeroU64::get)),
            (Pool::Memory, mib(one.memory_mib)),
            (Pool::OpenTasks, one.tasks.map(NonZeroU64::get)),
            (Pool::Sessions, one.sessions.map(NonZeroU64::get)),
            (Pool::Instances, one.instances.map(NonZeroU64::get)),
        ];
        for (pool, share) in of_one.into_iter().filter_map(|(pool, set)| Some((pool, set?))) {
            bounds[pool] = bounds[pool].with_share(share);
        }
        // What lies within memory is not bounded twice where its share was widened.
        for pool in [Pool::GuestMemory, Pool::RequestBytes, Pool::AnswerBytes] {
            if one.memory_mib.is_some() {
                bounds[pool] = bounds[pool].with_share(bounds[Pool::Memory].share);
            }
        }
        bounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_holds_and_all_else_follows_from_the_machine() {
        let text =
            "memory_mib = 800\nconnections = 5000\n[principal]\nrate = 7\nmemory_mib = 90000\ntasks = 3";
        let settings: SharesSettings = toml::from_str(text).expect("what is written");
        let bounds = settings.bounds(1, 64, 400);
        assert_eq!((bounds[Pool::Memory].process, bounds[Pool::Memory].share), (800 * MIB, 800 * MIB));
        assert_eq!(bounds[Pool::Connections].process, 400, "no more than there are descriptors");
        assert_eq!((bounds[Pool::Rate].share, bounds[Pool::OpenTasks].share), (7, 3));
        assert_eq!(bounds[Pool::Instances].process, 64);
        let by_itself = SharesSettings::default().bounds(4096 * MIB, 64, 400);
        assert_eq!(by_itself[Pool::Memory].process, 4096 * MIB);
        assert_eq!(by_itself[Pool::Memory].share, 512 * MIB);
        assert!(toml::from_str::<SharesSettings>("sessions = 0").is_err());
        assert!(toml::from_str::<SharesSettings>("tasks = 1").is_err(), "it stands under principal");
    }
}
