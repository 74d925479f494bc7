use std::collections::HashMap;
use std::time::Duration;

use futures::FutureExt as _;
use proptest::prelude::*;

use super::*;
use crate::authority::LOCAL;
use crate::limits;

const MIB: u64 = 1024 * 1024;

fn account(process: u64, share: u64, reserve: u64) -> std::sync::Arc<Account> {
    let mut bounds = Bounds::default();
    for pool in Pool::ALL {
        bounds[pool] = Bound { process, share, reserve };
    }
    Account::new(bounds)
}

#[test]
fn an_owner_that_leaves_nothing_has_all_of_a_count_and_others_have_what_they_would() {
    for count in [1, 2, 7, 8, 9, 512, 612, 100_000] {
        let (mut bounds, divided) = (Bounds::default(), Bound::divided(count));
        bounds[Pool::Instances] = Bound::for_owner(count);
        let account = Account::new(bounds);
        assert_eq!(account.share(Pool::Instances, LOCAL), count);
        assert_eq!(account.share(Pool::Instances, "ann"), divided.share);
        assert_eq!(account.most(Pool::Instances, "ann"), divided.of_others(), "{count}");
    }
}

#[test]
fn a_principal_has_its_share_all_have_the_bound_and_the_owner_the_rest() {
    let account = account(10, 4, 2);
    let take = |who: &str, amount| account.take(Pool::Sessions, who, amount);
    let ann = take("ann", 4).expect("its share");
    let refused = take("ann", 1).expect_err("more than its share");
    assert_eq!((refused.kind(), refused.bound), (RefusalKind::Share, 4));
    let bob = take("bob", 4).expect("its share");
    let refused = take("eve", 1).expect_err("others have 8 together");
    assert_eq!((refused.kind(), refused.bound), (RefusalKind::Process, 8));
    let owner = take(LOCAL, 2).expect("the reserve");
    let refused = take(LOCAL, 1).expect_err("there is no more");
    assert_eq!((refused.kind(), refused.bound), (RefusalKind::Process, 10));
    drop(ann);
    let more = take(LOCAL, 4).expect("the owner takes what is free");
    assert!(take("eve", 1).is_err(), "of others' part there is some, and nothing of the whole");
    drop((bob, owner, more));
    assert_eq!(account.used(Pool::Sessions), 0);
    let usage = account.usage(Pool::Sessions);
    assert_eq!((usage.refused_share, usage.refused_process, usage.principals), (1, 3, 0));
}

#[test]
fn what_lies_within_memory_is_taken_of_it_too() {
    let mut bounds = Bounds::default();
    bounds[Pool::Memory] = Bound { process: 10, share: 6, reserve: 0 };
    for pool in [Pool::GuestMemory, Pool::RequestBytes] {
        bounds[pool] = Bound { process: 10, share: 5, reserve: 0 };
    }
    let account = Account::new(bounds);
    let mut guest = account.take(Pool::GuestMemory, "ann", 4).expect("there is room");
    let refused = account.take(Pool::RequestBytes, "ann", 3).expect_err("together too much");
    assert_eq!((refused.pool, refused.bound), (Pool::Memory, 6));
    assert_eq!(account.used(Pool::RequestBytes), 0, "what is refused is not taken");
    assert_eq!(account.check(Pool::RequestBytes, "ann", 3), Err(refused));
    guest.grow(1).expect("up to the pool's own share");
    assert_eq!(guest.grow(1).expect_err("beyond it").pool, Pool::GuestMemory);
    assert_eq!((guest.amount(), account.used_by(Pool::Memory, "ann")), (5, 5));
    guest.shrink_to(1);
    assert_eq!(account.used_by(Pool::Memory, "ann"), 1);
    drop(guest);
    assert_eq!(account.used(Pool::Memory), 0);
}

#[test]
fn guests_leave_room_for_the_request_that_cancels_them() {
    let mut bounds = Bounds::of_memory(2048 * MIB);
    bounds.set_memory_share(128 * MIB);
    let account = Account::new(bounds);
    account.narrow("bob", Narrowed { memory_mib: Some(8), ..Narrowed::default() });
    for who in ["ann", "bob", LOCAL] {
        let most = account.share(Pool::GuestMemory, who);
        assert!(account.take(Pool::GuestMemory, who, most + 1).is_err(), "{who}");
        let guests = account.take(Pool::GuestMemory, who, most).expect("its share");
        let request =
            account.take(Pool::RequestBytes, who, MIB).expect("a request is read beside its guests");
        drop((guests, request));
    }
    // Nor do the guests of many take the room of those who hold nothing.
    let names: Vec<String> = (0..100).map(|number| format!("p{number}")).collect();
    let take = |name: &String| account.take(Pool::GuestMemory, name, 100 * MIB).ok();
    let guests: Vec<Held> = names.iter().filter_map(take).collect();
    assert!(guests.len() > 10 && guests.len() < 20, "{}", guests.len());
    let request = account.take(Pool::RequestBytes, "ann", 32 * MIB).expect("another one's request is read");
    drop((guests, request));
}

#[test]
fn a_token_narrows_shares_and_never_widens_one() {
    let account = Account::new(Bounds::default());
    let narrowed =
        Narrowed { memory_mib: Some(64), tasks: Some(3), store_mib: Some(5), rate: Some(u32::MAX) };
    account.narrow("ann", narrowed);
    account.narrow(LOCAL, narrowed);
    assert_eq!(account.share(Pool::Memory, "ann"), 64 * MIB);
    assert_eq!(account.share(Pool::OpenTasks, "ann"), 3);
    assert_eq!(account.share(Pool::Rate, "ann"), account.bound(Pool::Rate).share);
    assert_eq!(account.share(Pool::OpenTasks, LOCAL), account.bound(Pool::OpenTasks).process);
    assert!(
        account.take(Pool::GuestMemory, "ann", 65 * MIB).is_err_and(|refused| refused.pool == Pool::Memory)
    );
    assert!(account.take(Pool::OpenTasks, "ann", 4).is_err());
    account.narrow("ann", Narrowed::default());
    assert!(account.take(Pool::OpenTasks, "ann", 4).is_ok());
}

#[test]
fn what_was_let_in_before_is_held_beyond_the_share() {
    let account = account(10, 4, 0);
    let before = account.hold(Pool::OpenTasks, "ann", 7);
    assert!(account.take(Pool::OpenTasks, "ann", 1).is_err());
    drop(before);
    let mut held = account.take(Pool::OpenTasks, "ann", 1).expect("there is room again");
    held.grow_anyway(20);
    assert_eq!((account.used_by(Pool::OpenTasks, "ann"), held.amount()), (21, 21));
    drop(held);
    assert_eq!(account.used(Pool::OpenTasks), 0);
}

#[test]
fn what_is_counted_elsewhere_is_looked_at_here() {
    let account = account(10, 4, 0);
    account.set(Pool::OpenTasks, "ann", 7);
    assert!(account.admit(Pool::OpenTasks, "ann", 1).is_err());
    assert_eq!(account.usage(Pool::OpenTasks).refused_share, 1);
    account.set(Pool::OpenTasks, "ann", 3);
    assert!(account.admit(Pool::OpenTasks, "ann", 1).is_ok());
    assert_eq!(account.used_by(Pool::OpenTasks, "ann"), 3, "nothing is taken");
    account.set(Pool::OpenTasks, "ann", 0);
    assert_eq!(account.used(Pool::OpenTasks), 0);
}

#[test]
fn those_that_hold_nothing_are_forgotten() {
    let account = Account::new(Bounds::default());
    for number in 0..10 * limits::MAX_IDLE_PRINCIPALS {
        drop(account.take(Pool::Requests, &format!("p{number}"), 1).expect("there is room"));
    }
    let remembered = account.remembered(Pool::Requests);
    assert!(remembered <= limits::MAX_IDLE_PRINCIPALS, "{remembered}");
}

#[test]
fn who_waits_for_room_hears_of_it() {
    let account = account(1, 1, 0);
    let held = account.take(Pool::GuestMemory, "ann", 1).expect("there is room");
    let mut freed = std::pin::pin!(account.freed(Pool::Memory));
    freed.as_mut().enable();
    assert!(freed.as_mut().now_or_never().is_none());
    drop(held);
    assert!(freed.now_or_never().is_some());
}

#[test]
fn a_refusal_says_which_bound_whose_and_what_to_do() {
    let refusal =
        |pool, whose| Refusal { pool, whose, bound: 3 * MIB, retry_after: Duration::from_millis(1_001) };
    let words = refusal(Pool::Memory, Whose::Principal("ann".into())).to_string();
    assert!(words.contains("the share of ann is 3 MiB of memory (memory)"), "{words}");
    assert!(words.ends_with("try again after 2 s"), "{words}");
    let words = refusal(Pool::Requests, Whose::Principal(STRANGERS.into())).to_string();
    assert!(words.starts_with("callers without a valid token have at most 3145728 requests"), "{words}");
    let words = refusal(Pool::Sessions, Whose::Process).to_string();
    assert!(words.starts_with("this server has at most 3145728 sessions"), "{words}");
}

#[test]
fn names_of_pools_differ_and_each_has_a_place() {
    let names: std::collections::BTreeSet<_> = Pool::ALL.iter().map(|pool| pool.name()).collect();
    assert_eq!(names.len(), Pool::ALL.len());
    assert!(Pool::ALL.iter().enumerate().all(|(at, pool)| *pool as usize == at));
}

#[derive(Clone, Debug)]
enum Move {
    Take { who: usize, amount: u64 },
    Grow { which: usize, by: u64 },
    Shrink { which: usize, to: u64 },
    Give { which: usize },
    Narrow { who: usize, tasks: Option<u64> },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let amount = 0..7_u64;
    let one = prop_oneof![
        4 => (0..4_usize, amount.clone()).prop_map(|(who, amount)| Move::Take { who, amount }),
        1 => (any::<usize>(), amount.clone()).prop_map(|(which, by)| Move::Grow { which, by }),
        1 => (any::<usize>(), amount.clone()).prop_map(|(which, to)| Move::Shrink { which, to }),
        2 => any::<usize>().prop_map(|which| Move::Give { which }),
        1 => (0..4_usize, proptest::option::of(0..9_u64)).prop_map(|(who, tasks)| Move::Narrow { who, tasks }),
    ];
    proptest::collection::vec(one, 0..120)
}

proptest! {
    /// Against a model that adds all up again after each move.
    #[test]
    fn nothing_is_lost_and_no_bound_is_passed(moves in moves()) {
        const WHO: [&str; 4] = [LOCAL, "ann", "bob", "eve"];
        let (process, share, reserve) = (20, 8, 5);
        let account = account(process, share, reserve);
        let mut held: Vec<(usize, Held)> = Vec::new();
        let mut shares: HashMap<usize, u64> = HashMap::new();
        for one in moves {
            let has = |held: &[(usize, Held)], who| -> u64 {
                held.iter().filter(|(of, _)| *of == who).map(|(_, held)| held.amount()).sum()
            };
            let fits = |held: &[(usize, Held)], who: usize, amount: u64| {
                let all: u64 = (0..WHO.len()).map(|who| has(held, who)).sum();
                let of_others = all - has(held, 0);
                let own = shares.get(&who).copied().unwrap_or(share);
                all + amount <= process
                    && (who == 0 || (has(held, who) + amount <= own && of_others + amount <= process - reserve))
            };
            match one {
                Move::Take { who, amount } => {
                    let taken = account.take(Pool::OpenTasks, WHO[who], amount);
                    prop_assert_eq!(taken.is_ok(), fits(&held, who, amount));
                    held.extend(taken.ok().map(|taken| (who, taken)));
                }
                Move::Grow { which, by } if !held.is_empty() => {
                    let which = which % held.len();
                    let (who, fit) = (held[which].0, fits(&held, held[which].0, by));
                    let before = has(&held, who);
                    prop_assert_eq!(held[which].1.grow(by).is_ok(), fit);
                    prop_assert_eq!(has(&held, who), before + if fit { by } else { 0 });
                }
                Move::Shrink { which, to } if !held.is_empty() => {
                    let which = which % held.len();
                    held[which].1.shrink_to(to);
                    prop_assert!(held[which].1.amount() <= to);
                }
                Move::Give { which } if !held.is_empty() => {
                    let which = which % held.len();
                    drop(held.swap_remove(which));
                }
                Move::Narrow { who, tasks } => {
                    account.narrow(WHO[who], Narrowed { tasks, ..Narrowed::default() });
                    if who > 0 {
                        shares.insert(who, tasks.unwrap_or(share).min(share));
                    }
                }
                _ => {}
            }
            for (who, name) in WHO.iter().enumerate() {
                prop_assert_eq!(account.used_by(Pool::OpenTasks, name), has(&held, who));
            }
            prop_assert_eq!(account.used(Pool::OpenTasks), held.iter().map(|(_, held)| held.amount()).sum::<u64>());
        }
        drop(held);
        prop_assert_eq!(account.used(Pool::OpenTasks), 0);
    }
}
