//! `[shares]`: what the process has of each thing, and what one principal has of it.

use std::num::NonZeroU64;

use serde::Deserialize;

use crate::engine::SpendingBounds;
use crate::limits;
use crate::shares::{Bound, Bounds, Pool};
use crate::store::DiskBounds;
use crate::task::{NANOS_PER_CENT, Spend};

const MIB: u64 = 1024 * 1024;

/// What is not set is as [`Bounds`] has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SharesSettings {
    /// Memory of requests, answers and guests; half of the machine's by itself.
    pub memory_mib: Option<NonZeroU64>,
    /// Connections over HTTP; by itself as many as the process has descriptors for.
    pub connections: Option<NonZeroU64>,
    /// New connections of one machine a second; the owner's own programs have no such bound.
    pub new_connections: Option<NonZeroU64>,
    /// Requests that are not answered.
    pub requests: Option<NonZeroU64>,
    pub sessions: Option<NonZeroU64>,
    /// Clients that listen for changes.
    pub listeners: Option<NonZeroU64>,
    pub open_tasks: Option<NonZeroU64>,
    /// Questions that are open.
    pub questions: Option<NonZeroU64>,
    /// Samples that are asked for and not answered.
    pub samples: Option<NonZeroU64>,
    /// What tasks and shared state keep in the store; three quarters of its disk by itself.
    pub store_mib: Option<NonZeroU64>,
    /// Entries of shared state.
    pub state_entries: Option<NonZeroU64>,
    /// What may be spent on models in a day of UTC: tokens, and hundredths of the unit that their prices are in.
    pub model_tokens_per_day: Option<NonZeroU64>,
    pub model_cost_cents_per_day: Option<NonZeroU64>,
    pub disk: DiskShares,
    pub principal: PrincipalShares,
}

/// `[shares.principal]`: of each thing, what one principal with tokens has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrincipalShares {
    /// Requests a second, of which a body of some length counts as several.
    pub rate: Option<NonZeroU64>,
    pub memory_mib: Option<NonZeroU64>,
    /// Open tasks.
    pub tasks: Option<NonZeroU64>,
    /// What its tasks and its entries of shared state keep in the store; a quarter of what all may by itself.
    pub store_mib: Option<NonZeroU64>,
    /// Entries of shared state.
    pub state_entries: Option<NonZeroU64>,
    pub sessions: Option<NonZeroU64>,
    /// Tools that run at once.
    pub instances: Option<NonZeroU64>,
    /// What it may spend on models in a day.
    pub model_tokens_per_day: Option<NonZeroU64>,
    pub model_cost_cents_per_day: Option<NonZeroU64>,
}

/// `[shares.disk]`: what is kept of the store's disk. What is not set follows from its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, try_from = "DiskTable")]
pub struct DiskShares {
    pub reserve_mib: Option<u32>,
    pub watermark_mib: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DiskTable {
    reserve_mib: Option<u32>,
    watermark_mib: Option<u32>,
}

impl TryFrom<DiskTable> for DiskShares {
    type Error = String;

    fn try_from(DiskTable { reserve_mib, watermark_mib }: DiskTable) -> Result<Self, String> {
        let least = limits::LEAST_RESERVE_MIB;
        let by_itself = |bytes: u64| u32::try_from(bytes / MIB).unwrap_or(u32::MAX);
        let reserve = reserve_mib.unwrap_or(by_itself(limits::MAX_RESERVE_BYTES));
        let watermark = watermark_mib.unwrap_or(by_itself(limits::MAX_WATERMARK_BYTES));
        if reserve < least {
            return Err(format!("reserve_mib = {reserve} is less than {least}, which cancels and ends need"));
        }
        if watermark <= reserve {
            return Err(format!(
                "watermark_mib ({watermark}) must be more than reserve_mib ({reserve}): set both"
            ));
        }
        Ok(Self { reserve_mib, watermark_mib })
    }
}

impl DiskShares {
    pub fn bounds(self) -> DiskBounds {
        let bytes = |mib: Option<u32>| mib.map(|mib| u64::from(mib) * MIB);
        DiskBounds { reserve: bytes(self.reserve_mib), watermark: bytes(self.watermark_mib) }
    }
}

impl SharesSettings {
    /// What may be spent on models in a day; without a line there is no bound but those of tasks.
    pub fn spending(&self) -> SpendingBounds {
        let bound = |tokens: Option<NonZeroU64>, cents: Option<NonZeroU64>| Spend {
            tokens: tokens.map_or(u64::MAX, NonZeroU64::get),
            cost: cents.map_or(u64::MAX, |cents| cents.get().saturating_mul(NANOS_PER_CENT)),
        };
        let one = &self.principal;
        SpendingBounds {
            all: bound(self.model_tokens_per_day, self.model_cost_cents_per_day),
            principal: bound(one.model_tokens_per_day, one.model_cost_cents_per_day),
        }
    }

    /// With so much memory where none is set, so many instances, no more connections than descriptors bear, and a store
    /// on a disk of so many bytes, where that is known.
    pub fn bounds(&self, memory: u64, instances: usize, connections: u64, disk: Option<u64>) -> Bounds {
        let mib = |set: Option<NonZeroU64>| set.map(|mib| mib.get().saturating_mul(MIB));
        let at_most = |set: Option<NonZeroU64>, most: u64| set.map(|set| set.get().min(most));
        let mut bounds = Bounds::of_memory(mib(self.memory_mib).unwrap_or(memory));
        let of_process = [
            (Pool::Instances, Some(instances as u64)),
            (Pool::Requests, at_most(self.requests, limits::MAX_REQUESTS_IN_FLIGHT)),
            (Pool::Sessions, at_most(self.sessions, limits::MAX_SESSIONS as u64)),
            (Pool::Subscribers, at_most(self.listeners, limits::MAX_LISTENERS)),
            (Pool::OpenTasks, at_most(self.open_tasks, limits::MAX_OPEN_TASKS as u64)),
            (Pool::Questions, at_most(self.questions, limits::MAX_SERVER_QUESTIONS)),
            (Pool::Samples, at_most(self.samples, limits::MAX_WAITING_SAMPLES)),
            (Pool::StateEntries, at_most(self.state_entries, u64::MAX)),
        ];
        for (pool, process) in of_process.into_iter().filter_map(|(pool, set)| Some((pool, set?))) {
            bounds[pool] = Bound::divided(process);
        }
        let connections = self.connections.map_or(connections, |set| connections.min(set.get()));
        bounds[Pool::Connections] = Bound::divided(connections);
        if let Some(disk) = disk {
            bounds[Pool::StoredBytes] = Bound::of_disk(disk);
        }
        if let Some(store) = mib(self.store_mib) {
            bounds[Pool::StoredBytes] = Bound::of_store(store);
        }
        let one = &self.principal;
        let of_one = [
            (Pool::Rate, one.rate.map(NonZeroU64::get)),
            (Pool::NewConnections, self.new_connections.map(NonZeroU64::get)),
            (Pool::OpenTasks, one.tasks.map(NonZeroU64::get)),
            (Pool::StoredBytes, mib(one.store_mib)),
            (Pool::StateEntries, one.state_entries.map(NonZeroU64::get)),
            (Pool::Sessions, one.sessions.map(NonZeroU64::get)),
            (Pool::Instances, one.instances.map(NonZeroU64::get)),
        ];
        for (pool, share) in of_one.into_iter().filter_map(|(pool, set)| Some((pool, set?))) {
            bounds[pool] = bounds[pool].with_share(share);
        }
        if let Some(bytes) = mib(one.memory_mib) {
            bounds.set_memory_share(bytes);
        }
        bounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_holds_and_all_else_follows_from_the_machine() {
        let text = "memory_mib = 800\nconnections = 5000\nnew_connections = 9\nstore_mib = 100\n[principal]\nrate = 7\nmemory_mib = 90000\ntasks = 3\nstore_mib = 30";
        let settings: SharesSettings = toml::from_str(text).expect("what is written");
        let bounds = settings.bounds(1, 64, 400, Some(8192 * MIB));
        assert_eq!((bounds[Pool::Memory].process, bounds[Pool::Memory].share), (800 * MIB, 800 * MIB));
        assert_eq!(bounds[Pool::Connections].process, 400, "no more than there are descriptors");
        assert_eq!((bounds[Pool::Rate].share, bounds[Pool::OpenTasks].share), (7, 3));
        assert_eq!(bounds[Pool::NewConnections].share, 9);
        assert_eq!(bounds[Pool::Instances].process, 64);
        let said =
            |text| toml::from_str::<SharesSettings>(text).expect("what is written").bounds(1, 64, 400, None);
        let by_itself = said("memory_mib = 4096");
        assert_eq!(said("memory_mib = 4096\n[principal]\nmemory_mib = 512"), by_itself, "what it is anyway");
        let by_itself = SharesSettings::default().bounds(4096 * MIB, 64, 400, Some(8192 * MIB));
        assert_eq!(by_itself[Pool::Memory].process, 4096 * MIB);
        assert_eq!(by_itself[Pool::Memory].share, 512 * MIB);
        let stored = |bounds: &Bounds| (bounds[Pool::StoredBytes].process, bounds[Pool::StoredBytes].share);
        assert_eq!(stored(&by_itself), (6144 * MIB, 1536 * MIB), "of its disk");
        assert_eq!(stored(&bounds), (100 * MIB, 30 * MIB));
        assert!(toml::from_str::<SharesSettings>("sessions = 0").is_err());
        assert!(toml::from_str::<SharesSettings>("tasks = 1").is_err(), "it stands under principal");
    }

    #[test]
    fn what_is_spent_on_models_in_a_day_has_a_bound_where_one_is_written() {
        let of = |text: &str| toml::from_str::<SharesSettings>(text).expect("what is written").spending();
        assert_eq!(of(""), SpendingBounds::default());
        let bounds = of("model_cost_cents_per_day = 500\n[principal]\nmodel_tokens_per_day = 9");
        assert_eq!(bounds.all, Spend { tokens: u64::MAX, cost: 500 * NANOS_PER_CENT });
        assert_eq!(bounds.principal, Spend { tokens: 9, cost: u64::MAX });
    }

    #[test]
    fn a_reserve_of_the_disk_is_not_too_small_and_below_the_watermark() {
        let read = |text: &str| toml::from_str::<SharesSettings>(&format!("[disk]\n{text}"));
        let bounds = |text: &str| read(text).expect(text).disk.bounds();
        assert_eq!(bounds(""), DiskBounds::default());
        let both = bounds("reserve_mib = 256\nwatermark_mib = 1024");
        assert_eq!((both.reserve, both.watermark), (Some(256 * MIB), Some(1024 * MIB)));
        assert_eq!(bounds("reserve_mib = 4").watermark, None);
        for (text, word) in [
            ("reserve_mib = 3", "less than 4"),
            ("reserve_mib = 64", "set both"),
            ("watermark_mib = 16", "(16) must be more than reserve_mib (16)"),
            ("reserve_mib = -1", "invalid value"),
            ("reserve = 5", "unknown field"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
