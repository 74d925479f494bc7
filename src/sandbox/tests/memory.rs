//! The memory of all guests together: where one finds no room it makes room and comes back, and never learns of it.

use std::time::Duration;

use serde_json::json;

use super::durable::component;
use super::{House, NEVER_SUSPENDED, PATIENCE, completed, failed, value};
use crate::authority::Principal;
use crate::engine::{EngineOptions, TaskEnd};
use crate::shares::{Account, Bound, Bounds, Pool};
use crate::task::{FailedReason, TaskLimits};

in_both_places! {
    guests_that_together_need_more_than_there_is_come_one_after_the_other,
    who_takes_all_memory_it_can_leaves_some_to_another,
    those_that_wait_leave_their_instances_to_those_that_have_none,
    one_that_sleeps_leaves_memory_for_one_that_needs_it_and_wakes_as_if_it_had_stayed,
    more_than_there_ever_is_fails_as_a_bound_and_says_whose,
}

const MIB: u64 = 1 << 20;
const BINDING: &str = "export:#run";

/// Grows by a quarter of a MiB until it has so many MiB, and returns a number that it drew before, in its sixteenth part,
/// and how many pages it then has; sleeps in between.
const GROWER: &str = r#"
    (memory 1)
    (func (export "run") (param $mib i32) (param $ms i64) (result i64)
        (local $drawn i64)
        (local.set $drawn (i64.and (call $draw) (i64.const 0xffffff)))
        (loop $again
            (if (i32.eq (memory.grow (i32.const 4)) (i32.const -1)) (then unreachable))
            (br_if $again (i32.lt_u (memory.size) (i32.mul (local.get $mib) (i32.const 16)))))
        (if (i64.gt_u (local.get $ms) (i64.const 0)) (then (call $sleep (local.get $ms))))
        (i64.add (i64.shl (local.get $drawn) (i64.const 16)) (i64.extend_i32_u (memory.size))))"#;

fn shared(process: u64, share: u64, reserve: u64) -> EngineOptions {
    let mut bounds = Bounds::default();
    let of = |mib: u64| Bound { process: process * mib, share: share * mib, reserve: reserve * mib };
    // Of the memory some is left to requests.
    (bounds[Pool::Memory], bounds[Pool::GuestMemory]) = (of(2 * MIB), of(MIB));
    EngineOptions { shares: Some(Account::new(bounds)), ..EngineOptions::default() }
}

async fn open(options: EngineOptions) -> House {
    let house = House::with(NEVER_SUSPENDED, options).await;
    let grower = component(r#"(param "mib" u32) (param "ms" u64) (result u64)"#, GROWER);
    house.install("grow", &grower, BINDING, TaskLimits::default()).await;
    house
}

fn eve() -> Principal {
    Principal::new("eve", vec!["*".to_owned()])
}

async fn guests_that_together_need_more_than_there_is_come_one_after_the_other() {
    let house = open(shared(64, 64, 0)).await;
    let mut tasks = Vec::new();
    for number in 0..6 {
        // With a wait in which each keeps what it has, as long as no other one needs it.
        tasks.push(house.submit("grow", json!({"mib": 40, "ms": 100 * (number % 2)})).await);
    }
    for id in tasks {
        let pages = value(house.end(id).await).as_u64().unwrap() & 0xffff;
        assert!((640..644).contains(&pages), "{pages}");
        assert_eq!(house.document(id).await.attempt, 1, "making room is no new attempt");
    }
    house.until_free().await;
}

async fn who_takes_all_memory_it_can_leaves_some_to_another() {
    let house = open(shared(64, 24, 16)).await;
    let sleep_ms = 3_600_000;
    // Each holds 10 MiB as long as it sleeps, which is not long enough to leave memory by itself.
    for _ in 0..6 {
        house.submit_as(&eve(), "grow", json!({"mib": 9, "ms": sleep_ms})).await;
    }
    for mib in [20, 40] {
        let pages = value(house.call("grow", json!({"mib": mib, "ms": 0})).await).as_u64().unwrap() & 0xffff;
        assert!(pages >= mib * 16, "{pages}");
    }
    assert!(house.engine.shares().used_by(Pool::GuestMemory, "eve") <= 24 * MIB);
}

async fn those_that_wait_leave_their_instances_to_those_that_have_none() {
    for live in [1, 2, 3] {
        let mut bounds = Bounds::default();
        bounds[Pool::Instances] = Bound::divided(live as u64);
        let shares = Some(Account::new(bounds));
        let house = open(EngineOptions { live_instances: live, shares, ..EngineOptions::default() }).await;
        let as_one = |name: &str| Principal::new(name, vec!["*".to_owned()]);
        // All that there are, and more, are taken by some that wait and do not leave by themselves.
        for number in 0..4 * live {
            let who = as_one(["eve", "bob"][number % 2]);
            house.submit_as(&who, "grow", json!({"mib": 1, "ms": 3_600_000})).await;
        }
        for name in ["ann", "local"] {
            let who = if name == "local" { Principal::local() } else { as_one(name) };
            let id = house.submit_as(&who, "grow", json!({"mib": 1, "ms": 0})).await;
            let view = house.engine.wait(&who, id, PATIENCE).await.unwrap();
            assert_eq!(view.state.name(), "completed", "{name} of {live}");
        }
    }
}

async fn one_that_sleeps_leaves_memory_for_one_that_needs_it_and_wakes_as_if_it_had_stayed() {
    let house = open(shared(64, 64, 0)).await;
    let sleeper = house.submit("grow", json!({"mib": 40, "ms": 3_000})).await;
    let shares = house.engine.shares().clone();
    let held = async {
        while shares.used(Pool::GuestMemory) < 40 * MIB {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, held).await.expect("it has grown");
    let other = house.submit("grow", json!({"mib": 40, "ms": 0})).await;
    value(house.end(other).await);
    let waits = house.document(sleeper).await;
    assert_eq!((waits.state.as_str(), waits.reason.as_deref()), ("waiting", Some("timer")), "it has left");
    value(house.end(sleeper).await);
}

async fn more_than_there_ever_is_fails_as_a_bound_and_says_whose() {
    let house = open(shared(64, 8, 16)).await;
    let id = house.submit_as(&eve(), "grow", json!({"mib": 20, "ms": 0})).await;
    house.engine.wait(&eve(), id, Duration::from_secs(20)).await.unwrap();
    let TaskEnd::Failed(_, error) = house.engine.result(&eve(), id).await.unwrap() else {
        panic!("not failed")
    };
    assert_eq!(error.reason, FailedReason::Limit, "{error:?}");
    assert!(error.message.contains("the share of eve is 8 MiB at most (guest_memory)"), "{error:?}");

    let error = failed(house.call("grow", json!({"mib": 100, "ms": 0})).await);
    assert_eq!(error.reason, FailedReason::Limit, "{error:?}");
    assert!(error.message.contains("this server gives its tools 64 MiB at most"), "{error:?}");
    // What a guest sees depends on its own bound alone.
    completed(house.call("grow", json!({"mib": 60, "ms": 0})).await);
}

impl House {
    /// Waits until no guest holds any memory.
    async fn until_free(&self) {
        let free = async {
            while self.engine.shares().used(Pool::GuestMemory) > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, free).await.expect("all is given back");
    }
}
